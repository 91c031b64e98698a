"""Filters of images and of captions: what is left out keeps its record, the reason and what was measured."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fgdet.data_engine.caption_language import STOP_WORDS, latin_share, seems_to_be, stop_word_shares
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.stage import Failure
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_text


class ImageFilter:
    """Leaves out images that are too small, too long or blurred; fills in the size where the record has none.

    Args:
        images: folder of the images.
        smallest_side: pixels of the shorter side.
        longest_aspect: longer side over shorter side.
        least_sharpness: see :func:`sharpness`. Of 256 photographs of COCO the median has 990 and the least sharp 47;
            after a Gaussian blur with a sigma of 4 pixels the median has 21.
        batch_size: has no effect on the result.
    """

    name = 'image_filter'

    def __init__(
        self,
        images: str | Path,
        smallest_side: int = 64,
        longest_aspect: float = 4.0,
        least_sharpness: float = 30.0,
        batch_size: int = 64,
    ) -> None:
        self.images, self.smallest_side, self.longest_aspect = images, smallest_side, longest_aspect
        self.least_sharpness, self.batch_size = least_sharpness, batch_size

    def settings(self) -> dict[str, Any]:
        """The thresholds and the version of the measure."""
        return dict(
            smallest_side=self.smallest_side,
            longest_aspect=self.longest_aspect,
            least_sharpness=self.least_sharpness,
            sharpness='variance of the Laplacian at 256 pixels, version 1',
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Measure each image; a file that is broken or has another size than its record says is a Failure."""
        return [self._measured(record) for record in records]

    def _measured(self, record: ImageRecord) -> ImageRecord | Failure:
        if record.dropped is not None:
            return record
        try:
            picture = read_picture(self.images, record, SHARPNESS_SIDE)
        except BadRecord as error:
            return Failure(record.key, str(error))
        aspect = max(picture.width, picture.height) / min(picture.width, picture.height)
        sharp = sharpness(np.asarray(picture.image.convert('L')))
        scores = {**record.scores, 'aspect': round(aspect, 3), 'sharpness': round(sharp, 1)}
        dropped = None
        if min(picture.width, picture.height) < self.smallest_side:
            dropped = 'small image'
        elif aspect > self.longest_aspect:
            dropped = 'long image'
        elif sharp < self.least_sharpness:
            dropped = 'blurred image'
        return replace(record, width=picture.width, height=picture.height, scores=scores, dropped=dropped)


#: Longer side in pixels at which sharpness is measured.
SHARPNESS_SIDE = 256


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of an image (H, W) in 0..255, at one size whatever the image's.

    A larger image is made smaller first, so that the same scene has about the same sharpness at any resolution above;
    a smaller one is taken as it is. It measures contrast as well as focus: fog is not sharp.
    """
    height, width = grey.shape
    scale = SHARPNESS_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F).var(dtype=np.float64))


class CaptionFilter:
    """Leaves out captions that are too short or long, repeat themselves, are in another language, or unsafe.

    The long caption has to have the length; the other rules hold for both captions. The language is tested by script
    and frequent words alone, see :mod:`fgdet.data_engine.caption_language`. No list of unsafe words is shipped.

    Args:
        fewest_words: of the caption.
        most_words: the same.
        most_repeated: see :func:`repeated_share`.
        language: one of :data:`~fgdet.data_engine.caption_language.STOP_WORDS`; None: any.
        unsafe_words: a UTF-8 file, one word or phrase a line, ``#`` before a remark; what holds one as whole words, in
            any case, is left out. None: no such test.
        batch_size: has no effect on the result.

    Raises:
        UserError: no such language or file, or a file without words.
    """

    name = 'caption_filter'

    def __init__(
        self,
        fewest_words: int = 3,
        most_words: int = 400,
        most_repeated: float = 0.3,
        language: str | None = 'en',
        unsafe_words: str | Path | None = None,
        batch_size: int = 1024,
    ) -> None:
        if language is not None and language not in STOP_WORDS:
            raise UserError(f'language: expected one of {", ".join(STOP_WORDS)} or None, got {language!r}')
        self.fewest_words, self.most_words, self.most_repeated = fewest_words, most_words, most_repeated
        self.language, self.batch_size = language, batch_size
        self._unsafe: re.Pattern[str] | None = None
        self._unsafe_hash: str | None = None
        if unsafe_words is not None:
            self._unsafe, self._unsafe_hash = read_word_list(unsafe_words)

    def settings(self) -> dict[str, Any]:
        """The thresholds, and of the unsafe words a hash."""
        return dict(
            fewest_words=self.fewest_words,
            most_words=self.most_words,
            most_repeated=self.most_repeated,
            repeated='longest periodic stretch or repeated sentences, version 1',
            language=self.language,
            language_test=None if self.language is None else 'script and frequent words, version 1',
            unsafe_words=self._unsafe_hash,
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Judge the captions of each record."""
        return [record if record.dropped is not None else self._judged(record) for record in records]

    def _judged(self, record: ImageRecord) -> ImageRecord:
        texts = [text for text in (record.caption, record.short_caption) if text]
        num_words = len(record.caption.split())
        repeated = max(map(repeated_share, texts), default=0.0)
        scores = {**record.scores, 'caption_words': float(num_words), 'caption_repeated': round(repeated, 4)}
        dropped = None
        if num_words < self.fewest_words:
            dropped = 'short caption'
        elif num_words > self.most_words:
            dropped = 'long caption'
        elif repeated > self.most_repeated:
            dropped = 'repeated words'
        if self.language is not None and texts:
            scores['caption_latin'] = round(min(map(latin_share, texts)), 4)
            shares = stop_word_shares(record.caption, [self.language])
            scores['caption_stop_words'] = round(shares[self.language], 4)
            if not all(seems_to_be(text, self.language) for text in texts):
                dropped = dropped or 'another language'
        if self._unsafe is not None:
            found = sum(len(self._unsafe.findall(text)) for text in texts)
            scores['unsafe_words'] = float(found)
            dropped = dropped or ('unsafe words' if found else None)
        return replace(record, scores=scores, dropped=dropped)


def repeated_share(text: str) -> float:
    """The share of a text's words, 0..1, that are said again where a model has lost the thread.

    That is the larger of two: the longest stretch that goes on with the same words, up to twenty, for at least the
    third time (``and a dog and a dog and a dog``), without the first time; and the words of sentences that stood in the
    text before.
    """
    words = re.findall(r'\w+', text.lower())
    stretch = max((_periodic_stretch(words, period) for period in range(1, min(20, len(words) // 3) + 1)), default=0)
    sentences = [re.findall(r'\w+', part) for part in re.split(r'[.!?\n]+', text.lower())]
    again = sum(len(each) for i, each in enumerate(sentences) if each in sentences[:i])
    return max(stretch, again) / max(1, len(words))


def _periodic_stretch(words: Sequence[str], period: int) -> int:
    """The most words in a row that each stood ``period`` words before; 0 for fewer than two periods."""
    longest = length = 0
    for i in range(period, len(words)):
        length = length + 1 if words[i] == words[i - period] else 0
        longest = max(longest, length)
    return longest if longest >= 2 * period else 0


def read_word_list(path: str | Path) -> tuple[re.Pattern[str], str]:
    """A pattern that finds the words and phrases of a file, and the SHA-256 of the file's text.

    Raises:
        UserError: no such file, not UTF-8, or no word in it.
    """
    text = read_text(path, 'word list')
    lines = [line.partition('#')[0].split() for line in text.splitlines()]
    words = [r'\W+'.join(map(re.escape, line)) for line in lines if line]
    if not words:
        raise UserError(f'word list {path}: there is no word in it')
    pattern = re.compile(rf'(?<!\w)(?:{"|".join(words)})(?!\w)', re.IGNORECASE)
    return pattern, hashlib.sha256(text.encode()).hexdigest()
