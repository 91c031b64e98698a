"""Against pycocotools and lvis-api, number by number: every overlap, recall, class and range of area."""

import copy
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from fgdet.evaluation.functional import coco_evaluator, lvis_detection
from fgdet.evaluation.functional.coco_detection import ids_of, precision_and_recall
from fgdet.evaluation.functional.lvis_detection import best_of_lvis, evaluate_lvis, lvis_precision_and_recall
from fgdet.evaluation.results import as_table
from fgdet.utils.checks import UserError
from tests.official_evaluators import SIDE, coco_tables, compressed, lvis_tables, random_scene, run_lengths

Tables = tuple[np.ndarray, np.ndarray]


def our_coco(annotations: dict[str, Any], found: Any, iou_type: str = 'bbox', max_detections: int = 100) -> Tables:
    category_ids = sorted(each['id'] for each in annotations['categories'])
    return precision_and_recall(annotations, found, category_ids, iou_type, max_detections)


def our_lvis(annotations: dict[str, Any], found: Any, iou_type: str = 'bbox', fixed_ap: bool = False) -> Tables:
    """Classes by ascending id, as lvis-api has them."""
    table = best_of_lvis(as_table(found, *ids_of(annotations), iou_type), fixed_ap)
    precision, recall = lvis_precision_and_recall(annotations, table, iou_type)
    order = np.argsort([each['id'] for each in annotations['categories']])
    return precision[:, :, order], recall[:, order]


def assert_equal(found: Tables, expected: Tables) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(5))
def test_coco__equals_pycocotools(seed: int, iou_type: str) -> None:
    annotations, found = random_scene(seed, iou_type)
    before = copy.deepcopy((annotations, found))
    assert_equal(our_coco(annotations, found, iou_type), coco_tables(annotations, found, iou_type))
    assert (annotations, found) == before


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(5))
def test_lvis__equals_lvis_api(seed: int, iou_type: str) -> None:
    annotations, found = random_scene(seed, iou_type, lvis=True)
    *expected, scores = lvis_tables(annotations, found, iou_type)
    assert_equal(our_lvis(annotations, found, iou_type), (expected[0], expected[1]))
    ours = evaluate_lvis(annotations, found, iou_type)
    assert {name: ours[name] for name in scores} == pytest.approx(
        {name: value if value >= 0 else np.nan for name, value in scores.items()}, abs=1e-12, nan_ok=True
    )


def test_coco__equals_pycocotools_with_more_than_count_in_an_image() -> None:
    for seed in range(3):
        annotations, found = random_scene(seed)
        assert_equal(our_coco(annotations, found, max_detections=4), coco_tables(annotations, found, 'bbox', 4))


def test_lvis__equals_lvis_api_with_more_than_300_in_an_image() -> None:
    annotations, found = random_scene(3, lvis=True)
    for entry in [*annotations['annotations'], *found]:  # everything on two images: 1,000 detections, tied
        entry['image_id'] = 10 + 7 * (entry['image_id'] % 2)
    found = [entry | {'bbox': [entry['bbox'][0] + x, *entry['bbox'][1:]]} for x in (6, 0, 3, 9) for entry in found]
    precision, recall, _ = lvis_tables(annotations, found)
    assert_equal(our_lvis(annotations, found), (precision, recall))
    assert np.nanmax(np.abs(recall - lvis_tables(annotations, found, max_detections=-1)[1])) > 0.1  # it does matter


def test_fixed_ap__equals_lvis_api_on_the_best_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvis_detection, 'FIXED_DETECTIONS', 9)
    annotations, found = random_scene(4, lvis=True)
    best = []
    for category in annotations['categories']:
        of_class = [entry for entry in found if entry['category_id'] == category['id']]
        best += sorted(of_class, key=lambda entry: -entry['score'])[:9]
    assert len(best) < len(found)
    expected = lvis_tables(annotations, best, max_detections=-1)
    assert_equal(our_lvis(annotations, found, fixed_ap=True), expected[:2])
    scores = evaluate_lvis(annotations, found, fixed_ap=True)
    assert scores['AP'] == pytest.approx(expected[2]['AP']) and not [name for name in scores if name.startswith('AR')]


@pytest.mark.parametrize('lvis', [False, True])
def test_order_and_ids__change_nothing(lvis: bool) -> None:
    annotations, found = random_scene(6, lvis=lvis, distinct_scores=True)
    measure = our_lvis if lvis else our_coco
    expected = measure(annotations, found)
    rng = np.random.default_rng(0)
    shuffled = {key: [values[i] for i in rng.permutation(len(values))] for key, values in annotations.items()}
    assert_equal(measure(shuffled, [found[i] for i in rng.permutation(len(found))]), expected)

    new_image = dict(zip(ids_of(annotations)[0], rng.permutation(8) + 2**53, strict=True))
    renamed = copy.deepcopy(annotations)
    for image in renamed['images']:
        image['id'] = int(new_image[image['id']])
    for number, entry in enumerate(renamed['annotations']):
        entry |= {'image_id': int(new_image[entry['image_id']]), 'id': 7 - number // 2}  # 0, negative, each twice
    entries = [entry | {'image_id': int(new_image[entry['image_id']])} for entry in found]
    assert_equal(measure(renamed, entries), expected)


@pytest.mark.parametrize('seed', range(4))
def test_a_prediction_below_all_others__counts_as_officially(seed: int) -> None:
    annotations, found = random_scene(seed)
    before, _ = our_coco(annotations, found)
    for source in annotations['annotations'][::8]:
        last = {key: source[key] for key in ('image_id', 'category_id', 'bbox')} | {'score': -1.0}
        after = our_coco(annotations, [*found, last])
        assert_equal(after, coco_tables(annotations, [*found, last]))
        miss = last | {'bbox': [1000.0, 0, 5, 5]}
        np.testing.assert_array_equal(our_coco(annotations, [*found, miss])[0], before)


@pytest.mark.parametrize('lvis', [False, True])
def test_classes_at_once__change_nothing(lvis: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations, found = random_scene(7, 'segm', lvis)
    measure = our_lvis if lvis else our_coco
    together = measure(annotations, found, 'segm')
    monkeypatch.setattr(coco_evaluator, '_AT_ONCE', 240)
    for ours, theirs in zip(measure(annotations, found, 'segm'), together, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_object_twice__is_two_objects() -> None:
    annotations, found = random_scene(8)
    annotations['annotations'] += [entry | {'id': entry['id'] + 100} for entry in annotations['annotations'][:10]]
    assert_equal(our_coco(annotations, found), coco_tables(annotations, found))


def test_area__is_the_mask_s_where_the_file_has_none() -> None:
    annotations, found = random_scene(9, 'segm')
    without = copy.deepcopy(annotations)
    for entry, bare in zip(annotations['annotations'], without['annotations'], strict=True):
        entry['area'] = float(mask_utils.area(compressed(entry['segmentation'])))
        del bare['area']
    assert_equal(our_coco(without, found, 'segm'), coco_tables(annotations, found, 'segm'))


def test_boxes_of_masks__change_nothing() -> None:
    """The official tools would take the size of a mask with a box from its box."""
    annotations, found = random_scene(10, 'segm')
    boxed = [entry | {'bbox': [0.0, 0.0, 200.0, 200.0]} for entry in found]
    assert_equal(our_coco(annotations, boxed, 'segm'), coco_tables(annotations, found, 'segm'))


def test_objects_of_unknown_images_and_classes__are_left_out_as_officially() -> None:
    annotations, found = random_scene(11)
    part = annotations | {key: annotations[key][:3] for key in ('images', 'categories')}
    known = [set(ids) for ids in ids_of(part)]
    found = [entry for entry in found if entry['image_id'] in known[0] and entry['category_id'] in known[1]]
    assert_equal(our_coco(part, found), coco_tables(part, found))


def test_nothing_found__is_zero_where_there_are_objects() -> None:
    annotations, found = random_scene(12, lvis=True)
    for measure in (our_coco, our_lvis):
        expected, _ = measure(annotations, found)
        precision, _ = measure(annotations, [])
        np.testing.assert_array_equal(precision, np.where(np.isnan(expected), np.nan, 0))
    nothing: dict[str, Any] = {'images': [], 'categories': [], 'annotations': []}
    assert precision_and_recall(nothing, [], [])[0].shape == (10, 101, 0, 4)


SQUARE = [1.0, 1, 9, 1, 9, 9, 1, 9]


@pytest.mark.parametrize(
    ('of_object', 'of_image', 'message'),
    [
        (
            {'segmentation': [[1.0, 1, 9, 9]]},
            {},
            'object 5 of image 1: segmentation: expected polygons of three or more',
        ),
        ({'segmentation': []}, {}, 'expected polygons of three or more'),
        ({'segmentation': 'x'}, {}, 'expected polygons or'),
        ({'segmentation': [SQUARE]}, {'height': None}, "image 1 has no 'height' and 'width', which polygons need"),
        (
            {'segmentation': [SQUARE]},
            {'height': SIDE + 1},
            r'a mask on image 1 has size \[80, 80\], expected .*\[81, 80\]',
        ),
        ({'segmentation': [SQUARE]}, {'id': 'a'}, 'images: expected integer ids'),
    ],
)
def test_ground_truth__what_the_official_tools_do_not_take_is_refused(
    of_object: dict[str, Any], of_image: dict[str, Any], message: str
) -> None:
    image = {'id': 1, 'height': SIDE, 'width': SIDE} | of_image
    truth = {'id': 5, 'image_id': image['id'], 'category_id': 1, 'bbox': [1, 1, 8, 8]} | of_object
    annotations = {'images': [image], 'categories': [{'id': 1, 'name': 'a'}], 'annotations': [truth]}
    mask = compressed(run_lengths(np.ones((SIDE, SIDE), dtype=np.uint8)))
    found = [{'image_id': image['id'], 'category_id': 1, 'score': 0.5, 'segmentation': mask}]
    with pytest.raises(UserError, match=message):
        our_coco(annotations, found if image['id'] == 1 else [], 'segm')


@pytest.mark.parametrize('field', ['image_id', 'category_id'])
def test_unknown_ids__are_named(field: str) -> None:
    annotations, found = random_scene(0, lvis=True)
    for measure in (our_coco, our_lvis):
        with pytest.raises(UserError, match=rf'predictions\[250\]: {field} 999 is not among the'):
            measure(annotations, [*found, found[0] | {field: 999}])
