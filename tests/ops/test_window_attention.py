"""Attention within windows against a loop over queries, each with the list of tokens that it may see."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fgdet.ops.window_attention import masked_window_attention, window_attention


def looped(q: Tensor, k: Tensor, v: Tensor, size_hw: tuple[int, int], window: int) -> Tensor:
    """One query at a time: a patch sees the class token and the patches with its own window's row and column."""
    height, width = size_hw
    output = torch.zeros_like(q)
    for i in range(1 + height * width):
        seen = [0]
        for j in range(height * width):
            (y, x), (row, column) = divmod(i - 1, width), divmod(j, width)
            if i == 0 or (y // window == row // window and x // window == column // window):
                seen.append(1 + j)
        for image in range(q.shape[0]):
            for head in range(q.shape[1]):
                weights = (k[image, head, seen] @ q[image, head, i] / q.shape[-1] ** 0.5).softmax(0)
                output[image, head, i] = weights @ v[image, head, seen]
    return output


def random_heads(size_hw: tuple[int, int], images: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(images, 2, 1 + size_hw[0] * size_hw[1], 3, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize(
    ('size_hw', 'window'),
    [((4, 4), 2), ((5, 7), 3), ((2, 7), 3), ((7, 2), 3), ((1, 5), 2), ((3, 3), 1), ((5, 4), 4), ((2, 2), 3)],
)
def test_window_attention__equals_the_loop(size_hw: tuple[int, int], window: int) -> None:
    q, k, v = random_heads(size_hw)
    expected = looped(q, k, v, size_hw, window)
    torch.testing.assert_close(window_attention(q, k, v, size_hw, window), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(masked_window_attention(q, k, v, size_hw, window), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('window', [5, 6, 100])
def test_window_attention__windows_that_cover_the_map_are_global_attention(window: int) -> None:
    q, k, v = random_heads((3, 5))
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(window_attention(q, k, v, (3, 5), window), expected, rtol=0, atol=1e-12)


def test_window_attention__gradient() -> None:
    heads = [each.requires_grad_() for each in random_heads((3, 2), images=1)]
    assert torch.autograd.gradcheck(lambda q, k, v: window_attention(q, k, v, (3, 2), 2), heads)


def test_window_attention__no_image() -> None:
    q, k, v = random_heads((3, 5), images=0)
    assert window_attention(q, k, v, (3, 5), 2).shape == q.shape
