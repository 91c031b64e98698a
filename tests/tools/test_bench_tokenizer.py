"""The tokenizer benchmark on a few captions."""

import pytest

from fgdet.cli import bench


def test_run__same_ids_and_the_sample_that_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import tokenizer

    record = tokenizer.run(repeats=1, threads=1, num_captions=200)
    assert [case['name'] for case in record['cases']] == ['known words', 'new words']
    assert [case['max_error'] for case in record['cases']] == [0, 0]
    assert record['settings']['captions'] == 200 and 5 <= record['settings']['with_odd_characters'] <= 25
    lengths = [len(caption.split()) for caption in tokenizer.sample(100, ['red', 'dog', 'runs'])]
    assert min(lengths) < 25 and max(lengths) > 100
