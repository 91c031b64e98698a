"""The box classification benchmark with a tiny tower."""

import pytest

from fgdet.cli import bench


def test_run__same_classes_from_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import box_classification

    case = box_classification.Case('tiny', 64, 2, num_images=3, boxes=2, image_size=64, batch_size=2)
    record = box_classification.run(repeats=1, threads=1, cases=(case,))
    settings = record['settings']
    assert record['max_error'] < 1e-3 and settings['identical_ranks'] == 1
    # Two boxes, each with a tower of 2 blocks and the last one again.
    assert 2 < settings['limit'] < 2 * 3
    assert all(seconds > 0 for parts in settings['profile'].values() for seconds in parts.values())
