"""What a detector of any kind says of its boxes, joined with what an image tower says of them; nothing is trained.

Axes: R boxes, K names and N negative prompts, d dimension of an embedding, h x w cells of a dense map.
"""

import torch
from torch import Tensor

from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.score_ensemble import region_probabilities
from fgdet.ops.roi_align import region_pool

#: In place of a label where a box has none.
NO_LABEL = -1


def region_fusion(
    region_features: Tensor,
    class_embeddings: Tensor,
    detector_scores: Tensor,
    labels: Tensor | None = None,
    *,
    boxes: Tensor | None = None,
    alpha: float = 0.5,
    temperature: float = 0.01,
    num_negatives: int = 0,
) -> tuple[Tensor, Tensor]:
    """Geometric mean of two opinions of each box, then the class that has the most of it.

    ``score_r = max_k p_rk^(1 - alpha) q_rk^alpha``, the mean of F-VLM (arXiv 2209.15639, section 3) with one weight for
    all classes, as FG-CLIP 2 (arXiv 2510.10921) joins the boxes of LLMDet with its region scores. Here q is the softmax
    over the vocabulary of the cosines over the temperature, and p is what the detector says:

    - of all classes, with ``detector_scores`` (R, K + N);
    - of one class, with ``labels``: ``p = s`` there and ``min(s, (1 - s) / (K + N - 1))`` for every other, as if what
      is left of it were spread evenly, and nothing fitted better than the label;
    - of no class (no ``labels``, or ``NO_LABEL``): ``p = s`` for all, so that the tower alone names the box.

    Args:
        region_features: (R, d) of any length; or with ``boxes`` a dense map (d, h, w).
        class_embeddings: (K + N, d), of length 1.
        detector_scores: s (R,) or p (R, K + N), in 0..1.
        labels: (R,) int64 in 0..K-1 or ``NO_LABEL``; with s only.
        boxes: (R, 4) xyxy in cells of the dense map, the first of which reaches from 0 to 1.
        alpha: weight of the tower, 0..1.
        temperature: what the cosines are divided by, above 0.
        num_negatives: N: a box which one of the last N classes fits better than its name gets a score of 0.

    Returns:
        scores (R,) float32 in 0..1 and labels (R,) int64 in 0..K-1; R may be 0.

    Raises:
        ValueError: a shape or a number is another.
    """
    if boxes is not None:
        region_features = region_pool(region_features[None].float(), [boxes.float()])[..., 0, 0]  # (R, d)
    count, num_classes = len(region_features), len(class_embeddings)
    shapes = [(count,)] if labels is not None else [(count,), (count, num_classes)]
    if tuple(detector_scores.shape) not in shapes:
        expected = ' or '.join(map(str, shapes))
        raise ValueError(f'detector_scores: expected {expected} of {count} boxes, got {tuple(detector_scores.shape)}')
    if not 0 <= alpha <= 1 or temperature <= 0:
        raise ValueError(f'expected alpha in 0..1 and a temperature above 0, got {alpha} and {temperature}')
    tower = region_probabilities(region_features, class_embeddings, temperature)  # (R, K + N)
    detector = _spread(detector_scores.float(), labels, num_classes)  # (R, K + N)
    fused = without_negatives(detector.pow(1 - alpha) * tower.pow(alpha), num_negatives)  # (R, K)
    scores, best = fused.max(dim=1)
    if labels is not None:  # a label stays where nothing is above it
        own = fused.gather(1, labels.clamp(min=0)[:, None])[:, 0]
        best = labels.where((labels != NO_LABEL) & (own == scores), best)
    return scores, best


def _spread(scores: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """p (R, K + N) of what is known."""
    if scores.ndim == 2:
        return scores
    spread = scores[:, None].expand(-1, num_classes)
    if labels is None:
        return spread
    others = torch.minimum(scores, (1 - scores) / max(num_classes - 1, 1))[:, None]  # (R, 1)
    is_label = torch.arange(num_classes, device=labels.device) == labels[:, None]  # (R, K + N)
    return spread.where(is_label | (labels == NO_LABEL)[:, None], others)
