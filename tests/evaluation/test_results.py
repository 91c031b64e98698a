import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fgdet.evaluation import result_reading
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table, load_annotations, load_results, validate_results
from fgdet.utils.checks import UserError

GOOD = {'image_id': 5, 'category_id': 2, 'bbox': [0, 0, 3.5, 4], 'score': 0.5}
RUN_LENGTH = {'size': [4, 4], 'counts': '04'}


def test_validate__accepts_good_entries_and_none():
    validate_results([GOOD, {**GOOD, 'extra': 1, 'score': -2}], [5], [2])
    validate_results([{**GOOD, 'segmentation': RUN_LENGTH}], [5], [2], 'segm')
    validate_results([], [], [])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image_id': 77}, 'image_id 77 is not among the 1 images'),
        ({'image_id': '5'}, "image_id '5' is not among"),
        ({'category_id': 99}, 'category_id 99 is not among the 1 categories'),
        ({'category_id': [2]}, 'category_id'),
        ({'score': None}, 'score: expected a finite number, got None'),
        ({'score': float('nan')}, 'score: expected a finite number'),
        ({'bbox': [0, 0, 3]}, 'bbox: expected four'),
        ({'bbox': [0, 0, -1, 3]}, 'bbox: expected four'),
        ({'bbox': [0, 0, float('inf'), 3]}, 'bbox: expected four'),
        ({'bbox': 'abcd'}, 'bbox: expected four'),
    ],
)
def test_validate__names_the_entry_and_the_value(changes, message):
    with pytest.raises(UserError, match=r'predictions\[1\]: .*' + message):
        validate_results([GOOD, {**GOOD, **changes}], [5], [2])


@pytest.mark.parametrize('field', sorted(GOOD))
def test_validate__missing_field(field):
    entry = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(UserError, match=rf"predictions\[0\]: no '{field}'"):
        validate_results([entry], [5], [2])


def test_validate__other_mistakes():
    with pytest.raises(UserError, match=r'\[0\]: expected a dict'):
        validate_results([1], [5], [2])
    with pytest.raises(UserError, match="no 'segmentation'"):
        validate_results([GOOD], [5], [2], 'segm')
    with pytest.raises(UserError, match='compressed run lengths'):
        validate_results([{**GOOD, 'segmentation': [[0, 0, 1, 1]]}], [5], [2], 'segm')
    with pytest.raises(UserError, match='iou_type: expected one of bbox, segm'):
        validate_results([], [], [], 'keypoints')


def _entries(num: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Boxes with all digits of a float64, some with masks, some with masks alone."""
    generator = random.Random(seed)
    for index in range(num):
        entry: dict[str, Any] = {'image_id': generator.randrange(-5, 2**40), 'category_id': index % 7}
        entry |= {'bbox': [generator.gauss(0, 1e3) for _ in 'xy'] + [generator.random() for _ in 'wh']}
        entry['score'] = generator.choice([generator.random(), 1e-300, 0, 1])
        if index % 3:
            entry['segmentation'] = {'size': [480, 640], 'counts': '0' * generator.randrange(9) + '[`o?'}
        if index % 3 == 2:
            del entry['bbox']
        yield entry


_WRITERS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    'one line': json.dumps,
    'no space': lambda entries: json.dumps(entries, separators=(',', ':')),
    'indented': lambda entries: '\ufeff\n' + json.dumps(entries, indent=3) + '\n\n',
    'an entry a line': lambda entries: '\n'.join(map(json.dumps, entries)),
    'fields that nobody knows': lambda entries: json.dumps(
        [{'a': '}, {', 'b': [{'c': 1}, {'c': {}}], 'd': '\u20ac' * 50, **entry} for entry in entries],
        ensure_ascii=False,
    ),
}


@pytest.mark.parametrize('writer', _WRITERS)
@pytest.mark.parametrize('block', [1 << 22, 700, 90])
def test_load_results__every_digit_of_any_layout_wherever_a_block_ends(tmp_path, monkeypatch, writer, block):
    monkeypatch.setattr(result_reading, '_BLOCK', block)
    entries = list(_entries(50))
    text = _WRITERS[writer](entries).encode()
    (tmp_path / 'p.json').write_bytes(text)
    (tmp_path / 'p.json.gz').write_bytes(gzip.compress(text))
    for name in ('p.json', 'p.json.gz'):
        assert list(load_results(tmp_path / name).to_entries()) == entries


def test_load_results__nothing_found(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text(' [ ]\n')
    table = load_results(path)
    assert len(table) == 0 and table.boxes.shape == (0, 4)
    assert as_table(table, [], []) is table


@pytest.mark.parametrize('layout', ['list', 'lines'])
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'image_id': '5'}, "image_id: expected an int, got '5'"),
        ({'image_id': True}, 'image_id: expected an int, got True'),
        ({'image_id': 5.0}, 'image_id: expected an int, got 5.0'),
        ({'category_id': 2**70}, 'category_id: expected an int, got 118'),
        ({'score': '0.5'}, "score: expected a finite number, got '0.5'"),
        ({'score': float('nan')}, 'score: expected a finite number, got nan'),
        ({'bbox': [0, 0, -1, 3]}, r'bbox: expected four .*got \[0, 0, -1, 3\]'),
        ({'bbox': [0, 0, 1, float('inf')]}, 'bbox: expected four'),
        ({'bbox': None}, 'bbox: expected four .*got None'),
        ({'segmentation': [[0, 0, 1, 1]]}, 'segmentation: expected compressed run lengths'),
        ({'segmentation': {'size': [-1, 4], 'counts': '04'}}, 'segmentation: expected compressed'),
        ({'segmentation': {'size': [4, 4], 'counts': '\u20ac'}}, 'segmentation: expected compressed'),
    ],
)
def test_load_results__names_the_entry_and_the_value(tmp_path, monkeypatch, layout, changes, message):
    monkeypatch.setattr(result_reading, '_BLOCK', 300)
    path = tmp_path / 'p.json'
    entries = [GOOD] * 20 + [GOOD | changes] + [GOOD] * 20
    path.write_text(json.dumps(entries) if layout == 'list' else '\n'.join(map(json.dumps, entries)))
    with pytest.raises(UserError, match=r'prediction file .*p\.json, predictions\[20\]: ' + message):
        load_results(path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"annotations": []}', r'expected a COCO result list, got a dict \(an annotation file\?\)'),
        ('{"info": {}, "images": [', r'expected a COCO result list, got a dict \(an annotation file\?\)'),
        ('{"scores": 1}', 'expected a COCO result list, got a dict'),
        ('"text"', 'expected a COCO result list, got a str'),
        ('nonsense', 'not JSON'),
        ('', 'not JSON .the file is empty'),
        (json.dumps([GOOD] * 9)[:-30], r'not JSON \(.* in predictions\[8\]\); is the file complete'),
        (json.dumps([GOOD] * 9)[:-1], r'not JSON \(the file ends after predictions\[8\]\)'),
        (json.dumps([GOOD] * 9)[:-1] + ', ]', r'not JSON \(Expecting value in predictions\[9\]'),
        (json.dumps([GOOD] * 9).replace('}, {', '} {'), r"not JSON \(expected ',' or '\]' after predictions\[0\]"),
        (json.dumps([GOOD] * 9) + '[]', 'not JSON .more text after the end'),
        (json.dumps([GOOD, 3]), r'predictions\[1\]: expected a dict, got 3'),
        (json.dumps([GOOD, {}]), r"predictions\[1\]: no 'image_id'"),
        (json.dumps([GOOD, {**GOOD, 'image_id': 'Y'}]).encode().replace(b'Y', b'\xff'), r'not UTF-8 text'),
    ],
)
def test_load_results__refuses_other_files(tmp_path, text, message):
    path = tmp_path / 'p.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message) as caught:
        load_results(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_load_results__no_file_and_half_a_packed_one(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        load_results(tmp_path / 'none.json')
    path = tmp_path / 'p.json.gz'
    path.write_bytes(gzip.compress(json.dumps([GOOD] * 99).encode())[:-9])
    with pytest.raises(UserError, match='not a whole gzip file'):
        load_results(path)


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_as_table__columns_and_entries_are_judged_alike(iou_type):
    good = GOOD | {'segmentation': RUN_LENGTH}
    for changes in ({}, {'image_id': 6}, {'category_id': 3}, {'score': float('inf')}, {'bbox': [1.0, 1.0, 1.0, -1.0]}):
        entries = [good, good | changes, good]
        outcomes: list[Any] = []
        for given in (entries, ResultTable.from_entries(entries)):
            try:
                outcomes.append([list(row) for row in zip(*_columns(as_table(given, [5], [2], iou_type)), strict=True)])
            except UserError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
        passes = not changes or ('bbox' in changes and iou_type == 'segm')
        assert isinstance(outcomes[0], list) == passes


def test_as_table__what_a_table_lacks(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text(json.dumps([GOOD, {**GOOD, 'segmentation': RUN_LENGTH}]))
    with pytest.raises(UserError, match=r"p\[0\]: no 'segmentation'"):
        as_table(load_results(path), [5], [2], 'segm', where='p')
    boxless = {key: value for key, value in GOOD.items() if key != 'bbox'} | {'segmentation': RUN_LENGTH}
    path.write_text(json.dumps([boxless]))
    assert len(as_table(load_results(path), [5], [2], 'segm')) == 1
    with pytest.raises(UserError, match=r"predictions\[0\]: no 'bbox'"):
        as_table(load_results(path), [5], [2])
    masks = as_table(load_results(path), [5], [2], 'segm').select(np.array([0, 0])).segmentations
    assert masks is not None and masks[1] == RUN_LENGTH


def _columns(table):
    return table.image_ids.tolist(), table.category_ids.tolist(), table.scores.tolist()


_SMALL: dict[str, list[dict[str, Any]]] = {
    'images': [{'id': 1, 'width': 8, 'height': None}],
    'categories': [{'id': 1, 'name': 'mug'}],
    'annotations': [{'image_id': 1, 'category_id': 9, 'bbox': [0, 0, 1, 1], 'area': 0.5, 'iscrowd': False}],
}


def _with(key: str, **fields: Any) -> dict[str, list[dict[str, Any]]]:
    return _SMALL | {key: [_SMALL[key][0] | fields]}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'expected a COCO-form dict, got a list'),
        ({'images': [], 'categories': []}, "no list under 'annotations'"),
        ({'images': [{}], 'categories': [], 'annotations': []}, r"images\[0\] has no 'id'"),
        ({'images': [], 'categories': [{'id': 1}], 'annotations': []}, r"categories\[0\] has no 'name'"),
        ({'images': [], 'categories': [], 'annotations': [1]}, r'annotations\[0\] has no'),
        (
            {'images': [], 'categories': [], 'annotations': [{'image_id': 1, 'category_id': 1, 'bbox': [1, 2]}]},
            r'annotations\[0\]\.bbox: expected four',
        ),
        (_with('images', id=True), r'images\[0\]\.id: expected an integer, got True'),
        (_with('images', width=float('nan')), r'images\[0\]\.width: expected pixels, got nan'),
        (_with('images', neg_category_ids=None), r'images\[0\]\.neg_category_ids: expected a list of ids'),
        (_with('categories', name=None), r'categories\[0\]\.name: expected text, got None'),
        (_with('annotations', image_id='1'), r"annotations\[0\]\.image_id: expected an integer, got '1'"),
        (_with('annotations', category_id=[1]), r'annotations\[0\]\.category_id: expected an integer'),
        (_with('annotations', area=10**400), r'annotations\[0\]\.area: expected a finite number'),
        (_with('annotations', iscrowd='no'), r"annotations\[0\]\.iscrowd: expected 0 or 1, got 'no'"),
        (_SMALL | {'categories': _SMALL['categories'] * 2}, r'categories\[1\]\.id: 1 is that of \[0\] too'),
        (_SMALL | {'images': _SMALL['images'] * 2}, r'images\[1\]\.id: 1 is that of \[0\] too'),
    ],
)
def test_load_annotations__refuses(tmp_path, content, message):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_annotations(path)


def test_load_annotations__as_json_reads_them_and_without_masks(tmp_path):
    path = tmp_path / 'a.json'
    thing = {'id': 1, 'image_id': 2**40, 'category_id': 3, 'bbox': [0.1, 1e-7, 3, 4], 'area': 1e300, 'iscrowd': 0}
    content = {
        'info': {'year': 2017},
        'images': [{'id': 2**40, 'file_name': '\u20ac.jpg', 'neg_category_ids': [3]}],
        'categories': [{'id': 3, 'name': 'mug', 'frequency': 'r'}],
        'annotations': [{**thing, 'segmentation': [[1.5, 2, 3]], 'ignore': 1}, thing],
    }
    path.write_text('\ufeff' + json.dumps(content, ensure_ascii=False), encoding='utf-8')
    assert load_annotations(path) == content
    content['annotations'] = [{**thing, 'ignore': 1}, thing]
    del content['info']
    assert load_annotations(path, masks=False) == content
    path.write_text(json.dumps(content | {'info': float('nan')}))
    assert load_annotations(path, masks=False)['annotations'] == content['annotations']
