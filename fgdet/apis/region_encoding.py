"""Features of given boxes, of images and of texts by FG-CLIP, in bulk: what evaluations without a detector share.

Axes: I images, N_i boxes of one image, T texts, K classes, P prompts, S side of the square that the model sees, D
embedding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fgdet.apis.detector_files import choose_device
from fgdet.apis.image_reading import read_image
from fgdet.apis.read_ahead import read_ahead, windows
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError

T = TypeVar('T')
R = TypeVar('R')

#: How a box becomes a vector: pooled from the image's dense map, or cut out and seen as an image.
MODES = ('roi', 'crop')
#: Texts that pass the text tower at once.
TEXT_BATCH = 256

#: Called after each image with the number done and the number of all.
Report = Callable[[int, int], None]
#: Called with a part of the work, such as ``images`` or ``texts``, the share of it that is done, and a line.
PartReport = Callable[[str, float, str], None]


class RegionEncoder:
    """FG-CLIP on many images: read and resized ahead by threads, encoded in batches, given back in order.

    As in the official evaluation of FG-CLIP (arXiv 2505.05071), an image is squashed to the model's square, boxes scale
    with it, and image features are not normalised. The official code encodes an image once for each of its boxes; here
    it is encoded once, with the same result.

    Args:
        checkpoint: FG-CLIP or CLIP weights, as for :meth:`fgdet.models.fg_clip.FGCLIP.from_pretrained`; or a model.
        device: ``'auto'`` takes the GPU if there is one; else as for torch.
        batch_size: images that pass the image tower at once; crops in crop mode.
        mode: ``'roi'`` pools each box from the dense map of its image. ``'crop'`` cuts it out as it is, rounded outward
            to whole pixels, and squashes it to the square like a whole image; the crop's global feature is the box's.
        image_size: side S in pixels; None takes the one that is stored with the weights.
        workers: threads that read and resize; 0 does it between the batches.

    Raises:
        UserError: nothing usable is at the checkpoint, there is no such device, or a setting is out of range.
    """

    def __init__(
        self,
        checkpoint: str | Path | FGCLIP,
        device: str = 'auto',
        batch_size: int = 8,
        mode: str = 'roi',
        image_size: int | None = None,
        workers: int = 2,
    ) -> None:
        if mode not in MODES:
            raise UserError(f'mode: expected one of {", ".join(MODES)}, got {mode!r}')
        if batch_size < 1 or workers < 0:
            raise UserError(
                f'expected a batch_size of at least 1 and no fewer than 0 workers, got {batch_size}, {workers}'
            )
        self.device = choose_device(device)
        model = checkpoint if isinstance(checkpoint, FGCLIP) else FGCLIP.from_pretrained(checkpoint)
        self.source = 'a model in memory' if isinstance(checkpoint, FGCLIP) else str(checkpoint)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.preprocessing = model.preprocessing._replace(image_size=image_size or model.preprocessing.image_size)
        side, patch = self.preprocessing.image_size, model.patch_size
        if side < patch or side % patch:
            raise UserError(f'image_size: expected a multiple of the patch of {patch} pixels, got {side}')
        self.batch_size, self.mode, self.workers = batch_size, mode, workers

    @property
    def dim(self) -> int:
        """D."""
        return self.model.visual.output_dim

    def encode(
        self,
        paths: Sequence[str | Path],
        boxes: Sequence[np.ndarray],
        report: Report | None = None,
        failures: dict[str, str] | None = None,
    ) -> Iterator[np.ndarray]:
        """Features of the boxes of each image.

        Args:
            paths: I files.
            boxes: for each (N_i, 4), xyxy in pixels of the upright file; N_i may be 0, and such a file is not read.
            report: told after each image.
            failures: a file that is no image is put there with the reason, before what is given for it, which means
                nothing; None: it raises.

        Yields:
            (N_i, D) float32, not normalised. A box without area in the image is zeros in crop mode; in RoI mode it is
            what FG-CLIP's pooling gives, zeros where it has no area at all.

        Raises:
            UserError: a file is no image, when its turn comes; the message names it.
            ValueError: the numbers of files and of arrays differ, or an array is not (N_i, 4).
        """
        boxes = [np.asarray(each, dtype=np.float64) for each in boxes]
        if len(paths) != len(boxes) or any(each.ndim != 2 or each.shape[1] != 4 for each in boxes):
            shapes = sorted({each.shape[1:] for each in boxes})
            raise ValueError(f'boxes: expected (N, 4) for each of {len(paths)} files, got {len(boxes)} of {shapes}')
        encode = self._encode_crops if self.mode == 'crop' else self._encode_rois
        encoded = encode(paths, boxes, partial(self._read, failures=failures))
        for done, features in enumerate(encoded, 1):
            yield features
            if report:
                report(done, len(paths))

    def encode_images(
        self, paths: Sequence[str | Path], report: Report | None = None, failures: dict[str, str] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield each file's global feature, (D,) float32, not normalised; ``failures`` as for :meth:`encode`.

        Raises:
            UserError: a file is no image, when its turn comes; the message names it.
        """
        squashed = self._ahead(lambda path: self.preprocessing.squash(self._read(path, failures)), paths)
        for done, feature in enumerate(self._global_features(squashed), 1):
            yield feature
            if report:
                report(done, len(paths))

    @torch.no_grad()
    def encode_texts(
        self, texts: Sequence[str], long: bool = False, normalize: bool = True, report: Report | None = None
    ) -> np.ndarray:
        """Text features.

        Args:
            texts: as they stand; what is beyond the context is cut. Equal ones, and equal beginnings of those that are
                neighbours in the alphabet, are computed once.
            long: take the context of 248 tokens and its projection instead of that of 77.
            normalize: scale rows to length 1.
            report: told after each batch of the distinct texts.

        Returns:
            (T, D) float32.
        """
        distinct = sorted(set(texts))
        row = {text: i for i, text in enumerate(distinct)}
        parts = [np.zeros((0, self.dim), np.float32)]
        for batch in windows(distinct, TEXT_BATCH):
            features = self.model.text.encode_groups([(self.model.tokenize(batch, long), long)])[0]
            features = F.normalize(features.float(), dim=1) if normalize else features.float()
            parts.append(features.cpu().numpy())
            if report:
                report(min(TEXT_BATCH * (len(parts) - 1), len(distinct)), len(distinct))
        return np.concatenate(parts)[[row[text] for text in texts]] if len(texts) else parts[0]

    def encode_class_texts(self, names: Sequence[str], templates: Sequence[str]) -> np.ndarray:
        """Prompt ensembles (CLIP, arXiv 2103.00020, section 3.1.4), as FG-CLIP's evaluation makes them.

        Args:
            names: K class names.
            templates: P prompts, in each of which every ``{}`` is replaced by the name.

        Returns:
            (K, D) float32: for each name the mean of its prompts' unit vectors, of length 1 again.
        """
        rows = [np.zeros((0, self.dim), np.float32)]
        for some in windows(names, max(1, 4 * TEXT_BATCH // len(templates))):
            texts = [template.replace('{}', name) for name in some for template in templates]
            means = self.encode_texts(texts).reshape(len(some), len(templates), -1).mean(axis=1)  # (k, D)
            rows.append(means / np.linalg.norm(means, axis=1, keepdims=True))
        return np.concatenate(rows)

    def _read(self, path: str | Path, failures: dict[str, str] | None) -> np.ndarray:
        """(H, W, 3) of a file; black where it is no image and failures are collected."""
        try:
            return read_image(path).pixels
        except UserError as error:
            if failures is None:
                raise
            failures[str(path)] = str(error)
            return np.zeros((self.preprocessing.image_size, self.preprocessing.image_size, 3), np.uint8)

    def _encode_rois(
        self, paths: Sequence[str | Path], boxes: Sequence[np.ndarray], read: Callable[[str | Path], np.ndarray]
    ) -> Iterator[np.ndarray]:
        whole = self._ahead(partial(self._whole, read), ((p, b) for p, b in zip(paths, boxes, strict=True) if len(b)))
        pooled = chain.from_iterable(map(self._pool, windows(whole, self.batch_size)))
        for each in boxes:
            yield next(pooled) if len(each) else np.zeros((0, self.dim), np.float32)

    def _whole(
        self, read: Callable[[str | Path], np.ndarray], item: tuple[str | Path, np.ndarray]
    ) -> tuple[Image.Image, Tensor]:
        """A file at S x S, and its boxes (N_i, 4) in pixels of that."""
        pixels = read(item[0])
        height, width = pixels.shape[:2]
        # In float64 a box of the whole image ends at S exactly: RoIAlign takes one sample more where it ends beyond.
        scaled = item[1] / [width, height, width, height] * self.preprocessing.image_size
        return self.preprocessing.squash(pixels), torch.from_numpy(scaled).float()

    @torch.no_grad()
    def _pool(self, batch: Sequence[tuple[Image.Image, Tensor]]) -> list[np.ndarray]:
        pixels = self.preprocessing.to_pixels([image for image, _ in batch]).to(self.device)
        boxes = [each.to(self.device) for _, each in batch]
        features = self.model.encode_regions(pixels, boxes).float().cpu()
        return [each.numpy() for each in features.split([len(b) for b in boxes])]

    def _encode_crops(
        self, paths: Sequence[str | Path], boxes: Sequence[np.ndarray], read: Callable[[str | Path], np.ndarray]
    ) -> Iterator[np.ndarray]:
        cut = self._ahead(partial(self._cut, read), ((p, b) for p, b in zip(paths, boxes, strict=True) if len(b)))
        features = self._global_features(chain.from_iterable(cut))
        for each in boxes:
            rows = list(islice(features, len(each)))
            yield np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)

    def _cut(
        self, read: Callable[[str | Path], np.ndarray], item: tuple[str | Path, np.ndarray]
    ) -> list[Image.Image | None]:
        """The boxes of a file as images of S x S; None where nothing of the box is in the image."""
        pixels = read(item[0])
        height, width = pixels.shape[:2]
        x1, y1 = np.floor(item[1][:, :2]).clip(0).astype(int).T
        x2, y2 = np.ceil(item[1][:, 2:]).clip(0, [width, height]).astype(int).T
        whole = zip(x1, y1, x2, y2, strict=True)
        return [
            self.preprocessing.squash(pixels[t:b, left:r]) if t < b and left < r else None for left, t, r, b in whole
        ]

    def _global_features(self, images: Iterable[Image.Image | None]) -> Iterator[np.ndarray]:
        """(D,) of each image of S x S, zeros for None."""
        return chain.from_iterable(map(self._encode_batch, windows(images, self.batch_size)))

    @torch.no_grad()
    def _encode_batch(self, images: Sequence[Image.Image | None]) -> np.ndarray:
        features = np.zeros((len(images), self.dim), np.float32)
        present = [i for i, image in enumerate(images) if image is not None]
        if present:
            pixels = self.preprocessing.to_pixels([image for image in images if image is not None]).to(self.device)
            features[present] = self.model.encode_image(pixels).float().cpu().numpy()
        return features

    def _ahead(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return read_ahead(function, items, self.workers, 2 * self.batch_size)
