import copy
import json
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from fgdet.evaluation.functional.lvis_detection import best_of_each, evaluate_lvis
from fgdet.utils.checks import UserError
from tests.builders import ROOT

DATA = ROOT / 'tests/data/lvis'


def read(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def test_evaluate_lvis__lvis_api_on_100_images() -> None:
    """``expected_bbox.json`` is lvis-api 0.5.3's."""
    annotations, predictions = read('annotations.json'), read('predictions_bbox.json')
    before = copy.deepcopy((annotations, predictions[:50]))
    scores = evaluate_lvis(annotations, predictions)
    for key, value in read('expected_bbox.json').items():
        assert scores[key] == pytest.approx(value, abs=1e-6), key
    assert scores['novel_ap'] == scores['APr'] and scores['APc'] > scores['base_ap'] > scores['APf']
    assert (annotations, predictions[:50]) == before


def scene(**image: Any) -> dict[str, Any]:
    """One image with one object of class 1; classes 2 and 3 have theirs in another image."""
    images = [{'id': 1, 'height': 99, 'width': 99, **image}, {'id': 2, 'height': 99, 'width': 99}]
    categories = [{'id': n, 'name': f'{n}', 'frequency': each} for n, each in zip((1, 2, 3), 'fcr', strict=True)]
    box = {'bbox': [10, 10, 40, 40], 'area': 1600}
    places = [(1, 1), (2, 2), (2, 3)]
    return {
        'images': images,
        'categories': categories,
        'annotations': [{'image_id': image, 'category_id': n, **box} for image, n in places],
    }


def found(image: int, category: int, score: float, x: float = 10) -> dict[str, Any]:
    return {'image_id': image, 'category_id': category, 'bbox': [x, 10, 40, 40], 'score': score}


RIGHT = [found(1, 1, 0.8), found(2, 2, 0.8), found(2, 3, 0.8)]


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        ({}, 1.0),  # nobody looked for class 2 in image 1: the stray box does not count
        ({'neg_category_ids': [2]}, 0.5),  # it is not there: one mistake above the only hit
        ({'neg_category_ids': [2], 'not_exhaustive_category_ids': [2]}, 1.0),  # it may be there
    ],
)
def test_evaluate_lvis__a_class_counts_where_it_was_looked_for(image: dict[str, Any], expected: float) -> None:
    scores = evaluate_lvis(scene(**image), [*RIGHT, found(1, 2, 0.9)])
    assert (scores['APc'], scores['APf'], scores['APr']) == pytest.approx((expected, 1.0, 1.0))
    assert scores['base_ap'] == pytest.approx((1 + expected) / 2)
    assert np.isnan(scores['APs']) and scores['APm'] == pytest.approx(scores['AP'])


def test_evaluate_lvis__masks_on_an_image_without_objects() -> None:
    mask = mask_utils.encode(np.asfortranarray(np.pad(np.ones((40, 40), dtype=np.uint8), ((10, 49), (10, 49)))))
    annotations = scene()
    annotations['images'].append({'id': 3, 'height': 99, 'width': 99})
    for each in annotations['annotations']:
        each['segmentation'] = [[10, 10, 50, 10, 50, 50, 10, 50]]
    entries = [entry | {'segmentation': mask} for entry in [*RIGHT, found(3, 1, 0.9)]]
    assert evaluate_lvis(annotations, entries, 'segm')['AP'] == pytest.approx(1.0)


def test_evaluate_lvis__nothing_found() -> None:
    assert [evaluate_lvis(scene(), [])[key] for key in ('AP', 'APr', 'AR@300')] == [0, 0, 0]


def test_best_of_each__of_equal_ones_the_earlier() -> None:
    groups, scores = np.array([1, 2, 1, 1, 7, 1]), np.array([0.5, 0.1, 0.5, 0.9, 0.2, 0.5])
    assert best_of_each(groups, scores, 2).tolist() == [True, True, False, True, True, False]
    assert best_of_each(groups[:0], scores[:0], 2).tolist() == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'frequency': None}, "category '1' has no 'frequency' of r, c or f; give an LVIS file"),
        ({'id': 9}, 'category_id 1 is not among the 3 categories'),
    ],
)
def test_evaluate_lvis__refuses_what_is_no_lvis(change: dict[str, Any], message: str) -> None:
    annotations = scene()
    annotations['categories'][0].update(change)
    with pytest.raises(UserError, match=message):
        evaluate_lvis(annotations, RIGHT)
