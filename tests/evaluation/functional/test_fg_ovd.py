"""FG-OVD's scores: against loops, a case worked by hand, torchvision's suppression and pycocotools."""

from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import nms

from fgdet.evaluation.functional.fg_ovd import (
    best_of_runs,
    evaluate_fg_ovd_detection,
    rank_outcomes,
    vocabularies_of,
)
from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError


def table(rows: list[tuple[int, int, list[float], float]]) -> ResultTable:
    """Detections of (image, caption, box xywh, score)."""
    entries = [dict(zip(('image_id', 'category_id', 'bbox', 'score'), row, strict=True)) for row in rows]
    return ResultTable.from_entries(entries)


def benchmark(annotations: list[tuple[int, list[float], int, list[int]]], num_captions: int = 20) -> dict[str, Any]:
    """The COCO form of (image, box xywh, right caption, wrong captions)."""
    keys = ('image_id', 'bbox', 'category_id', 'neg_category_ids')
    return {
        'images': [{'id': number} for number in sorted({row[0] for row in annotations})],
        'categories': [{'id': number, 'name': str(number)} for number in range(num_captions)],
        'annotations': [{'id': i} | dict(zip(keys, row, strict=True)) for i, row in enumerate(annotations)],
    }


def test_ranks__ties_fewer_negatives_and_no_number() -> None:
    nan = float('nan')
    groups = [[2.0, 1, 1], [1, 2, 0], [2, 2, 1], [3, 3], [5], [0, -1, -1, -1], [nan, 1], [1, nan], [-1, -2]]
    best, alone = rank_outcomes(np.concatenate(groups), np.array([len(group) for group in groups]))
    assert best.tolist() == [True, False, True, True, True, True, False, False, True]
    assert alone.tolist() == [True, False, False, False, True, True, False, False, True]
    assert [len(each) for each in rank_outcomes(np.zeros(0), np.zeros(0, dtype=int))] == [0, 0]


def test_ranks__equal_a_loop_over_lines() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 12, 300)
    scores = generator.integers(0, 6, sizes.sum()).astype(float)
    best, alone = rank_outcomes(scores, sizes)
    start = 0
    for size, is_best, is_alone in zip(sizes, best, alone, strict=True):
        right, *wrong = scores[start : start + size]
        assert is_best == all(right >= each for each in wrong) and is_alone == all(right > each for each in wrong)
        start += size


def test_best_of_runs__equals_torchvision_run_by_run() -> None:
    generator = np.random.default_rng(1)
    sizes = [0, 130, 1, 40, 0, 100, 101, *[3] * 70]  # more runs than are looked at together
    groups = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    boxes = np.concatenate(
        [generator.integers(0, 30, (len(groups), 2)), generator.integers(0, 25, (len(groups), 2))], 1
    )
    scores = generator.permutation(len(groups)) / len(groups)
    kept = best_of_runs(boxes.astype(float), scores, groups)
    for group in range(len(sizes)):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(-scores[rows])][:100]
        corners = torch.tensor(np.concatenate([boxes[rows, :2], boxes[rows, :2] + boxes[rows, 2:]], 1)).double()
        expected = set(rows[nms(corners, torch.tensor(scores[rows]), 0.5).numpy()])
        assert set(np.flatnonzero(kept & (groups == group))) == expected
    assert len(best_of_runs(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int))) == 0


def test_detection__case_worked_by_hand() -> None:
    """One image with captions 0 (two objects) and 5, another with caption 8."""
    left, right, low = [0, 0, 10, 10], [20, 0, 10, 10], [0, 30, 10, 10]
    annotations = benchmark([(1, left, 0, [1, 2]), (1, right, 0, [1, 2]), (1, low, 5, [6, 7]), (2, left, 8, [9, 1])])
    rows = [
        # run of 0: wrong caption 1 wins on the right object and takes the box of 0 there away; one box is elsewhere
        ((1, 0, left, 0.9), 0),
        ((1, 1, right, 0.8), 0),
        ((1, 0, right, 0.7), 0),
        ((1, 0, [50, 50, 10, 10], 0.95), 0),
        # run of 5: caption 6 is nowhere near
        ((1, 5, [0, 30, 10, 10], 0.3), 5),
        ((1, 6, [60, 30, 10, 10], 0.9), 5),
        # run of 8: overlap of 0.8 with the object: right at 0.5 and 0.75, and at 7 of 10 overlaps
        ((2, 8, [0, 0, 10, 8], 0.2), 8),
        ((2, 9, [0, 0, 10, 3], 0.9), 8),
    ]
    found = table([row for row, _ in rows])
    scores = evaluate_fg_ovd_detection(annotations, found, np.array([run for _, run in rows]), num_negatives=2)
    # Caption 0: one of two objects found, as second: precision 1/2 up to recall 0.5, that is at 51 of 101 recalls.
    assert scores.category_ids.tolist() == [0, 5, 8] and scores.image_ids.tolist() == [1, 1, 2]
    np.testing.assert_allclose(scores.ap50, [51 / 101 / 2, 1, 1])
    np.testing.assert_allclose(scores.ap, [51 / 101 / 2, 1, 0.7])
    assert scores.means() == pytest.approx(
        {'map': (51 / 202 + 1.7) / 3, 'map50': (51 / 202 + 2) / 3, 'map75': (51 / 202 + 2) / 3}
    )


def test_detection__captions_with_fewer_negatives_or_without_a_run_are_left_out() -> None:
    box = [0, 0, 10, 10]
    annotations = benchmark([(1, box, 0, [1, 2]), (2, box, 3, [4]), (3, box, 5, [6, 7])])
    found = table([(1, 0, box, 0.5)])
    runs = np.array([0])
    both = evaluate_fg_ovd_detection(annotations, found, runs, 2)
    assert both.category_ids.tolist() == [0, 5] and both.ap.tolist() == pytest.approx([1, 0])
    assert evaluate_fg_ovd_detection(annotations, found, runs, 2, only_predicted=True).ap.tolist() == pytest.approx([1])
    assert evaluate_fg_ovd_detection(annotations, found, runs, 1).ap.tolist() == pytest.approx([1, 0, 0])
    nothing = evaluate_fg_ovd_detection(annotations, table([]), np.zeros(0, dtype=int), 2)
    assert nothing.means() == {'map': 0, 'map50': 0, 'map75': 0}
    assert vocabularies_of(annotations, 1) == {(1, 0): [0, 1], (2, 3): [3, 4], (3, 5): [5, 6]}
    with pytest.raises(UserError, match='negatives: no caption has 3, 2 at most'):
        evaluate_fg_ovd_detection(annotations, found, runs, 3)


@pytest.mark.parametrize(
    ('row', 'run', 'message'),
    [
        ((1, 2, [0, 0, 1, 1], 0.5), 0, r'predictions\[1\]: category_id 2 is not in the vocabulary of caption 0'),
        ((1, 0, [0, 0, 1, 1], 0.5), 3, r'predictions\[1\]: image 1 has no run with the vocabulary of caption 3'),
        ((7, 0, [0, 0, 1, 1], 0.5), 0, r'predictions\[1\]: image_id 7 is not among the 2 images'),
        ((1, 0, [0, 0, 1, 1], float('nan')), 0, 'score: expected a finite number'),
    ],
)
def test_detection__prediction_that_belongs_nowhere(row: Any, run: int, message: str) -> None:
    annotations = benchmark([(1, [0, 0, 9, 9], 0, [1, 2]), (2, [0, 0, 9, 9], 3, [4])])
    with pytest.raises(UserError, match=message):
        evaluate_fg_ovd_detection(annotations, table([(1, 0, [0, 0, 1, 1], 0.5), row]), np.array([0, run]), 1)


def test_detection__equals_pycocotools_after_torchvision() -> None:
    """Random runs, among them captions that are right in one image and wrong in another."""
    generator = np.random.default_rng(2)
    rows: list[Any] = []
    for image_id in range(6):
        for caption in generator.choice(12, 3, replace=False).tolist():
            wrong = [(caption + step) % 12 for step in (1, 3, 4)]
            for _ in range(generator.integers(1, 4)):
                rows.append((image_id, [*generator.integers(0, 60, 2).tolist(), 30, 24], caption, wrong))
    annotations = benchmark(rows)
    found: list[Any] = []
    expected: list[dict[str, Any]] = []
    for (image_id, caption), captions in vocabularies_of(annotations, 2).items():
        objects = np.array([row[1] for row in rows if row[0] == image_id and row[2] == caption], dtype=float)
        boxes = objects[generator.integers(0, len(objects), 25)] + generator.normal(0, 3, (25, 4))
        labels, scores = generator.choice(captions, 25), generator.permutation(25) / 25
        found += [
            (image_id, int(label), box.tolist(), float(score), caption)
            for label, box, score in zip(labels, boxes, scores, strict=True)
        ]
        corners = torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1))
        for i in nms(corners, torch.tensor(scores), 0.5).tolist():
            box = boxes[i].tolist()
            expected.append(dict(image_id=image_id, category_id=int(labels[i]), bbox=box, score=float(scores[i])))
    order = generator.permutation(len(found))
    shuffled = [found[i] for i in order]
    scores_of = evaluate_fg_ovd_detection(
        annotations, table([row[:4] for row in shuffled]), np.array([row[4] for row in shuffled]), 2
    )
    truth = COCO()
    objects = [
        each | dict(id=i, area=each['bbox'][2] * each['bbox'][3], iscrowd=0)
        for i, each in enumerate(annotations['annotations'], 1)
    ]
    truth.dataset = annotations | {'annotations': objects}
    truth.createIndex()
    official = COCOeval(truth, truth.loadRes(expected), 'bbox')
    official.evaluate()
    official.accumulate()
    precision = official.eval['precision'][..., 0, -1]  # (T, R, K)
    has_objects = precision[0, 0] >= 0
    assert scores_of.category_ids.tolist() == [k for k in range(20) if has_objects[k]]
    np.testing.assert_allclose(scores_of.ap, precision.mean((0, 1))[has_objects], atol=1e-12)
    np.testing.assert_allclose(scores_of.ap75, precision[5].mean(0)[has_objects], atol=1e-12)
    assert 0.05 < scores_of.means()['map'] < 0.95
