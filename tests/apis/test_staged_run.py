"""Stages in processes of their own: what they log, and what is said when they fail."""

import json

import pytest

from fgdet.apis.staged_run import Stage, read_scalars, run_stage
from fgdet.utils.checks import UserError


def test_run_stage__a_failing_run_names_its_log(tmp_path):
    config = tmp_path / 'broken.py'
    config.write_text('model = dict(\n')
    with pytest.raises(UserError, match=r'first step failed: .*broken\.py.*console\.log'):
        run_stage(Stage('first step', config, tmp_path / 'run', 10, {}), lambda share, line: None)


def test_read_scalars__leaves_out_a_half_written_line(tmp_path):
    folder = tmp_path / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text(json.dumps(dict(step=1, loss=2.0)) + '\n{"step": 2, "lo')
    assert read_scalars(tmp_path) == [dict(step=1, loss=2.0)]
