"""The backbone benchmark on small images."""

import pytest

from fgdet.cli import bench


def test_run__windows_and_cache_change_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import backbone

    record = backbone.run(repeats=1, threads=1, window_px=256, step_px=64, num_layers=3, width=64)
    assert [case['name'] for case in record['cases']] == ['windows, 256 px', 'cached step, 64 px']
    assert [case['max_error'] for case in record['cases']] == [0, 0]
