"""One process alone; `tests/parity/test_ranks.py` has several."""

import pytest
import torch

from fgdet.utils.dist import RowGather, is_distributed, rank


def test_dist__alone() -> None:
    assert (is_distributed(), rank()) == (False, 0)


@pytest.mark.parametrize('across', [True, False])
def test_gather__alone_returns_the_rows_themselves(across: bool) -> None:
    rows = torch.randn(4, 3, dtype=torch.bfloat16)
    gather = RowGather(4, rows.device, across)
    assert gather(rows) is rows
    assert (gather.counts, gather.own, gather.mean_factor) == ([4], slice(0, 4), 0.25)


def test_gather__without_rows() -> None:
    gather = RowGather(0, torch.device('cpu'))
    assert (gather.own, gather.mean_factor) == (slice(0, 0), 0.0)
