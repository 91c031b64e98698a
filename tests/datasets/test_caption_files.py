"""Each form of a captions file, and what is wrong with one."""

import json

import pytest

from fgdet.datasets.caption_files import CaptionedImages, read_captions
from fgdet.utils.checks import UserError
from tests.builders import record, write_records


def write(path, content):
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def test_read_captions__coco_keeps_the_first_ones_and_leaves_out_images_without(tmp_path):
    images = [dict(id=7, file_name='a.jpg'), dict(id='x', file_name='b.jpg'), dict(id=9, file_name='c.jpg')]
    annotations = [dict(image_id=i, caption=f' text {n}\n') for n, i in enumerate([9, 7, 9, 9])]
    file = write(tmp_path / 'captions.json', dict(images=images, annotations=annotations))
    expected = CaptionedImages(['a.jpg', 'c.jpg'], {'text': [['text 1'], ['text 0', 'text 2']]}, 1, 1)
    assert read_captions(file, most=2) == expected
    assert read_captions(file).sets['text'][1] == ['text 0', 'text 2', 'text 3']


def test_read_captions__images_with_a_caption_each(tmp_path):
    images = [dict(id=1, file_name='a.png', caption='one'), dict(id=2, file_name='b.png', caption='two')]
    boxes = [dict(image_id=1, category_id=3, bbox=[0, 0, 1, 1])]
    found = read_captions(write(tmp_path / 'val.json', dict(images=images, annotations=boxes, categories=[])))
    assert found == CaptionedImages(['a.png', 'b.png'], {'text': [['one'], ['two']]}, 0, 0)


def test_read_captions__karpathy_takes_one_split(tmp_path):
    images = [
        dict(filename='1.jpg', split='train', sentences=[dict(raw='no')]),
        dict(filename='2.jpg', filepath='val2014', split='test', sentences=[dict(raw='A dog.'), dict(raw='It runs.')]),
    ]
    file = write(tmp_path / 'dataset.json', dict(images=images, dataset='coco'))
    assert read_captions(file) == CaptionedImages(['val2014/2.jpg'], {'text': [['A dog.', 'It runs.']]}, 0, 0)
    assert read_captions(file, split='train').images == ['1.jpg']
    with pytest.raises(UserError, match="split 'val' is not in it; it has test, train"):
        read_captions(file, split='val')


def test_read_captions__records_in_lines_in_a_list_and_in_a_folder(tmp_path):
    entries = [dict(image=f'{i}.jpg', captions=[f'first {i}', 'second']) for i in range(3)]
    expected = CaptionedImages(
        ['0.jpg', '1.jpg', '2.jpg'], {'text': [[f'first {i}', 'second'] for i in range(3)]}, 0, 0
    )
    (tmp_path / 'folder').mkdir()
    assert read_captions(write_records(tmp_path / 'folder' / 'a.jsonl', entries)) == expected
    assert read_captions(tmp_path / 'folder') == expected
    assert read_captions(write(tmp_path / 'list.json', entries)) == expected


def test_read_captions__finehard_records_have_long_and_short_ones(tmp_path):
    entries = [record('grit-20m/data-12m/00/a.jpg'), record('b.jpg', caption='Long.', short_caption='short')]
    found = read_captions(write_records(tmp_path / 'records.jsonl', entries))
    assert found.images == ['00/a.jpg', 'b.jpg']
    assert found.sets == {'long': [['A red mug on a table.'], ['Long.']], 'short': [['a red mug'], ['short']]}


IMAGE = dict(id=1, file_name='a.jpg')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(categories=[]), 'expected COCO captions'),
        ('', 'not JSON'),
        (dict(images=[IMAGE], annotations=[dict(image_id=2, caption='x')]), r'annotations\[0\]: image_id 2 is not'),
        (
            dict(images=[IMAGE], annotations=[dict(image_id=1, caption=' ')]),
            r'annotations\[0\]: caption must be a text',
        ),
        (dict(images=[IMAGE, IMAGE]), r'images\[1\]: expected an "id" of its own'),
        (dict(images=[IMAGE]), 'no image in it has a caption'),
        ([dict(image='a.jpg', captions='x')], r'captions.json\[0\]: expected "image" and a list "captions"'),
        ([dict(image='a.jpg', captions=['x']), record()], r"\[1\]: it has 'f_path' where the records before"),
        ([dict(image='a.jpg', captions=['x'])] * 2, 'the image a.jpg comes twice'),
        ([record(short_caption=None)], r'captions.json\[0\]: short_caption must be a text that is not empty, got None'),
        (dict(images=[dict(filename='a', split='test', sentences=['x'])]), r'images\[0\].sentences: raw must be'),
    ],
)
def test_read_captions__malformed_entries_are_named(tmp_path, content, message):
    file = tmp_path / 'captions.json'
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
    with pytest.raises(UserError, match=message):
        read_captions(file)
