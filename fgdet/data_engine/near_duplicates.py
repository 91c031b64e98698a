"""Images, or captions, that a data set holds more than once: the first by key stays.

The hash of an image is 64 bits: the signs of its 64 lowest frequencies but the mean (discrete cosine transform of the
image in grey at 32 x 32 pixels). Another size, compression, brightness or contrast changes few of them. Mirroring turns
the sign of every second horizontal frequency, so the hash of the mirrored image needs no second look.
"""

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fgdet.data_engine.hamming import close_pairs
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.stage import Failure
from fgdet.structures.region_text_sample import BadRecord

_SIDE = 32
# (v, u) of the 64 lowest frequencies, v down and u across, the mean left out; ties in a fixed order.
_FREQUENCIES = sorted(((v, u) for v in range(12) for u in range(12)), key=lambda f: (f[0] ** 2 + f[1] ** 2, f))[1:65]
_ROWS, _COLUMNS = np.array(_FREQUENCIES).T
_WEIGHTS = np.uint64(1) << np.arange(64, dtype=np.uint64)
#: The bits that mirroring an image from left to right turns.
MIRRORED = int(_WEIGHTS[_COLUMNS % 2 == 1].sum())
# Coefficients of an image of one colour are rounding.
_FLAT = 1.0


def perceptual_hash(grey: np.ndarray) -> int:
    """64 bits of an image (H, W) in 0..255; 0 for an image of one colour."""
    small = cv2.resize(np.asarray(grey, dtype=np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small)[_ROWS, _COLUMNS]  # (64,)
    return int(_WEIGHTS[waves > 0].sum()) if np.abs(waves).max() > _FLAT else 0


class NearDuplicates:
    """Leaves out images that look like one of a smaller key.

    A whole data set is one question: :meth:`run_all` answers it, whatever the batches. :meth:`run` alone only notes
    each image's hash in ``provenance``, which may be done by many processes before.

    Args:
        images: folder of the images.
        distance: bits of 64 in which the hashes of two that look alike may differ. Of 100 photographs, copies of half
            and a quarter the size or of JPEG quality 10 differ in at most 4, copies without a border of 2 % in 4 at the
            median; among 256 photographs no two differ in fewer than 16. From 6 on the search takes much longer.
        mirrored: whether an image and its mirror image look alike.
        batch_size: records that are hashed at once.

    Raises:
        ValueError: the distance is out of range.
    """

    name = 'near_duplicates'

    def __init__(self, images: str | Path, distance: int = 5, mirrored: bool = False, batch_size: int = 64) -> None:
        if not 0 <= distance <= 16:
            raise ValueError(f'distance: expected 0 to 16 bits of 64, got {distance}')
        self.images, self.distance, self.mirrored, self.batch_size = images, distance, mirrored, batch_size

    def settings(self) -> dict[str, Any]:
        """The distance, whether mirror images count, and the version of the hash."""
        return dict(distance=self.distance, mirrored=self.mirrored, hash='dct-sign-64, version 1')

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Note the hash of each image as 16 hexadecimal digits; a file that cannot be read is a Failure."""
        return [self._hashed(record) for record in records]

    def run_all(self, records: Iterable[ImageRecord]) -> Iterator[ImageRecord | Failure]:
        """Yield all records in the order of their keys, those that look like an earlier one dropped.

        An earlier one that was dropped itself hides nothing. It holds 12 bytes an image, about 80 while it searches.

        Args:
            records: what can be gone through several times, such as a list; in the order of keys it is not held in
                memory. An iterator is, and so is what comes in another order.
        """
        records = list(records) if isinstance(records, Iterator) else records
        if any(a.key > b.key for a, b in pairwise(records)):
            records = sorted(records, key=lambda record: record.key)
        hashes, places = array('Q'), array('I')
        for place, outcome in enumerate(self._hashed_all(records)):
            if isinstance(outcome, ImageRecord) and outcome.dropped is None:
                hashes.append(int(outcome.provenance[self.name]['hash'], 16))
                places.append(place)
        first = first_of_each(np.array(hashes, dtype=np.uint64), self.distance, MIRRORED if self.mirrored else None)
        at = np.array(places, dtype=np.int64)
        repeats = np.flatnonzero(first != np.arange(len(first)))
        original = dict(zip(at[repeats].tolist(), at[first[repeats]].tolist(), strict=True))
        keys = dict.fromkeys(original.values(), '')
        for place, outcome in enumerate(self._hashed_all(records)):
            if place in keys:
                keys[place] = outcome.key
            if place in original and isinstance(outcome, ImageRecord):
                outcome = replace(outcome, dropped=f'near-duplicate image: {keys[original[place]]}')
            yield outcome

    def _hashed_all(self, records: Iterable[ImageRecord]) -> Iterator[ImageRecord | Failure]:
        rest = iter(records)
        while batch := list(islice(rest, self.batch_size)):
            yield from self.run(batch)

    def _hashed(self, record: ImageRecord) -> ImageRecord | Failure:
        if record.dropped is not None or self.name in record.provenance:
            return record
        try:
            picture = read_picture(self.images, record, 4 * _SIDE)
        except BadRecord as error:
            return Failure(record.key, str(error))
        found = f'{perceptual_hash(np.asarray(picture.image.convert("L"))):016x}'
        return replace(record, provenance={**record.provenance, self.name: {'hash': found}})


def first_of_each(codes: np.ndarray, distance: int, mirrored: int | None = None) -> np.ndarray:
    """For each code the first one that stands for it, in order: a code close to none that stays, stays itself.

    Args:
        codes: (N,) uint64.
        distance: bits in which close codes may differ.
        mirrored: bits that a mirror turns, where a code may be close to another's mirrored one; None: it may not.

    Returns:
        (N,) int32, ``first[i] <= i``; ``first[i] == i`` for those that stay.
    """
    distinct, position, inverse = np.unique(codes, return_index=True, return_inverse=True)
    position, inverse = position.astype(np.int32), inverse.reshape(-1).astype(np.int32)
    order = np.argsort(position).astype(np.int32)  # distinct codes in the order in which they appear
    ordered = distinct[order]
    del distinct
    pairs = close_pairs(ordered, distance)
    if mirrored is not None:
        turned = close_pairs(ordered, distance, ordered ^ np.uint64(mirrored))
        pairs = np.unique(np.concatenate([pairs, turned]), axis=0)
    stands = np.arange(len(ordered), dtype=np.int32)
    for i, j in pairs.tolist():  # by rising i, then j
        if stands[i] == i and stands[j] == j:
            stands[i] = j
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return position[order][stands[rank[inverse]]]


class NearDuplicateCaptions:
    """Leaves out images whose caption was given to enough images of smaller keys.

    Captions are the same where they differ in case, punctuation, spaces and articles only. It says nothing of
    paraphrases. Captions of templates are often the same for different images: give them some ``copies``.

    Args:
        copies: images that one caption may have.
        batch_size: has no effect on the result.
    """

    name = 'near_duplicate_captions'

    def __init__(self, copies: int = 1, batch_size: int = 1024) -> None:
        if copies < 1:
            raise ValueError(f'copies: expected at least 1, got {copies}')
        self.copies, self.batch_size = copies, batch_size

    def settings(self) -> dict[str, Any]:
        """The number of copies and the version of the normal form."""
        return dict(copies=self.copies, form='words without articles, version 1')

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return the records: nothing is known before all are."""
        return list(records)

    def run_all(self, records: Iterable[ImageRecord]) -> Iterator[ImageRecord | Failure]:
        """Yield all records in the order of their keys; 8 bytes of a caption's hash are held, and a count.

        Args:
            records: as for :meth:`NearDuplicates.run_all`.
        """
        records = list(records) if isinstance(records, Iterator) else records
        if any(a.key > b.key for a, b in pairwise(records)):
            records = sorted(records, key=lambda record: record.key)
        seen: dict[bytes, int] = {}
        for record in records:
            words = caption_words(record.caption)
            if record.dropped is None and words:
                code = hashlib.blake2b(' '.join(words).encode(), digest_size=8).digest()
                seen[code] = seen.get(code, 0) + 1
                if seen[code] > self.copies:
                    record = replace(record, dropped='near-duplicate caption')
            yield record


def caption_words(text: str) -> list[str]:
    """The words of a text in lower case, without articles and punctuation."""
    return [word for word in re.findall(r'\w+', text.casefold()) if word not in {'a', 'an', 'the'}]
