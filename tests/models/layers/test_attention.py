"""Self-attention against softmax written out, in float64."""

import pytest
import torch

from fgdet.models.layers.attention import SelfAttention, scaled_init_
from tests import naive


@pytest.fixture
def attention() -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(12, 3).double()


@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('length', [1, 2, 7])
def test_attention__equals_written_out_softmax(attention: SelfAttention, length: int, causal: bool) -> None:
    x = torch.randn(2, length, 12, dtype=torch.float64)
    expected = torch.stack([naive.attention(attention, row, causal) for row in x])
    torch.testing.assert_close(attention(x, causal=causal), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('causal', [False, True])
def test_attention__gradcheck(attention: SelfAttention, causal: bool) -> None:
    x = torch.randn(1, 4, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tokens: attention(tokens, causal=causal), x)


def test_attention__causal_tokens_do_not_see_what_follows(attention: SelfAttention) -> None:
    x = torch.randn(1, 6, 12, dtype=torch.float64)
    torch.testing.assert_close(attention(x, causal=True)[:, :3], attention(x[:, :3], causal=True))


def test_forward_values__each_token_alone(attention: SelfAttention) -> None:
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    alone = torch.stack([torch.stack([naive.attention(attention, token[None])[0] for token in row]) for row in x])
    torch.testing.assert_close(attention.forward_values(x), alone, rtol=0, atol=1e-12)


def test_attention__heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match='width=10 and num_heads=3'):
        SelfAttention(10, 3)


def test_scaled_init__has_clips_deviations() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(256, 4)
    scaled_init_(attention, num_layers=8)
    # 256^-1/2 = 0.0625 and (2 * 8 * 256)^-1/2 = 0.015625; 65,536 draws give them to 1 %.
    assert attention.qkv.weight.std().item() == pytest.approx(0.0625, rel=0.01)
    assert attention.out.weight.std().item() == pytest.approx(0.015625, rel=0.01)
    assert not attention.qkv.bias.any() and not attention.out.bias.any()
