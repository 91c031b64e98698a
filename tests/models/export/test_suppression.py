"""Suppression of whole batches against a loop over images, classes and pairs of boxes."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from fgdet.models.export.suppression import OUT, batched_nms, best, rows_of, suppress


def naive(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float) -> set[tuple[int, int, int]]:
    kept = set()
    for image in range(len(boxes)):
        overlaps = box_iou(boxes[image], boxes[image])
        for label in range(scores.shape[1]):
            chosen: list[int] = []
            for row in scores[image, label].argsort(descending=True).tolist():
                passes = scores[image, label, row] > score_threshold
                if passes and not any(overlaps[row, other] > iou_threshold for other in chosen):
                    chosen.append(row)
            kept |= {(image, label, row) for row in chosen}
    return kept


def random_boxes(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(2, 30, 2, generator=generator)
    boxes = torch.cat([corner, corner + 1 + 20 * torch.rand(2, 30, 2, generator=generator)], dim=2)
    return boxes, torch.rand(2, 3, 30, generator=generator)


def test_batched_nms__keeps_what_a_loop_keeps() -> None:
    for seed in range(3):
        boxes, scores = random_boxes(seed)
        found = batched_nms(boxes, scores, 0.4, 0.2)
        assert set(map(tuple, found.tolist())) == naive(boxes, scores, 0.4, 0.2)
        assert len(set(map(tuple, found.tolist()))) == len(found) > 20


def test_batched_nms__nothing_above_the_threshold() -> None:
    boxes, scores = random_boxes(0)
    assert batched_nms(boxes, scores, 0.5, 1.0).shape == (0, 3)


def test_suppress__leaves_the_scores_of_what_is_kept() -> None:
    boxes, scores = random_boxes(0)
    kept = suppress(boxes, scores, 0.4, 0.2)
    expected = torch.full_like(scores, OUT)
    for place in naive(boxes, scores, 0.4, 0.2):
        expected[place] = scores[place]
    assert torch.equal(kept, expected)


def test_best__more_than_there_are() -> None:
    scores = torch.tensor([[0.2, OUT, 0.5], [OUT, OUT, OUT]])
    values, places = best(scores, 4)
    assert torch.equal(values, torch.tensor([[0.5, 0.2, OUT, OUT], [OUT] * 4]))
    assert places.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0]]


def test_rows_of__by_hand() -> None:
    values = torch.arange(12.0).reshape(2, 3, 2)
    assert rows_of(values, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
