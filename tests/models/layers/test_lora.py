"""Low-rank adapters: the base exactly at the start, the paper's product later, plain weights in the end."""

import pytest
import torch
from torch import nn

from fgdet.checkpoints.lora_state import merge_lora_state
from fgdet.models.layers.lora import add_lora_, merge_lora_
from fgdet.models.layers.transformer_block import TransformerBlock

MLP = ('mlp.fc1', 'mlp.fc2')


def block_with_adapters(targets: tuple[str, ...] = ('attention.qkv', 'attention.out', *MLP)) -> TransformerBlock:
    """A block whose adapters have learned something."""
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 16)
    add_lora_(block, 3, 6.0, targets)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if name.endswith('.up'):
                parameter.normal_()
    return block


def test_add_lora__starts_as_the_base_to_the_bit() -> None:
    torch.manual_seed(0)
    block, x = TransformerBlock(8, 2, 16), torch.randn(2, 5, 8)
    before = block(x), block.forward_without_attention(x)
    names = add_lora_(block, 2, 4.0)
    assert names == ['attention.out', 'attention.qkv']
    assert torch.equal(block(x), before[0]) and torch.equal(block.forward_without_attention(x), before[1])


def test_add_lora__is_the_papers_product_beside_the_base() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(5, 7)
    base = linear.weight.detach().clone()
    holder = nn.ModuleDict(dict(fc=linear))
    add_lora_(holder, 2, 8.0, ['fc'])
    update = linear.parametrizations.weight[0]
    nn.init.normal_(update.up)
    x = torch.randn(4, 5)
    expected = x @ base.T + linear.bias + (8.0 / 2) * (x @ update.down.T) @ update.up.T
    torch.testing.assert_close(linear(x), expected, rtol=1e-5, atol=1e-6)


def test_add_lora__only_adapters_learn_and_a_sliced_weight_learns_too() -> None:
    block = block_with_adapters()
    block(torch.randn(2, 5, 8)).sum().backward()
    learning = {name for name, p in block.named_parameters() if p.requires_grad}
    assert len(learning) == 8 and all(name.endswith(('.up', '.down')) for name in learning)
    assert all((p.grad is not None and p.grad.any()) == p.requires_grad for p in block.parameters())

    block.zero_grad()
    block.forward_without_attention(torch.randn(2, 5, 8)).square().sum().backward()
    gradient = block.attention.qkv.parametrizations.weight[0].up.grad
    assert not gradient[:16].any() and gradient[16:].any()  # of values alone


def test_merge__gives_the_same_outputs_in_place_and_from_the_state() -> None:
    block, x = block_with_adapters(), torch.randn(2, 5, 8)
    expected = block(x), block.forward_without_attention(x)
    plain = TransformerBlock(8, 2, 16)
    plain.load_state_dict(merge_lora_state(block.state_dict()))
    merge_lora_(block)
    assert type(block.attention.qkv) is nn.Linear
    assert block.state_dict().keys() == plain.state_dict().keys()
    for module in (plain, block):
        torch.testing.assert_close(module(x), expected[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(module.forward_without_attention(x), expected[1], rtol=0, atol=1e-6)


def test_update__is_added_in_float32_under_autocast() -> None:
    """An update below bfloat16's step at the weight's size is still there when the sum is formed."""
    linear = nn.ModuleDict(dict(fc=nn.Linear(4, 4)))
    add_lora_(linear, 1, 1.0, ['fc'])
    nn.init.constant_(linear.fc.parametrizations.weight[0].up, 1e-4)
    with torch.autocast('cpu', torch.bfloat16):
        weight = linear.fc.weight
    assert weight.dtype == torch.float32
    assert not torch.equal(weight, linear.fc.parametrizations.weight.original)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(rank=0, alpha=1.0), 'rank=0'),
        (dict(rank=1, alpha=0.0), 'alpha=0'),
        (dict(rank=1, alpha=1.0, targets=['attention.qvk']), r"attention\.qkv'.*mlp\.fc1.*got \['attention\.qvk'\]"),
        (dict(rank=1, alpha=1.0, targets=[]), r'got \[\]'),
    ],
)
def test_add_lora__wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_lora_(TransformerBlock(8, 2, 16), **arguments)
