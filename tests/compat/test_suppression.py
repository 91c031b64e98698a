"""mmcv.ops.nms, batched_nms and soft_nms against plain loops over boxes."""

import math

import pytest
import torch
from mmcv.ops import batched_nms, nms, soft_nms
from torch import Tensor


def iou(a: list[float], b: list[float], offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a + area_b - width * height)


def naive_nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> list[int]:
    rows: list[list[float]] = boxes.tolist()
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(iou(rows[index], rows[other], offset) <= iou_threshold for other in kept):
            kept.append(index)
    return kept


def naive_soft_nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, sigma: float, min_score: float, method: str, offset: int
) -> list[tuple[int, float]]:
    rows, left, kept = boxes.tolist(), dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=lambda index: left[index])
        kept.append((best, left.pop(best)))
        for index in list(left):
            overlap = iou(rows[best], rows[index], offset)
            if method == 'gaussian':
                left[index] *= math.exp(-overlap * overlap / sigma)
            elif overlap >= iou_threshold:
                left[index] *= 0.0 if method == 'naive' else 1 - overlap
            if left[index] < min_score:
                del left[index]
    return kept


def random_boxes(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Crowded boxes (N, 4) in 0..70 with all scores different."""
    corners = torch.rand(count, 2, generator=generator) * 40
    sides = torch.rand(count, 2, generator=generator) * 25 + 5
    return torch.cat([corners, corners + sides], dim=1), torch.rand(count, generator=generator)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms__random_boxes(device: str, generator: torch.Generator, threshold: float, offset: int) -> None:
    boxes, scores = random_boxes(generator, 80)
    detections, kept = nms(boxes.to(device), scores.to(device), threshold, offset=offset)
    assert kept.tolist() == naive_nms(boxes, scores, threshold, offset)
    torch.testing.assert_close(detections.cpu(), torch.cat([boxes, scores[:, None]], dim=1)[kept.cpu()])


def test_nms__score_threshold_and_max_num(device: str, generator: torch.Generator) -> None:
    boxes, scores = random_boxes(generator, 80)
    _, kept = nms(boxes.to(device), scores.to(device), 0.5, score_threshold=0.4, max_num=5)
    expected = [index for index in naive_nms(boxes, scores, 0.5, 0) if scores[index] > 0.4]
    assert kept.tolist() == expected[:5]


def test_nms__offset_decides() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]])  # share an edge; with offset 1 they share 2 of 6 pixels
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms__other_precisions(device: str, dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], dtype=dtype, device=device)
    detections, kept = nms(boxes, torch.tensor([0.5, 0.75, 0.25], dtype=dtype, device=device), 0.5)
    assert kept.tolist() == [1, 2]
    assert detections.dtype == dtype


def test_nms__no_boxes(device: str) -> None:
    detections, kept = nms(torch.zeros(0, 4, device=device), torch.zeros(0, device=device), 0.5)
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize('split_threshold', [10000, 1])
def test_batched_nms__classes_do_not_meet(device: str, generator: torch.Generator, split_threshold: int) -> None:
    boxes, scores = random_boxes(generator, 60)
    classes = torch.randint(3, (60,), generator=generator)
    config = {'type': 'nms', 'iou_threshold': 0.4, 'split_thr': split_threshold}
    detections, kept = batched_nms(boxes.to(device), scores.to(device), classes.to(device), config)
    expected = []
    for label in range(3):
        members = (classes == label).nonzero().flatten()
        expected += members[naive_nms(boxes[members], scores[members], 0.4, 0)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda index: -scores[index])
    torch.testing.assert_close(detections[:, 4].cpu(), scores[kept.cpu()])


def test_batched_nms__soft() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10]])
    scores, classes = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
    detections, kept = batched_nms(boxes, scores, classes, {'type': 'soft_nms', 'iou_threshold': 0.3})
    assert kept.tolist() == [0, 2, 1]  # the second box overlaps the first by a half: 0.8 * 0.5 = 0.4
    torch.testing.assert_close(detections[:, 4], torch.tensor([0.9, 0.7, 0.4]))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('min_score', [0.0, 1e-3, 0.2])
def test_soft_nms__random_boxes(
    device: str, generator: torch.Generator, method: str, offset: int, min_score: float
) -> None:
    boxes, scores = (tensor.double() for tensor in random_boxes(generator, 50))
    detections, kept = soft_nms(boxes.to(device), scores.to(device), 0.3, 0.5, min_score, method, offset)
    expected = naive_soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    positive = [index for index, score in expected if score > 0]  # boxes decayed to 0 have no order among themselves
    assert kept.tolist()[: len(positive)] == positive
    assert set(kept.tolist()) == {index for index, _ in expected}
    torch.testing.assert_close(detections[:, 4].tolist(), [score for _, score in expected])
    torch.testing.assert_close(detections[:, :4].cpu(), boxes[kept.cpu()])


def test_soft_nms__best_box_stays_below_min_score() -> None:
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6]])
    detections, kept = soft_nms(boxes, torch.tensor([0.05, 0.04]), min_score=0.1)
    assert kept.tolist() == [0]
    torch.testing.assert_close(detections, torch.tensor([[0.0, 0, 1, 1, 0.05]]))


def test_soft_nms__no_boxes() -> None:
    detections, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)


def test_softnms__unknown_method() -> None:
    from mmcv import _ext

    with pytest.raises(ValueError, match='method of soft-NMS: got 7; choose 0'):
        _ext.softnms(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1, 5), 0.3, 0.5, 0.0, 7, 0)
