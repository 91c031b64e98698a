"""Rows of length 1."""

import pytest
import torch

from fgdet.models.layers.normalization import unit_rows


@pytest.mark.parametrize(
    ('dtype', 'result'),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_unit_rows__hand_worked_in_every_type(dtype: torch.dtype, result: torch.dtype) -> None:
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=dtype))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=result))


def test_unit_rows__no_row() -> None:
    assert unit_rows(torch.zeros(0, 4)).shape == (0, 4)
