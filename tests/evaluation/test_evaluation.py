"""What an evaluation writes down."""

from pathlib import Path

import pytest

from fgdet.evaluation.evaluation import Evaluation


def test_to_json__inputs_can_be_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('a.json', 'b.json'):
        (tmp_path / name).write_text('[]')
    (tmp_path / 'test').mkdir()
    monkeypatch.chdir(tmp_path)
    inputs = dict(ann=['a.json', './b.json'], pred='a.json', images='test', split='test', vocab='ov_coco', long=None)
    inputs |= dict(checkpoint='owner/model', iou_type='bbox', templates='none')
    record = Evaluation('x', 'p', {'AP': 0.5}, inputs, {}).to_json()
    found = dict(ann=[str(tmp_path / 'a.json'), str(tmp_path / 'b.json')], images=str(tmp_path / 'test'))
    assert record['inputs'] == inputs | found | dict(pred=str(tmp_path / 'a.json'))
    assert record['AP'] == 0.5 and inputs['pred'] == 'a.json'
