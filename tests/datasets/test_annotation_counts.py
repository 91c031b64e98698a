"""A wrong annotation file is told by its counts, with the fix."""

from typing import Any

import pytest

from fgdet.datasets.annotation_counts import COUNTS, PROTOCOLS, check_counts, counts_of
from fgdet.utils.checks import UserError


def counts(**changes: int) -> dict[str, int]:
    return dict.fromkeys(COUNTS, 0) | PROTOCOLS['ov_coco_train'] | changes


def test_counts_of__crowds_are_boxes_and_images_count_once() -> None:
    places = [(1, 7), (1, 7), (1, 8), (2, 8), (3, 9)]
    content = dict(
        images=[dict(id=number) for number in range(5)],
        categories=[dict(id=number) for number in (7, 8, 9)],
        annotations=[dict(image_id=image, category_id=number, iscrowd=1) for image, number in places],
    )
    expected = dict(images=5, boxes=5, classes=3, base_images=1, annotated_images=2)
    assert counts_of(content, base_ids=[7], category_ids=[7, 8]) == expected


@pytest.mark.parametrize('expected', ['ov_coco_train', dict(images=118_287), {}])
def test_check_counts__the_right_file_passes(expected: Any) -> None:
    check_counts(counts(), expected, 'x.json')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(images=82_783, boxes=604_907, base_images=75_000),
            r'annotation file x\.json: it has 82,783 images, 604,907 boxes, 80 classes, 75,000 base_images, not the '
            r"118,287 images, 860,001 boxes, 80 classes, 107,761 base_images of 'ov_coco_train'; it looks like COCO "
            r'2014 train, instances_train2014\.json; give COCO 2017 train, instances_train2017\.json, or '
            'expected_counts=None for a file of your own',
        ),
        (dict(images=5_000, boxes=36_781), 'it looks like COCO 2017 val, instances_val2017.json; give COCO 2017 train'),
        (dict(images=107_761, classes=48), "it looks like OV-COCO's training images alone; give COCO 2017 train"),
        (dict(boxes=860_000), "'ov_coco_train'; give COCO 2017 train"),  # a damaged copy of the right file
        (dict(base_images=117_000), 'not the .* 107,761 base_images'),  # another split of the classes
    ],
)
def test_check_counts__says_which_file_it_is(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_counts(counts(**changes), 'ov_coco_train', 'x.json')


@pytest.mark.parametrize(
    ('expected', 'message'),
    [('ov_coco', 'expected one of coco_train2017, .*lvis_v1_val or a dict'), (dict(image=3), "it has no 'image'")],
)
def test_check_counts__refuses_unknown_expectations(expected: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_counts(counts(), expected, 'x.json')
