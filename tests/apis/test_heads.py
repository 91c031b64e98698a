"""The table of heads: means over seeds, and what it needs."""

from pathlib import Path

import pytest

from fgdet.apis.heads import HEADS, markdown_table, run_heads, run_names
from fgdet.utils.checks import UserError


def test_table__means_over_seeds_in_percent() -> None:
    same = dict(head='DINO', classifier='text', iterations=40)
    runs = [
        dict(same, seed=0, base_ap50=0.9, novel_ap50=0.8, seconds=60.0),
        dict(same, seed=1, base_ap50=0.7, novel_ap50=0.5, seconds=120.0),
        dict(same, classifier='linear', seed=0, base_ap50=0.5, novel_ap50=0.0, seconds=30.0),
    ]
    rows = markdown_table(runs).splitlines()[2:]
    assert rows[0] == '| DINO | text | 80.0 | 65.0 | 15.0 | 40 | 1.5 |'
    assert rows[1:] == ['| DINO | linear | 50.0 | 0.0 | 50.0 | 40 | 0.5 |']


def test_run_names__two_classifiers_for_every_head_and_seed() -> None:
    names = run_names(range(2))
    assert len(set(names)) == len(names) == 4 * len(HEADS)


def test_run_heads__without_a_demo(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'model\.safetensors is missing; run fgdet demo --out'):
        run_heads(tmp_path, [0], lambda name, share, line: None)
