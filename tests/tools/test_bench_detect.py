"""The benchmark of whole detectors, on tiny ones."""

from pathlib import Path

import pytest

from fgdet.cli import bench


def test_run__every_kind_equals_mmdets_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import detect

    tiny = [f'ov_coco/{name}_tiny.py' for name in ('fvit', 'atss', 'dino')]
    record = detect.run(1, 1, str(tmp_path), tiny[0], tiny[1:], sides=(96,), batches=(1, 2), vocabularies=(300,))
    against_mmdet = [case for case in record['cases'] if 'shares' in case['settings']]
    assert [case['name'].split()[0] for case in against_mmdet] == ['RCNN', 'RCNN', 'SingleStage', 'DINO']
    for case in against_mmdet:
        settings = case['settings']
        assert case['max_error'] < 1e-2 and settings['detections'] and sum(settings['shares'].values()) == 1
        assert all(share > 0 for share in settings['shares'].values())
        # Products alone are counted, once each: a tower of 4 blocks of width 192 has most of them.
        assert settings['limits']['gflop'] > 0.1 * settings['batch'] and settings['limits']['gb'] > 0
    (names,) = [case['settings'] for case in record['cases'] if 'shares' not in case['settings']]
    assert names['candidates'] == names['candidates_of_80_names'] == detect.CANDIDATES
    change = record['vocabulary_change']
    assert change['in_memory_ms'] < change['new_ms'] and change['from_disk_ms'] < change['new_ms']
    assert 'aten::' in (tmp_path / 'profile.txt').read_text(encoding='utf-8')
    assert all(case['name'] in record['text'] for case in record['cases'])
