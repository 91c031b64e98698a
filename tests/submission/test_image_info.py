import numpy as np
import pytest

from fgdet.submission.image_info import load_image_info
from fgdet.utils.checks import UserError
from tests.submission_builders import write_info


def test_load__sorts_and_finds(tmp_path):
    images = [{'id': 7, 'width': 3, 'height': 4}, {'id': 2, 'width': 5, 'height': 6}]
    info = load_image_info(write_info(tmp_path, images=images, annotations=[{}]))
    assert info.image_ids.tolist() == [2, 7] and info.sizes_wh.tolist() == [[5, 6], [3, 4]]
    assert info.category_ids.tolist() == [1, 3, 90] and info.num_annotations == 1
    index, known = info.find(np.array([7, 1, 2, 9]))
    assert index.tolist() == [1, 0, 0, 0] and known.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'images': None}, "no list under 'images'"),
        ({'categories': []}, "no list under 'categories'"),
        ({'images': [{'id': 1, 'width': 0, 'height': 3}]}, r'images\[0\]\.width: expected an integer from 1, got 0'),
        ({'images': [{'id': '1', 'width': 1, 'height': 3}]}, r"images\[0\]\.id: .*got '1'"),
        ({'images': [{'id': 1, 'width': 1, 'height': 3}] * 2}, r'images: 1 ids stand there more than once \(1\)'),
        ({'categories': [{'id': 3}, {'id': 3}]}, r'categories: 1 ids stand there more than once \(3\)'),
    ],
)
def test_load__refuses(tmp_path, fields, message):
    with pytest.raises(UserError, match=message):
        load_image_info(write_info(tmp_path, **fields))
