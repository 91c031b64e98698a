import json

import pytest

from fgdet.apis.region_files import read_regions
from fgdet.utils.checks import UserError


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'a.png': [[1, 1, 2, 2], [5, 1, 4, 2]]}, r'a\.png: expected x1 <= x2 and y1 <= y2, got \[5, 1, 4, 2\]'),
        (
            {'images': [{'id': 1, 'file_name': 'a'}], 'annotations': [{'image_id': 1, 'bbox': [5, 5, 3, -1]}]},
            r'annotations\[0\]\.bbox: expected x, y, width >= 0, height >= 0, got \[5, 5, 3, -1\]',
        ),
    ],
)
def test_read_regions__boxes_inside_out_are_refused(tmp_path, content, message):
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_regions(tmp_path / 'a.json')
