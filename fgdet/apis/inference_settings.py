"""How a detector is run, apart from what it looks for."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fgdet.utils.checks import UserError


@dataclass(frozen=True)
class InferenceSettings:
    """Settings of a :class:`~fgdet.apis.detection.Detector`; None leaves what the config says.

    Args:
        batch_size: images, frames or tiles that pass together; only those of one size after resizing and padding do.
        nms: ``'class'``: a box suppresses worse ones of its own name. ``'agnostic'``: of any name.
        nms_iou: overlap of two boxes from which on the worse is suppressed, 0..1.
        max_per_image: detections of an image (with tiles: of a tile) at most.
        tile: side in pixels of the tiles for images larger than that; the side that the detector resizes to sees all
            pixels.
        tile_overlap: share of a tile that neighbours have in common, 0.05 to 0.9: what is smaller lies whole in one.
        scale: longer side in pixels that images are resized to, in the place of the config's test pipeline.
        compete: names given without a vocabulary of their own stand against the trained ones, see
            :mod:`fgdet.apis.competing_names`; without, a thing of none of the names goes to one of them.
        score_thr: scores up to this are no candidates for suppression, 0..1.

    Raises:
        UserError: a value out of range.
    """

    batch_size: int = 1
    nms: str | None = None
    nms_iou: float | None = None
    max_per_image: int | None = None
    tile: int | None = None
    tile_overlap: float = 0.25
    scale: int | None = None
    compete: bool = True
    score_thr: float | None = None

    def __post_init__(self) -> None:
        if self.nms not in (None, 'class', 'agnostic'):
            raise UserError(f"nms: expected 'class' or 'agnostic', got {self.nms!r}")
        for field, least in (('batch_size', 1), ('max_per_image', 1), ('tile', 32), ('scale', 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise UserError(f'{field}: expected {least} or more, got {value}')
        if self.nms_iou is not None and not 0 < self.nms_iou <= 1:
            raise UserError(f'nms_iou: expected 0..1, got {self.nms_iou}')
        if self.score_thr is not None and not 0 <= self.score_thr <= 1:
            raise UserError(f'score_thr: expected 0..1, got {self.score_thr}')
        if not 0.05 <= self.tile_overlap <= 0.9:
            raise UserError(f'tile_overlap: expected 0.05 to 0.9, got {self.tile_overlap}')

    @property
    def iou(self) -> float:
        """Overlap for a suppression that the config does not speak of: across tiles."""
        return 0.5 if self.nms_iou is None else self.nms_iou


def with_scale(pipeline: Sequence[dict[str, Any]], scale: int | None) -> list[dict[str, Any]]:
    """The test pipeline with its Resize made to another longer side.

    Raises:
        UserError: it has no Resize.
    """
    steps = copy.deepcopy(list(pipeline))
    if scale is None:
        return steps
    resizes = [step for step in steps if step['type'].split('.')[-1] == 'Resize']
    if not resizes:
        raise UserError('scale: the test pipeline of this detector has no Resize; leave it out')
    resizes[0]['scale'] = (scale, scale)
    return steps


def with_suppression(test_cfg: dict[str, Any], settings: InferenceSettings) -> dict[str, Any]:
    """A head's ``test_cfg`` with the settings' suppression in the place of its own."""
    changed = copy.deepcopy(test_cfg)
    if settings.nms is not None or settings.nms_iou is not None:
        own = dict(changed.get('nms') or dict(type='nms', iou_threshold=settings.iou))
        if settings.nms is not None:
            own['class_agnostic'] = settings.nms == 'agnostic'
        if settings.nms_iou is not None:
            own['iou_threshold'] = settings.nms_iou
        changed['nms'] = own
    if settings.max_per_image is not None:
        changed['max_per_img'] = settings.max_per_image
    if settings.score_thr is not None:
        changed['score_thr'] = settings.score_thr
    return changed
