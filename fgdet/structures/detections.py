"""What a detector found in one image, as numpy arrays.

Axis letters: N detections, H W image height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fgdet.structures.cropped_masks import CroppedMasks


@dataclass(eq=False)
class Detections:
    """N boxes of one image with their scores and classes.

    Args:
        boxes: (N, 4) float, xyxy in pixels of the original image; (0, 4) or an empty list where nothing was found.
        scores: (N,) float in 0..1.
        labels: (N,) int, indices into the detector's vocabulary.
        names: N class names, one a detection: ``names[i]`` is the word for ``labels[i]``.
        masks: (N, H, W) bool in the original image, or None where the detector makes none. Of a large image in tiles
            they are :class:`~fgdet.structures.cropped_masks.CroppedMasks`; ``np.asarray`` makes an array of them.

    Raises:
        ValueError: a field's shape does not fit the number of boxes, or labels are not integers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    masks: np.ndarray | CroppedMasks | None = None

    def __post_init__(self) -> None:
        self.boxes = np.asarray(self.boxes, dtype=np.float32)
        if self.boxes.size == 0:
            self.boxes = self.boxes.reshape(0, 4)
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f'Detections.boxes: expected shape (N, 4) in xyxy, got {self.boxes.shape}')
        self.scores = np.asarray(self.scores, dtype=np.float32)
        labels = np.asarray(self.labels)
        if labels.size and not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f'Detections.labels: expected integers, got {labels.dtype}')
        self.labels = labels.astype(np.int64)
        if isinstance(self.names, str):
            raise ValueError(f'Detections.names: expected one name for each box, got the one string {self.names!r}')
        self.names = tuple(self.names)
        for field, shape in (
            ('scores', self.scores.shape),
            ('labels', self.labels.shape),
            ('names', (len(self.names),)),
        ):
            if shape != (len(self),):
                raise ValueError(f'Detections.{field}: expected shape ({len(self)},) as there are boxes, got {shape}')
        if self.masks is not None:
            if not isinstance(self.masks, CroppedMasks):
                self.masks = np.asarray(self.masks, dtype=bool)
            if len(self.masks.shape) != 3 or len(self.masks) != len(self):
                raise ValueError(f'Detections.masks: expected shape ({len(self)}, H, W), got {self.masks.shape}')

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, kept: np.ndarray) -> 'Detections':
        """Return the detections of the indices ``kept``, in that order."""
        return Detections(
            self.boxes[kept],
            self.scores[kept],
            self.labels[kept],
            [self.names[index] for index in kept],
            None if self.masks is None else self.masks[kept],
        )

    def filter(self, threshold: float | np.ndarray) -> 'Detections':
        """Return the detections whose score is at least ``threshold``, one number or (N,), in the same order."""
        return self.select(np.flatnonzero(self.scores >= threshold))

    def resized(self, old_hw: tuple[int, int], new_hw: tuple[int, int]) -> 'Detections':
        """Return the detections as those of the same image at another size; masks become cropped ones."""
        factors = np.tile([new_hw[1] / old_hw[1], new_hw[0] / old_hw[0]], 2).astype(np.float32)
        masks = CroppedMasks.from_masks(self.masks) if isinstance(self.masks, np.ndarray) else self.masks
        resized = None if masks is None else masks.resized(new_hw)
        return Detections(self.boxes * factors, self.scores, self.labels, self.names, resized)

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the detections as entries of a COCO result list, ready for JSON.

        Args:
            image_id: the image's id in the annotation file.
            category_ids: the category id of each label, ``category_ids[label]``; None writes the labels themselves.

        Returns:
            N dicts with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels of the original image),
            ``score`` and, where there are masks, ``segmentation`` as compressed run lengths.
        """
        x1, y1, x2, y2 = self.boxes.astype(np.float64).T  # (N,) each
        boxes_xywh = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)  # (N, 4)
        entries: list[dict[str, Any]] = [
            {
                'image_id': image_id,
                'category_id': int(label) if category_ids is None else category_ids[label],
                'bbox': box.tolist(),
                'score': float(score),
            }
            for box, score, label in zip(boxes_xywh, self.scores, self.labels, strict=True)
        ]
        if self.masks is not None:
            for entry, run_lengths in zip(entries, encode_masks(self.masks), strict=True):
                entry['segmentation'] = run_lengths
        return entries

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain lists, ready for JSON; masks as COCO's compressed run lengths."""
        fields: dict[str, Any] = {
            'boxes': self.boxes.astype(np.float64).tolist(),
            'scores': self.scores.astype(np.float64).tolist(),
            'labels': self.labels.tolist(),
            'names': list(self.names),
        }
        if self.masks is not None:
            fields['masks'] = encode_masks(self.masks)
        return fields

    def to_supervision(self) -> Any:
        """Return a ``supervision.Detections``, the names under ``data['class_name']``.

        Raises:
            ImportError: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError('to_supervision() needs the package supervision: pip install supervision') from error
        return supervision.Detections(
            xyxy=self.boxes,
            mask=None if self.masks is None else np.asarray(self.masks),
            confidence=self.scores,
            class_id=self.labels,
            data={'class_name': np.array(self.names, dtype=str)},
        )


def encode_masks(masks: np.ndarray | CroppedMasks) -> list[dict[str, Any]]:
    """Return COCO's compressed run lengths of (N, H, W) bool masks: ``{'size': [H, W], 'counts': text}``."""
    from pycocotools import mask as mask_utils

    if isinstance(masks, CroppedMasks):
        encoded = [mask_utils.frPyObjects(item, *item['size']) for item in masks.run_lengths()]
    else:
        columns_first = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))  # (H, W, N)
        encoded = mask_utils.encode(columns_first)
    return [{'size': [int(n) for n in item['size']], 'counts': item['counts'].decode('ascii')} for item in encoded]
