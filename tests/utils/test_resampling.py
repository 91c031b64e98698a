"""Position tables at other lengths."""

import pytest
import torch

from fgdet.utils.resampling import interpolate_grid, stretch_positions
from tests.builders import official_model, official_tensors


def cubic(offset: float) -> list[float]:
    """Keys' cubic kernel with a = -0.75 at the four neighbours of a point ``offset`` past the second one."""

    def weight(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3

    return [weight(1 + offset), weight(offset), weight(1 - offset), weight(2 - offset)]


@pytest.mark.parametrize('size_hw', [(3, 5), (6, 2), (1, 1), (4, 7)])
def test_interpolate_grid__equals_cubic_convolution_written_out(size_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    table = torch.randn(1 + 16, 2, dtype=torch.float64)
    resized = interpolate_grid(table, size_hw)
    grid = table[1:].reshape(4, 4, 2)
    expected = [table[0]]
    for y in range(size_hw[0]):
        for x in range(size_hw[1]):
            total = torch.zeros(2, dtype=torch.float64)
            sy, sx = (y + 0.5) * 4 / size_hw[0] - 0.5, (x + 0.5) * 4 / size_hw[1] - 0.5
            iy, ix = int(sy // 1), int(sx // 1)
            for dy, wy in enumerate(cubic(sy - iy), start=-1):
                for dx, wx in enumerate(cubic(sx - ix), start=-1):
                    total += wy * wx * grid[min(max(iy + dy, 0), 3), min(max(ix + dx, 0), 3)]
            expected.append(total)
    torch.testing.assert_close(resized, torch.stack(expected), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize('size_hw', [(6, 6), (3, 5), (2, 8)])
def test_interpolate_grid__equals_the_official_table(size_hw: tuple[int, int]) -> None:
    expected = official_tensors()[f'interp_{16 * size_hw[0]}x{16 * size_hw[1]}.position_table'][0]
    table = interpolate_grid(official_model().visual.position_embedding, size_hw)
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-6)


def test_stretch_positions__hand_worked() -> None:
    table = torch.tensor([[0.0], [10.0], [20.0], [40.0]], dtype=torch.float64)
    # Kept 0 and 10; then quarters from 20 to 40, and beyond 40 the last slope of 20 goes on.
    expected = [0.0, 10.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0]
    assert stretch_positions(table, length=10, kept=2).flatten().tolist() == expected


@torch.no_grad()
def test_stretch_positions__equals_the_official_table() -> None:
    expected = official_tensors()['resize.position_embedding_248']
    table = stretch_positions(official_model().text.position_embedding)
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-6)


def test_interpolate_grid__gradient_reaches_the_whole_table() -> None:
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: interpolate_grid(t, (3, 2)), table)


@pytest.mark.parametrize(('rows', 'length'), [(76, 248), (21, 22)])
def test_stretch_positions__table_too_short(rows: int, length: int) -> None:
    with pytest.raises(ValueError, match=f'{rows} positions cannot be stretched to {length}'):
        stretch_positions(torch.zeros(rows, 2), length)
