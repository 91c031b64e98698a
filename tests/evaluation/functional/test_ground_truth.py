import pytest

from fgdet.evaluation.functional.ground_truth import GroundTruth
from fgdet.utils.checks import UserError

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


def _ground_truth(segmentation):
    thing = {'id': 7, 'image_id': 1, 'category_id': 2, 'bbox': [1, 1, 2, 2], 'segmentation': segmentation}
    images = [{'id': 1, 'height': 4, 'width': 5}]
    return GroundTruth.from_annotations(
        {'images': images, 'categories': [{'id': 2, 'name': 'mug'}], 'annotations': [thing]}, [2], 'segm'
    )


def test_from_annotations__masks_of_all_forms():
    for mask in (SQUARE, {'size': [4, 5], 'counts': [5, 2, 2, 2, 9]}, {'size': [4, 5], 'counts': '52209'}):
        assert _ground_truth(mask).areas == [4]


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        ([[1, 1, 3, 1]], 'expected polygons of three or more x, y'),
        ([[1, 1, 3, 1, float('nan'), 3]], 'expected polygons of three or more x, y'),
        ([['1', '1', '3', '1', '3', '3']], 'expected polygons of three or more x, y'),
        ({'size': [5, 4], 'counts': '52209'}, r'size \[5, 4\], but its image has \[4, 5\]'),
        ({'size': [4, 5], 'counts': [5, 2, 2, 2]}, 'expected polygons or'),
        ({'size': [4, 5], 'counts': [-5, 25]}, 'expected polygons or'),
    ],
)
def test_from_annotations__masks_that_are_none(mask, message):
    with pytest.raises(UserError, match=f'object 7 of image 1: segmentation: {message}'):
        _ground_truth(mask)
