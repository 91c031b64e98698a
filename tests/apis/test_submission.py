import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO as OfficialCOCO

from fgdet.apis import submission as api
from fgdet.apis.submission import check_archive, submit
from fgdet.submission.submission import SubmissionError
from fgdet.utils.checks import UserError
from tests.submission_builders import INFO_NAME, entries, entry, in_zip, run_lengths, write, write_info

NAME = 'detections_test-dev2017_fgdet_results'


@pytest.fixture
def info(tmp_path):
    return write_info(tmp_path)


@pytest.mark.parametrize('fix', [False, True])
def test_submit__boxes_come_back_as_they_were(tmp_path, info, fix):
    found = entries(300, seed=3)
    submission = submit('coco', write(tmp_path / 'p.json', found), info, tmp_path / 'new' / 'a.zip', fix=fix)
    names, content = in_zip(tmp_path / 'new' / 'a.zip')
    assert names == [f'{NAME}.json'] == [submission.member]
    assert submission.num_written == 300 and submission.mended == {} == submission.problems.counts
    for written, meant in zip(content, found, strict=True):
        assert sorted(written) == ['bbox', 'category_id', 'image_id', 'score']
        assert written['image_id'] == meant['image_id'] and written['category_id'] == meant['category_id']
        assert np.abs(np.subtract(written['bbox'], meant['bbox'])).max() <= 0.005 + 1e-9
        assert written['score'] == pytest.approx(meant['score'], abs=6e-7)
    assert any(NAME in warning for warning in submission.warnings)  # the server wants another name than a.zip


@pytest.mark.parametrize('benchmark', ['coco', 'lvis'])
def test_submit__masks_come_back_and_the_official_loader_takes_them(tmp_path, info, benchmark, capsys):
    random = np.random.default_rng(0)
    masks = [random.random((80, 100)) < random.random() for _ in range(30)]
    found = [entry(bbox=[i, 0, 5.5, 5], segmentation=run_lengths(mask)) for i, mask in enumerate(masks)]
    out = tmp_path / ('a.zip' if benchmark == 'coco' else 'a.json')
    submit(benchmark, write(tmp_path / 'p.json', found), info, out, iou_type='segm')
    content = in_zip(out)[1] if benchmark == 'coco' else json.loads(out.read_text())
    for written, mask in zip(content, masks, strict=True):
        assert 'bbox' not in written  # or the server takes areas from boxes
        assert (mask_utils.decode(written['segmentation']) == mask).all()
    loaded = OfficialCOCO(str(info)).loadRes(content)
    assert [each['area'] for each in loaded.dataset['annotations']] == [mask.sum() for mask in masks]


def test_submit__its_own_archive_passes_untouched(tmp_path, info):
    found = [
        *entries(300, seed=1),
        entry(99),
        entry(bbox=[-3, 1, 9, 9]),
        *(entry(score=s / 7, bbox=[s, 0, 1, 1]) for s in range(3)),
    ]
    first = submit('coco', write(tmp_path / 'p.json', found), info, f'{tmp_path}/', fix=True)
    assert first.mended['dropped, unknown image'] == first.mended['clipped, box outside the image'] == 1
    for fix in (False, True):
        again = submit('coco', first.archive, info, tmp_path / f'again{fix}.zip', fix=fix)
        assert again.mended == {} and again.num_written == first.num_written == 304
        assert (tmp_path / f'again{fix}.zip').read_bytes() == (tmp_path / f'{NAME}.zip').read_bytes()
    checked = check_archive(first.archive, info)
    assert checked.num_written == 304 and checked.benchmark == 'coco' and checked.iou_type == 'bbox'


def test_submit__keeps_the_best_of_an_image(tmp_path, info):
    found = [entry(score=i / 1000, bbox=[i % 90, i // 90, 1.5, 2]) for i in range(330)]
    pred = write(tmp_path / 'p.json', found)
    with pytest.raises(SubmissionError, match='too many in an image: 1'):
        submit('lvis', pred, info, tmp_path / 'a.zip')
    for benchmark, limit in (('coco', 100), ('lvis', 300)):
        submit(benchmark, pred, info, tmp_path / 'a.zip', fix=True)
        assert [each['score'] for each in in_zip(tmp_path / 'a.zip')[1]] == [
            i / 1000 for i in range(329, 329 - limit, -1)
        ]


def test_submit__problems_are_one_report_and_nothing_is_written(tmp_path, info):
    found = entries(40)
    found[5] |= {'score': float('nan')}
    found[7] |= {'score': None}  # how a NaN is written where JSON has none
    found[30] |= {'bbox': [1, 2, -3, 4]}
    pred = write(tmp_path / 'p.json', found)
    with pytest.raises(SubmissionError) as caught:
        submit('coco', pred, info, tmp_path / 'a.zip', json_file=tmp_path / 'r.json')
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f'{pred}: not fit for coco: score that is no number: 2, negative size: 1; --fix mends what')
    assert [line.split(']')[0] for line in lines] == ['  [5', '  [7', '  [30']
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['problems'] == {'score that is no number': 2, 'negative size': 1} and report['archive'] is None
    assert [each['position'] for each in report['examples']] == [5, 7, 30]
    with pytest.raises(SubmissionError, match='score that is no number: 2; --fix leaves these to you'):
        submit('coco', pred, info, tmp_path / 'a.zip', fix=True)
    assert sorted(os.listdir(tmp_path)) == [INFO_NAME, 'p.json', 'r.json']


def test_submit__names_what_is_behind_many_problems(tmp_path, info):
    corners = [
        each | {'bbox': [*each['bbox'][:2], *np.add(each['bbox'][:2], each['bbox'][2:])]} for each in entries(40)
    ]
    labels = [each | {'category_id': i % 3} for i, each in enumerate(entries(40))]
    others = [each | {'image_id': each['image_id'] + 100} for each in entries(40)]
    for found, words in ((corners, 'read as corners'), (labels, 'read as labels'), (others, 'no image is of')):
        for fix in (False, True):
            with pytest.raises(UserError, match='would leave nothing' if fix and found is others else words):
                submit('coco', write(tmp_path / 'p.json', found), info, tmp_path / 'a.zip', fix=fix)


@pytest.mark.parametrize(
    ('found', 'options', 'message'),
    [
        ([], {}, 'servers fail on an empty list'),
        ([{'image_id': 10}], {}, r"p\.json, predictions\[0\]: no 'category_id'"),
        ([entry()], {'iou_type': 'segm'}, "entries have no 'segmentation'"),
        ([entry()], {'iou_type': 'keypoints'}, 'iou_type: expected one of bbox, segm'),
        ([entry()], {'benchmark': 'voc'}, "benchmark 'voc': choose one of coco, lvis"),
        ([entry()], {'out': 'a.json'}, r'COCO 2017 takes a name that ends in \.zip'),
        ([entry()], {'algorithm': 'a/b'}, "algorithm 'a/b': it becomes a part of a file name"),
        ([entry()], {'test_set': 'test2017'}, "test set 'test2017': COCO 2017 has test-dev2017"),
        ([entry()], {'images': 'none.json'}, 'image-info file none.json: no such file'),
        ([entry()], {'out': '/dev/full/a.zip'}, 'out /dev/full/a.zip'),
    ],
)
def test_submit__refuses_in_one_line(tmp_path, info, found, options, message):
    arguments = {'benchmark': 'coco', 'images': info, 'out': tmp_path / 'a.zip'} | options
    with pytest.raises(UserError, match=message) as caught:
        submit(predictions=write(tmp_path / 'p.json', found), **arguments)
    assert '\n' not in str(caught.value) and not (tmp_path / 'a.zip').exists()


def test_submit__nothing_that_is_read_is_written_over(tmp_path, info):
    pred = write(tmp_path / 'p.json', [entry()])
    before = pred.read_bytes()
    for options in ({'json_file': pred}, {'json_file': info}, {'json_file': tmp_path / 'a.json'}, {'out': pred}):
        with pytest.raises(UserError, match='is the same file'):
            submit('lvis', pred, info, **{'out': tmp_path / 'a.json', **options})
    with pytest.raises(UserError, match=r'json file .*p\.json: archive is the same file'):
        check_archive(pred, info, 'lvis', json_file=pred)
    assert pred.read_bytes() == before and sorted(os.listdir(tmp_path)) == [INFO_NAME, 'p.json']


def test_submit__warns_of_what_may_not_be_meant(tmp_path):
    info = write_info(tmp_path, name='instances_val2017.json', annotations=[{}] * 3)
    found = [entry(segmentation=run_lengths(np.ones((80, 100), bool)), bbox=[i, 1, 2, 3]) for i in range(3)]
    submission = submit('coco', write(tmp_path / 'p.json', found), info, tmp_path)
    assert submission.test_set == 'val2017' and submission.num_images_without == 3
    for words in (
        'has 4 images, and val2017 has 5000',
        'has 3 annotations: no image-info file of a test set',
        '3 of 4 images have no detection',
        '--iou-type segm takes masks',
        'all boxes are whole pixels',
        'all scores are 0.5',
    ):
        assert any(words in warning for warning in submission.warnings), words


def test_submit__names_of_the_file(tmp_path, info):
    pred = write(tmp_path / 'p.json', [entry()])

    def name(out, **options):
        submission = submit('coco', pred, info, out, **options)
        return os.path.basename(submission.archive), submission.member

    assert name(tmp_path, algorithm='fvit-b') == (
        'detections_test-dev2017_fvit-b_results.zip',
        'detections_test-dev2017_fvit-b_results.json',
    )
    told = 'detections_test-challenge2017_mine_results'
    assert name(tmp_path / f'{told}.zip') == (f'{told}.zip', f'{told}.json')
    assert name(tmp_path / 'a.zip', test_set='val2017')[1] == 'detections_val2017_fgdet_results.json'


def test_submit__a_large_file_is_warned_of(tmp_path, info, monkeypatch):
    monkeypatch.setitem(api.BENCHMARKS, 'lvis', replace(api.LVIS, max_bytes=100))
    done = api.submit('lvis', write(tmp_path / 'p.json', entries(50)), info, tmp_path / 'a.json')
    assert any("EvalAI's website takes 500 MB" in warning for warning in done.warnings)


def test_check__finds_what_another_tool_wrote_wrong(tmp_path, info):
    path = tmp_path / f'{NAME}.zip'
    with zipfile.ZipFile(path, 'w') as written:
        written.writestr('results.json', json.dumps([entry(), entry(77)]))
    with pytest.raises(SubmissionError, match=r'unknown image: 1; .*\n  \[1\] image_id 77'):
        check_archive(path, info)
    with zipfile.ZipFile(path, 'w') as written:
        written.writestr('results.json', json.dumps([entry()]))
    assert any('the file in it is results.json' in warning for warning in check_archive(path, info).warnings)
    with zipfile.ZipFile(path, 'w') as written:
        written.writestr('results.json', '[{"image_id": 1')
    with pytest.raises(UserError, match=f'results.json in {path}: not JSON'):
        check_archive(path, info)
    with pytest.raises(UserError, match='its name tells no benchmark'):
        check_archive(path.rename(tmp_path / 'b.zip'), info)
