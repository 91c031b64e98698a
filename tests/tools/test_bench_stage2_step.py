"""The stage-2 benchmark with one layer and one image."""

import pytest

from fgdet.cli import bench


def test_run__same_loss_from_fewer_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bench.FOLDER)
    import stage2_step

    record = stage2_step.run(repeats=1, threads=1, num_layers=1, num_images=1)
    settings = record['settings']
    assert settings['regions'] == 4 and [c['settings']['padded_blocks'] for c in record['cases']] == [
        'plain_block'
    ] * 2 + ['fused_block']
    assert max(case['max_error'] for case in record['cases']) < 1e-5
    assert settings['padded_tokens'] == 248 + 77 + 4 * 12 * 77
    assert settings['tree_nodes'] < settings['tokens'] < settings['padded_tokens']
