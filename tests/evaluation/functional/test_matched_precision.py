"""AP50 in two steps against the evaluator that all other scores come from."""

from typing import Any

import numpy as np
import pytest

from fgdet.evaluation.functional.coco_detection import precision_and_recall
from fgdet.evaluation.functional.coco_evaluator import measure
from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.evaluation.functional.matched_precision import (
    NOT_COUNTED,
    RIGHT,
    WRONG,
    RankedDetections,
    count_objects,
    objects_by_image,
)
from fgdet.evaluation.result_table import ResultTable

CATEGORY_IDS = [3, 1, 7, 9]


def scenes(crowds: bool, lvis: bool, num_images: int = 12) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Random objects, and detections that are objects moved a little, of another class at times, or anything."""
    generator = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number in range(1, num_images + 1):
        images.append(dict(id=number, width=100, height=100))
        for _ in range(generator.integers(0, 6)):
            box = [*generator.uniform(0, 60, 2).tolist(), *generator.uniform(10, 40, 2).tolist()]
            category = int(generator.choice(CATEGORY_IDS[:3]))  # none of the last
            crowd = int(crowds and generator.uniform() < 0.3)
            objects.append(
                dict(id=len(objects) + 1, image_id=number, category_id=category, bbox=box, iscrowd=crowd, area=100.0)
            )
            for _ in range(3):
                moved = (np.array(box) + generator.normal(0, 4, 4)).clip(1).tolist()
                label = category if generator.uniform() < 0.8 else int(generator.choice(CATEGORY_IDS))
                score = round(float(generator.uniform()), 2)  # ties
                found.append(dict(image_id=number, category_id=label, bbox=moved, score=score))
        if lvis:
            absent = generator.choice(CATEGORY_IDS, 2, replace=False).tolist()
            here = {each['category_id'] for each in objects if each['image_id'] == number}
            images[-1]['neg_category_ids'] = [each for each in absent if each not in here]
            images[-1]['not_exhaustive_category_ids'] = [each for each in here if generator.uniform() < 0.4]
    categories = [dict(id=number, name=str(number), frequency='f') for number in CATEGORY_IDS]
    return dict(images=images, annotations=objects, categories=categories), found


def two_steps(annotations: dict[str, Any], found: list[dict[str, Any]]) -> np.ndarray:
    images = objects_by_image(annotations, CATEGORY_IDS)
    columns: list[list[np.ndarray]] = [[], [], []]
    for number, objects in images.items():
        mine = sorted((each for each in found if each['image_id'] == number), key=lambda each: -each['score'])
        xywh = np.array([each['bbox'] for each in mine]).reshape(-1, 4)
        labels = np.array([CATEGORY_IDS.index(each['category_id']) for each in mine], dtype=np.int64)
        outcomes = objects.outcomes(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), labels)
        for column, values in zip(columns, (labels, np.array([each['score'] for each in mine]), outcomes), strict=True):
            column.append(values)
    labels, scores, outcomes = (np.concatenate(column) for column in columns)
    num_objects = count_objects(list(images.values()), len(CATEGORY_IDS))
    result = RankedDetections(labels, scores, outcomes).average_precisions(num_objects)
    # A half of them, chosen afterwards, is what that half alone gives.
    kept = np.arange(len(labels)) % 2 == 0
    half = RankedDetections(labels[kept], scores[kept], outcomes[kept]).average_precisions(num_objects)
    np.testing.assert_array_equal(
        RankedDetections(labels, scores, outcomes).average_precisions(num_objects, kept), half
    )
    return result


@pytest.mark.parametrize('crowds', [False, True])
def test_ap50__as_coco(crowds: bool) -> None:
    annotations, found = scenes(crowds, lvis=False)
    precision, _ = precision_and_recall(annotations, found, CATEGORY_IDS, num_areas=1)
    expected = precision[0, :, :, 0].mean(axis=0)
    np.testing.assert_allclose(two_steps(annotations, found), expected, atol=1e-12)
    assert 0.2 < expected[0] < 0.95
    assert np.isnan(expected[3])


def test_ap50__as_lvis() -> None:
    annotations, found = scenes(crowds=False, lvis=True)
    for entry in annotations['annotations'][::7]:
        entry['area'] = 0.0
    for number, entry in enumerate(found[:9]):
        entry['bbox'][2 + number % 2] = 0.0
    ground_truth = GroundTruth.from_annotations(annotations, CATEGORY_IDS, 'bbox', lvis_style=True)
    precision, _ = measure(ground_truth, ResultTable.from_entries(found), 300, lvis_style=True)
    ours = two_steps(annotations, found)
    np.testing.assert_allclose(ours, precision[0, :, :, 0].mean(axis=0), atol=1e-12)
    plain = {key: value for key, value in annotations.items() if key != 'images'}
    plain['images'] = [{'id': image['id']} for image in annotations['images']]
    assert np.nanmax(np.abs(ours - two_steps(plain, found))) > 0.01  # what was looked for makes a difference here


def test_ap50__the_hundred_best_of_a_class() -> None:
    objects = [dict(id=1, image_id=1, category_id=3, bbox=[0.0, 0, 10, 10])]
    annotations = dict(images=[dict(id=1)], annotations=objects, categories=[dict(id=3, name='3')])
    (image,) = objects_by_image(annotations, [3]).values()
    boxes = np.array([[50.0, 50, 60, 60]] * 100 + [[0.0, 0, 10, 10]])
    outcomes = image.outcomes(boxes, np.zeros(101, dtype=np.int64))
    assert outcomes.tolist() == [WRONG] * 100 + [NOT_COUNTED]
    assert image.outcomes(boxes[1:], np.zeros(100, dtype=np.int64))[-1] == RIGHT


def test_ap50__nothing_found() -> None:
    annotations, _ = scenes(crowds=False, lvis=False)
    np.testing.assert_array_equal(two_steps(annotations, []), [0, 0, 0, np.nan])
    assert len(objects_by_image(annotations, CATEGORY_IDS)[1].outcomes(np.zeros((0, 4)), np.zeros(0, int))) == 0
