"""The benchmark of evaluations on a few images."""

import pytest

from fgdet.cli import bench


def test_run__equal_scores_and_memory_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import evaluate

    cases = tuple(case._replace(size=case.size._replace(num_images=12)) for case in evaluate.CASES)
    large = (evaluate.LVIS._replace(num_images=9),)
    record = evaluate.run(repeats=1, threads=1, cases=cases, large=large, num_streamed=8)
    assert [case['max_error'] < 1e-9 for case in record['cases']] == [True] * 3
    assert all(case['scores']['AP'] > 0.1 and case['ratio'] > 0 for case in record['cases'])
    assert record['large'][0]['peak_mib'] > 10 and list(record['streaming']['resident_mib']) == ['2', '4', '6', '8']
    assert 'fgdet alone, 9 images of 1,203 classes' in record['text']
