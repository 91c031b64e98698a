"""What went into a head's last step, kept small, and that step again with other numbers.

Axes: N regions of one image, K names and M negative prompts, T temperatures, P pairs of a region and a class.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fgdet.models.post_processing.class_suppression import suppress
from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.region_scores import RegionScores
from fgdet.models.post_processing.score_ensemble import ensemble_scores

#: A joined score lies between its two parts, but for the rounding of two powers.
_ROUNDING = 1 - 1e-5


class RecordedScores(NamedTuple):
    """One image's :class:`~fgdet.models.post_processing.region_scores.RegionScores`, as arrays for a file.

    Of the N x (K + M) pairs only those are kept that can be above the threshold with some weights and one of the
    temperatures: the geometric mean is never above the larger of its parts. So what is left out changes nothing.
    """

    boxes: np.ndarray  # (N, 4) float32 xyxy in the pixels that they are suppressed in
    scale: np.ndarray  # (4,) what boxes are divided by afterwards
    rows: np.ndarray  # (P,) int32, region of a pair
    columns: np.ndarray  # (P,) int32, its class
    detector: np.ndarray  # (P,) float32
    frozen: np.ndarray  # (T, P) float32, the frozen tower's probability at each temperature


def record_scores(
    regions: RegionScores,
    num_negatives: int,
    test_cfg: Mapping[str, Any],
    img_meta: Mapping[str, Any],
    rescale: bool,
    temperatures: Sequence[float],
) -> RecordedScores:
    """Keep what a :class:`~fgdet.models.post_processing.region_scores.ScoreEnsemble` was given of one image.

    Args:
        regions: with cosines.
        num_negatives, test_cfg, img_meta, rescale: as it was given them.
        temperatures: T numbers above 0, those that can be chosen afterwards.
    """
    assert regions.cosines is not None
    detector = regions.detector.float()
    matters = torch.zeros_like(detector, dtype=torch.bool)
    frozen = [(regions.cosines / temperature).softmax(dim=1) for temperature in temperatures]
    for each in frozen:
        floor = _floor(detector, each, num_negatives, test_cfg)
        matters |= torch.maximum(detector, each) >= floor * _ROUNDING
    rows, columns = matters.nonzero(as_tuple=True)
    scale = regions.boxes.new_tensor(img_meta['scale_factor']).repeat(2)
    boxes = regions.boxes / scale if rescale else regions.boxes
    return RecordedScores(
        boxes.float().cpu().numpy(),
        (torch.ones_like(scale) if rescale else scale).cpu().numpy(),
        rows.int().cpu().numpy(),
        columns.int().cpu().numpy(),
        detector[matters].cpu().numpy(),
        torch.stack([each[matters] for each in frozen]).cpu().numpy(),
    )


def choose_again(
    recorded: RecordedScores,
    frozen: np.ndarray,
    is_trained: np.ndarray,
    num_negatives: int,
    test_cfg: Mapping[str, Any],
    alpha: float,
    beta: float,
    only: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The detections that the head would give with these numbers.

    Args:
        recorded: one image.
        frozen: (P,) the row of one temperature.
        is_trained: (K + M,) bool.
        num_negatives: M.
        test_cfg: of the head.
        alpha: weight of the frozen tower for trained classes.
        beta: the same for the others.
        only: (K + M,) bool, the classes that are looked at; None: all. Where classes do not touch each other (no
            negatives, no suppression across classes) the others would be the same.

    Returns:
        boxes (D, 4) xyxy in pixels of the original image, scores (D,) from the best on and labels (D,).
    """
    columns = torch.from_numpy(recorded.columns).long()
    parts = torch.from_numpy(recorded.detector)[None], torch.from_numpy(frozen)[None]  # (1, P) each
    joined = ensemble_scores(*parts, torch.from_numpy(is_trained)[columns], alpha, beta)[0]  # (P,)
    if only is not None:
        joined = joined.where(torch.from_numpy(only)[columns], torch.zeros(()))
    scores = torch.zeros(len(recorded.boxes), len(is_trained))  # (N, K + M)
    scores[torch.from_numpy(recorded.rows).long(), columns] = joined
    boxes, found, labels = suppress(
        torch.from_numpy(recorded.boxes),
        without_negatives(scores, num_negatives),
        test_cfg.get('score_thr', 0.0),
        test_cfg.get('nms'),
        test_cfg['max_per_img'],
        test_cfg.get('class_agnostic_nms', False),
    )
    return boxes.numpy() / recorded.scale, found.numpy(), labels.numpy()


def classes_are_apart(num_negatives: int, test_cfg: Mapping[str, Any]) -> bool:
    """Whether what is kept of one class depends on its own scores alone, but for ``max_per_img``."""
    nms = test_cfg.get('nms') or {}
    return not (num_negatives or test_cfg.get('class_agnostic_nms', False) or nms.get('class_agnostic', False))


def _floor(detector: Tensor, frozen: Tensor, num_negatives: int, test_cfg: Mapping[str, Any]) -> float:
    """A joined score below is not reported: of the threshold, or as enough pairs are above it whatever the weights."""
    threshold, limit = float(test_cfg.get('score_thr', 0.0)), test_cfg['max_per_img']
    if test_cfg.get('nms') or num_negatives or not 0 <= limit < detector.numel():
        return threshold
    return max(threshold, float(torch.minimum(detector, frozen).flatten().topk(limit).values[-1]) if limit else 0.0)
