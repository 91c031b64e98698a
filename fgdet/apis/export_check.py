"""An exported graph against what it was exported from."""

from typing import Any, NamedTuple

import numpy as np
import torch

#: How far a detection of onnxruntime may be from its twin of torch: box in pixels, score and mask in 0..1.
BOX_TOLERANCE, SCORE_TOLERANCE, MASK_TOLERANCE = 0.5, 1e-3, 0.02
#: The share of detections that may have no twin: rounding decides between scores or overlaps that are all but equal,
#: and whether a box that is clipped to nearly nothing is one.
MAX_UNMATCHED = 0.01


class Match(NamedTuple):
    """How the detections of an image differ."""

    detections: int
    unmatched: int  # without a twin within the tolerances
    box_error: float  # pixels, the largest of those with a twin
    score_error: float
    mask_error: float


def compare(graph: Any, data: bytes, count: int) -> dict[str, Any]:
    """Run an exported graph and its origin on random images of various sizes.

    Args:
        graph: the origin, a :class:`fgdet.apis.export.Graph`.
        data: the ONNX file.
        count: images.

    Returns:
        ``checked``, ``detections``, ``unmatched``, and the largest ``box_error`` in pixels, ``score_error`` and, with
        masks, ``mask_error``; only ``checked`` = 0 without onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError:
        count = 0
    if not count:
        return {'checked': 0}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    matches = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed in range(count):
            torch.manual_seed(seed)
            inputs = graph.example(*torch.randint(2, 8, (2,)).tolist())
            expected = [each.numpy() for each in graph(*inputs.values())]
            found = session.run(None, {name: each.numpy() for name, each in inputs.items()})
            matches += [
                match(*image) for image in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True)
            ]
    totals = {name: max(column) for name, column in zip(Match._fields, zip(*matches, strict=True), strict=True)}
    for name in ('detections', 'unmatched'):
        totals[name] = sum(getattr(each, name) for each in matches)
    if len(graph.exportable.outputs) < 4:
        del totals['mask_error']
    return {'checked': count, **totals}


def match(found: tuple[np.ndarray, ...], expected: tuple[np.ndarray, ...]) -> Match:
    """Find the twin of each detection: of the same label, with its score, nearest by box.

    Args:
        found: boxes (M, 4), scores (M,), labels (M,) and optionally masks (M, h, w) of one image; a score below 0 is no
            detection.
        expected: the same of the origin.
    """
    found, expected = (tuple(each[image[1] >= 0] for each in image) for image in (found, expected))
    unmatched, errors = max(len(found[1]) - len(expected[1]), 0), [(0.0, 0.0, 0.0)]
    for row, (box, score, label) in enumerate(zip(*expected[:3], strict=True)):
        distances = np.abs(found[0] - box).max(axis=1)
        is_alike = (found[2] == label) & (np.abs(found[1] - score) <= SCORE_TOLERANCE)
        distances[~is_alike] = np.inf
        twin = int(distances.argmin()) if len(distances) else -1
        pairs = zip(found[3:], expected[3:], strict=True)  # of masks, if there are any
        mask_error = max(
            (float(np.abs(one[twin] - other[row]).max()) for one, other in pairs if twin >= 0), default=0.0
        )
        if twin < 0 or distances[twin] > BOX_TOLERANCE or mask_error > MASK_TOLERANCE:
            unmatched += 1
            continue
        errors.append((float(distances[twin]), abs(float(found[1][twin] - score)), mask_error))
    box_error, score_error, mask_error = (max(column) for column in zip(*errors, strict=True))
    return Match(len(expected[1]), unmatched, box_error, score_error, mask_error)
