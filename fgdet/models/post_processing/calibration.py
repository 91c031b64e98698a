"""Scores that say how often a detection is right: Platt scaling and its fit.

Axis: N detections.
"""

import numpy as np

#: Scores nearer to 0 or 1 count as this near: their logits stay finite.
_CLIP = 1e-6
_MAX_STEPS = 100


def calibrate(scores: np.ndarray, scale: float, bias: float) -> np.ndarray:
    """``sigmoid(scale * logit(p) + bias)`` (Platt 1999; Guo et al., arXiv 1706.04599, section 4.1).

    With a scale above 0 the order of the scores stays, and so does every average precision.

    Args:
        scores: (N,) in 0..1.
        scale: 1 with a bias of 0 changes nothing.
        bias: is added to the logit.

    Returns:
        (N,) in 0..1, of the type of ``scores``.
    """
    values = 1 / (1 + np.exp(-(scale * _logits(scores) + bias)))
    return values.astype(scores.dtype) if np.issubdtype(scores.dtype, np.floating) else values


def fit_calibration(scores: np.ndarray, is_correct: np.ndarray) -> tuple[float, float]:
    """The scale and bias of :func:`calibrate` under which ``is_correct`` is likeliest.

    Logistic regression by Newton's method with halved steps, in double precision. Platt's targets
    ``(N+ + 1) / (N+ + 2)`` and ``1 / (N- + 2)`` stand in place of 1 and 0, so that there is an optimum for detections
    that a threshold tells apart without a mistake.

    Args:
        scores: (N,) in 0..1.
        is_correct: (N,) bool.

    Returns:
        scale, bias.

    Raises:
        ValueError: no detections, all right, all wrong, or all of one score: there is nothing to fit.
    """
    right = np.asarray(is_correct, dtype=bool)
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        raise ValueError(f'calibration: expected right and wrong detections, got {positives} and {negatives}')
    logits = _logits(scores)
    if np.ptp(logits) == 0:
        raise ValueError(f'calibration: expected scores that differ, all {len(logits)} are {scores[0]}')
    targets = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)  # (N, 2)
    weights = np.array([0.0, np.log(positives / negatives)])
    loss = _cross_entropy(inputs @ weights, targets)
    for _ in range(_MAX_STEPS):
        probabilities = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (probabilities - targets)
        curvature = inputs.T @ (inputs * (probabilities * (1 - probabilities))[:, None])
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        while (changed := _cross_entropy(inputs @ (weights - step), targets)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, loss = weights - step, changed
        if np.abs(step).max() < 1e-10:
            break
    return float(weights[0]), float(weights[1])


def _logits(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(scores, dtype=np.float64), _CLIP, 1 - _CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0, logits) - targets * logits))
