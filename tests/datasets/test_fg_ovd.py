"""Reading FG-OVD: both forms of its files, and what an error says."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgdet.datasets.fg_ovd import find_images, read_fg_ovd
from fgdet.utils.checks import UserError
from tests.builders import write_image
from tests.fg_ovd_builders import SIZES, coco_form, fg_ovd_row, write_rows

ROWS = [
    fg_ovd_row(1, [3.5, 2, 10, 20.25], 0, [1, 2, 3]),
    fg_ovd_row(1, [20, 2, 10, 20], 0, [1, 2, 3]),
    fg_ovd_row(2, [0, 0, 40, 56], 4, [5]),
]


def test_read__both_forms_give_the_same_lines(tmp_path: Path) -> None:
    lines = write_rows(tmp_path / 'h.jsonl', [ROWS[0], '', *ROWS[1:]])  # the number is that of the line
    form = tmp_path / '1_attributes.json'
    form.write_text(json.dumps(coco_form(ROWS)))
    (of_lines,), (of_form,) = read_fg_ovd([lines]), read_fg_ovd([form])
    assert of_lines.name == of_form.name == 'hard'
    assert [line.number for line in of_lines.lines] == [1, 3, 4] and [line.number for line in of_form.lines] == [
        1,
        2,
        3,
    ]
    assert [line[1:] for line in of_lines.lines] == [line[1:] for line in of_form.lines]
    first = of_lines.lines[0]
    assert (first.image_id, first.file_name, first.size_wh) == (1, 'val2017/1.png', (64, 48))
    assert first.bbox == (3.5, 2.0, 10.0, 20.25) and first.category_ids == (0, 1, 2, 3)
    assert first.captions == tuple(f'a mug of kind {n}.' for n in range(4))
    coco = of_form.to_coco()
    assert coco['annotations'][2] == {
        'id': 3, 'image_id': 2, 'bbox': [0, 0, 40, 56], 'category_id': 4, 'neg_category_ids': [5]
    }  # fmt: skip
    assert coco['categories'] == [{'id': n, 'name': f'a mug of kind {n}.'} for n in range(6)]


def test_read__names_of_subsets(tmp_path: Path) -> None:
    kinds = ['1_attributes', '2_attributes', '3_attributes', 'shuffle_negatives', 'material']
    paths = [write_rows(tmp_path / f'{i}.jsonl', [ROWS[0] | {'test_type': kind}]) for i, kind in enumerate(kinds)]
    row = {key: value for key, value in ROWS[0].items() if key != 'test_type'}
    paths.append(write_rows(tmp_path / 'mine.jsonl', [row]))
    names = [subset.name for subset in read_fg_ovd(paths)]
    assert names == ['hard', 'medium', 'easy', 'trivial', 'material', 'mine']
    with pytest.raises(UserError, match=r"0.jsonl and .*0.jsonl: both are 'hard'"):
        read_fg_ovd([paths[0], paths[0]])
    with pytest.raises(UserError, match='no annotation file'):
        read_fg_ovd([])


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        ('{"bbox"', r':2: not JSON \(Expecting'),
        ('[1]', ':2: expected an object, got a list'),
        ({key: ROWS[1][key] for key in ROWS[1] if key != 'neg_expression'}, ":2: no 'neg_expression'; a line has"),
        (ROWS[1] | {'bbox': [1, 2, 3]}, r':2: bbox: expected four .* got \[1, 2, 3\]'),
        (ROWS[1] | {'bbox': [1, 2, -3, 4]}, ':2: bbox: expected four'),
        (ROWS[1] | {'pos_expression': ['a', 'b']}, ':2: pos_expression: expected a list of one text'),
        (ROWS[1] | {'neg_expression': [], 'neg_category_ids': []}, ':2: neg_expression: .* at least one'),
        (ROWS[1] | {'neg_category_ids': [1, 2]}, ':2: 3 neg_expression but 2 neg_category_ids'),
        (ROWS[1] | {'neg_category_ids': [1, 2, 0]}, ':2: a category id comes twice'),
        (ROWS[1] | {'width': True}, ':2: width: expected a whole number above 0, got True'),
        (ROWS[1] | {'width': 65}, ':2: image_id 1 is .*65.* above'),
        (ROWS[1] | {'test_type': '2_attributes'}, ":2: test_type '2_attributes', but '1_attributes' above"),
        (fg_ovd_row(1, [0, 0, 1, 1], 9, [1], neg_expression=['other']), ":2: category 1 is 'other', but 'a mug of"),
        (fg_ovd_row(1, [0, 0, 1, 1], 0, [1, 2]), ':2: category 0 has other negatives'),
    ],
)
def test_read__error_names_the_line(second: Any, message: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / 'a.jsonl', [ROWS[0], second])
    with pytest.raises(UserError, match=f'a.jsonl{message}'):
        read_fg_ovd([path])


def test_read__empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='it has no line'):
        read_fg_ovd([write_rows(tmp_path / 'a.jsonl', ['', ' '])])
    with pytest.raises(UserError, match='no such file'):
        read_fg_ovd([tmp_path / 'b.jsonl'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda form: form.pop('images'), "no list under 'images'"),
        (lambda form: form['images'][0].pop('width'), r"images\[0\] has no 'width'"),
        (lambda form: form['annotations'][1].pop('neg_category_ids'), r"annotations\[1\] has no 'neg_category_ids'"),
        (lambda form: form['annotations'][1].update(neg_category_ids=[1, 77]), r'annotations\[1\]: category 77 is not'),
        (lambda form: form['annotations'][1].update(image_id=9), r'annotations\[1\]: image_id 9 is not'),
        (lambda form: form['annotations'][1].update(category_id=[0]), r'annotations\[1\]: .*whole numbers'),
        (lambda form: form['annotations'][1].update(bbox='abcd'), r"annotations\[1\]: bbox: expected four .*'abcd'"),
    ],
)
def test_read__error_names_the_annotation(change: Any, message: str, tmp_path: Path) -> None:
    form = coco_form(ROWS)
    change(form)
    path = tmp_path / 'color.json'
    path.write_text(json.dumps(form))
    with pytest.raises(UserError, match=message):
        read_fg_ovd([path])


def test_images__missing_or_of_another_size(tmp_path: Path) -> None:
    (tmp_path / 'val2017').mkdir()
    subsets = read_fg_ovd([write_rows(tmp_path / 'a.jsonl', ROWS)])
    with pytest.raises(UserError, match=r'2 of 2 are missing, the first is .*1.png'):
        find_images(subsets, tmp_path, skip_missing=True)
    write_image(tmp_path / 'val2017' / '2.png', SIZES[2])
    with pytest.raises(UserError, match=r'1 of 2 are missing.*--skip-missing'):
        find_images(subsets, tmp_path)
    assert find_images(subsets, tmp_path, True) == {'val2017/2.png': tmp_path / 'val2017' / '2.png'}
    (tmp_path / 'val2017' / '1.png').write_text('no image')
    with pytest.raises(UserError, match=r'1.png: it cannot be read'):
        find_images(subsets, tmp_path)
    write_image(tmp_path / 'val2017' / '1.png', (48, 64))
    with pytest.raises(UserError, match=r'a.jsonl:2: .*1.png has 64 x 48 pixels, but .* has 48 x 64'):
        find_images(subsets, tmp_path)
    turned = Image.new('RGB', (48, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter: 64 x 48
    turned.save(tmp_path / 'val2017' / '1.png', exif=exif)
    assert len(find_images(subsets, tmp_path)) == 2
