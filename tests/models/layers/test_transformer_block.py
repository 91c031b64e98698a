"""The residual block against its formula in float64."""

import pytest
import torch

from fgdet.models.layers.transformer_block import TransformerBlock, init_block_
from tests import naive


@pytest.fixture
def block() -> TransformerBlock:
    torch.manual_seed(1)
    block = TransformerBlock(8, 2, 20).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


@pytest.mark.parametrize('causal', [False, True])
def test_block__equals_its_formula(block: TransformerBlock, causal: bool) -> None:
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    expected = torch.stack([naive.block_output(block, row, causal) for row in x])
    torch.testing.assert_close(block(x, causal=causal), expected, rtol=0, atol=1e-10)


def test_block_without_attention__equals_the_block_on_each_token_alone(block: TransformerBlock) -> None:
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    expected = torch.stack([naive.block_output_without_attention(block, row) for row in x])
    torch.testing.assert_close(block.forward_without_attention(x), expected, rtol=0, atol=1e-10)


def test_block_without_attention__queries_and_keys_get_no_gradient(block: TransformerBlock) -> None:
    block.forward_without_attention(torch.randn(1, 3, 8, dtype=torch.float64)).sum().backward()
    grad = block.attention.qkv.weight.grad
    assert not grad[:16].any() and grad[16:].any()


def test_init_block__has_clips_deviations() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(128, 2, 512)
    init_block_(block, num_layers=2)
    # (2 * 128)^-1/2 = 0.0625 and 128^-1/2 * (2 * 2)^-1/2 = 0.0442.
    assert block.mlp.fc1.weight.std().item() == pytest.approx(0.0625, rel=0.02)
    assert block.mlp.fc2.weight.std().item() == pytest.approx(0.0442, rel=0.02)
    assert not block.mlp.fc1.bias.any() and not block.mlp.fc2.bias.any()
