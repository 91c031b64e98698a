"""The last step of every head: two opinions of each region become detections.

Axes: B images, N regions of one image, K names and N negative prompts in the columns of scores, M detections of one
image, d dimension of an embedding, h x w patches.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from fgdet.models.post_processing.class_suppression import suppress
from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.score_ensemble import ensemble_scores
from fgdet.ops.roi_align import region_pool
from fgdet.utils.checks import UserError

#: What a head's ``test_cfg`` may say of its last step, and of the two scores.
_FIELDS = {'score_thr', 'nms', 'class_agnostic_nms', 'max_per_img', 'score_ensemble'}
_WEIGHTS = {'alpha', 'beta', 'temperature'}


class RegionScores(NamedTuple):
    """What is known of the regions of one image before anything is chosen.

    Args:
        boxes: (N, 4) xyxy in pixels of the network's input, refined and inside of the image; N may be 0.
        detector: (N, K) in 0..1, the trained head's probability, all of it (the mean of a cascade's stages, a sigmoid
            times its centerness), without a column for the background.
        cosines: (N, K), of the region in the dense map of the frozen tower and each class, see :func:`region_cosines`;
            None for a head that is configured without ``score_ensemble``.
    """

    boxes: Tensor
    detector: Tensor
    cosines: Tensor | None


class ScoreEnsemble(nn.Module):
    """Joins both scores, drops what a negative prompt fits better, and chooses: all of ``predict`` that has no weights.

    Every head ends its predictions in one, so that what goes in can be recorded by a forward hook and chosen from again
    with other settings: a sweep gives exactly what the detector would.
    """

    def forward(
        self,
        regions: Sequence[RegionScores],
        is_trained: Tensor,
        num_negatives: int,
        test_cfg: Mapping[str, Any],
        batch_img_metas: Sequence[Mapping[str, Any]],
        rescale: bool,
    ) -> list[InstanceData]:
        """Detections of each image.

        Args:
            regions: of each image.
            is_trained: (K,) bool, True for a class with boxes in training.
            num_negatives: how many of the last classes compete but are never reported.
            test_cfg: ``score_thr`` (detections are above it), ``nms`` (mmcv's config; None or absent: no suppression,
                as for DINO), ``class_agnostic_nms`` (True: a box suppresses worse ones of every class, so that a place
                has one name; absent: of its own class), ``max_per_img``, and ``score_ensemble`` with ``alpha``,
                ``beta`` and ``temperature`` (None or absent: the head's own scores).
            batch_img_metas: for each image its ``scale_factor`` (w, h), looked at with ``rescale`` only.
            rescale: return boxes in pixels of the original image.

        Returns:
            for each image ``bboxes`` (M, 4) xyxy, ``scores`` (M,) from the highest on and ``labels`` (M,).
        """
        results = []
        for each, meta in zip(regions, batch_img_metas, strict=True):
            scores = join_scores(each, is_trained, test_cfg.get('score_ensemble'))
            boxes = each.boxes
            if rescale:
                boxes = boxes / boxes.new_tensor(meta['scale_factor']).repeat(2)
            found, found_scores, labels = suppress(
                boxes,
                without_negatives(scores, num_negatives),
                test_cfg.get('score_thr', 0.0),
                test_cfg.get('nms'),
                test_cfg['max_per_img'],
                test_cfg.get('class_agnostic_nms', False),
            )
            results.append(InstanceData(bboxes=found, scores=found_scores, labels=labels))
        return results


def check_test_cfg(
    test_cfg: Mapping[str, Any] | None, needed: Sequence[str] = (), optional: Sequence[str] = ()
) -> None:
    """Find when a head is built what would stop its first validation, or would have no effect.

    Args:
        test_cfg: of a head, see :meth:`ScoreEnsemble.forward`; None, of a head that only trains, passes.
        needed: fields that this head has to have beside ``max_per_img``.
        optional: fields that it may have beside those of the last step.

    Raises:
        UserError: a field is missing or unknown, or a weight of ``score_ensemble`` is out of range.
    """
    if test_cfg is None:
        return
    missing = {'max_per_img', *needed} - set(test_cfg)
    unknown = set(test_cfg) - _FIELDS - set(needed) - set(optional)
    if missing or unknown:
        expected = ', '.join(sorted(_FIELDS.union(needed, optional)))
        problem = f'{min(missing)} is missing' if missing else f'{min(unknown)} has no effect here'
        raise UserError(f'model.test_cfg: {problem}; its fields are {expected}')
    weights = test_cfg.get('score_ensemble')
    if weights is None:
        return
    if set(weights) != _WEIGHTS:
        raise UserError(f'model.test_cfg.score_ensemble: expected alpha, beta and temperature, got {dict(weights)}')
    if not (0 <= weights['alpha'] <= 1 and 0 <= weights['beta'] <= 1 and weights['temperature'] > 0):
        raise UserError(
            'model.test_cfg.score_ensemble: expected alpha and beta in 0..1 and a temperature above 0, got '
            f'{dict(weights)}'
        )


def join_scores(regions: RegionScores, is_trained: Tensor, weights: Mapping[str, float] | None) -> Tensor:
    """The scores of one image's regions, (N, K) in 0..1; without ``weights``, the detector's."""
    if weights is None:
        return regions.detector
    assert regions.cosines is not None
    frozen = (regions.cosines / weights['temperature']).softmax(dim=1)  # (N, K)
    return ensemble_scores(regions.detector, frozen, is_trained, weights['alpha'], weights['beta'])


def region_cosines(
    dense: Tensor, boxes: Sequence[Tensor], class_embeddings: Tensor, input_hw: tuple[int, int]
) -> tuple[Tensor, ...]:
    """What the frozen tower says of each region: the cosine with every class.

    Args:
        dense: (B, d, h, w), the map that covers the network's input.
        boxes: for each image (N, 4) xyxy in pixels of the network's input.
        class_embeddings: (K, d), of length 1.
        input_hw: height and width of the network's input in pixels, padding included (``batch_input_shape``).

    Returns:
        for each image (N, K) float32; zeros for a box without area.
    """
    features = region_pool(dense, list(boxes), spatial_scale=dense.shape[-1] / input_hw[1])[..., 0, 0]  # (sum N, d)
    with torch.autocast(dense.device.type, enabled=False):  # the temperature enlarges the rounding
        cosines = F.normalize(features.float(), dim=1) @ class_embeddings.float().T
    return cosines.split([len(each) for each in boxes])
