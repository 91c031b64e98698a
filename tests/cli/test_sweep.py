"""What the command reads and prints; the sweep itself is tested with its api."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fgdet.cli.sweep import command
from fgdet.utils.checks import UserError


def entry(alpha: float, harmonic: float) -> dict[str, float]:
    scores = dict(base_ap50=0.5, novel_ap50=0.25, all_ap50=0.4, harmonic=harmonic)
    return dict(alpha=alpha, beta=0.5, temperature=0.01, **scores)


def test_sweep__grid_and_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def sweep(config: str, checkpoint: str, out: str, grid: Any, **options: Any) -> dict[str, Any]:
        seen.update(grid=grid, options=options)
        options['report']('run', 1.0)
        table = [entry(0.1, 0.31), entry(0.2, 0.33), entry(0.3, 0.32)]
        calibration = dict(scale=2.0, bias=-1.0, error_before=0.25, error_after=0.125)
        about = dict(images=12, annotation_file='val.json', calibration=calibration)
        return dict(table=table, best=table[1], config=entry(0.15, 0.3), **about)

    monkeypatch.setattr('fgdet.apis.sweep.sweep', sweep)
    arguments = ['c.py', 'c.pth', '--alpha', '0.1:0.3:0.1', '--beta', '0.5', '--out', str(tmp_path), '--top', '2']
    outcome = CliRunner().invoke(command, [*arguments, '--json', str(tmp_path / 'all.json')], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert tuple(seen['grid']) == ([0.1, 0.2, 0.3], [0.5], None)
    assert seen['options']['criterion'] == 'harmonic'
    rows = [line.split() for line in outcome.output.splitlines()]
    assert ['0.2', '0.5', '0.01', '50', '25', '40', '33'] in rows
    assert rows.index(['0.2', '0.5', '0.01', '50', '25', '40', '33']) < rows.index(
        ['0.3', '0.5', '0.01', '50', '25', '40', '32']
    )
    assert not any(row[:1] == ['0.1'] for row in rows)  # two rows were asked for
    assert '3 settings on 12 images of val.json' in outcome.output
    assert 'expected calibration error 0.250 before, 0.125 after, on the same images' in outcome.output
    assert len(json.loads((tmp_path / 'all.json').read_text())['table']) == 3


@pytest.mark.parametrize('text', ['0:1', 'a', '0:1:0', ''])
def test_sweep__a_malformed_grid(text: str) -> None:
    with pytest.raises(UserError, match=r'--alpha .*: expected FROM:TO:STEP or numbers between commas'):
        CliRunner().invoke(command, ['c.py', 'c.pth', '--out', 'x', '--alpha', text], catch_exceptions=False)
