import pytest

from fgdet.utils.checks import UserError
from fgdet.utils.image_paths import locate_image, locate_images, name_of_image, names_of_images


def test_names__of_coco_and_of_lvis():
    url = 'http://images.cocodataset.org/val2017/000000000139.jpg'
    entries = [dict(id=1, file_name='a/b.jpg'), dict(id=2, coco_url=url), dict(id=3, file_name='c.jpg', coco_url=url)]
    assert names_of_images(entries) == ['a/b.jpg', 'val2017/000000000139.jpg', 'c.jpg']
    assert name_of_image(dict(id=4, file_name=None)) is None
    with pytest.raises(UserError, match="image 4 of the annotations has neither 'file_name' nor 'coco_url'"):
        names_of_images([*entries, dict(id=4, coco_url=None)])


def test_locate__below_the_folder_or_in_it(tmp_path):
    (tmp_path / 'val').mkdir()
    for name in ('val/a.jpg', 'a.jpg', 'b.jpg'):
        (tmp_path / name).touch()
    found = locate_images(tmp_path, ['val/a.jpg', 'val/b.jpg', 'val/a.jpg'])
    assert found == [tmp_path / 'val' / 'a.jpg', tmp_path / 'b.jpg', tmp_path / 'val' / 'a.jpg']
    assert locate_image(tmp_path, 'val') is None  # a folder is no image
    with pytest.raises(UserError, match=r'2 of 3 files are not there, the first a/x.jpg; is this their folder'):
        locate_images(tmp_path, ['a/x.jpg', 'b.jpg', 'y.jpg'])
    with pytest.raises(UserError, match='none: no such folder'):
        locate_images(tmp_path / 'none', ['a'])
    assert locate_images(tmp_path, []) == []
