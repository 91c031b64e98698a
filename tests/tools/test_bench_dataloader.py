"""The data loader benchmark on a few images."""

import pytest

from fgdet.cli import bench


def test_run__same_pixels_ids_and_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import dataloader

    record = dataloader.run(repeats=1, threads=1, num_images=3, batch_size=2, num_workers=0)
    assert record['max_error'] < 1e-6 and record['settings']['num_images'] == 3
    assert set(record['samples_per_second']) == {'ours', 'theirs'}
