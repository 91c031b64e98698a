"""States with low-rank adapters as plain ones."""

import pytest
import torch

from fgdet.checkpoints.lora_state import merge_lora_state

PREFIX = 'text.blocks.0.mlp.fc1.parametrizations.weight'


def state() -> dict[str, torch.Tensor]:
    return {
        f'{PREFIX}.original': torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        f'{PREFIX}.0.up': torch.tensor([[1.0], [0.0], [-1.0]]),
        f'{PREFIX}.0.down': torch.tensor([[2.0, 10.0]]),
        f'{PREFIX}.0.scale': torch.tensor(0.5),
        'text.blocks.0.mlp.fc1.bias': torch.tensor([7.0, 8.0, 9.0]),
        'logit_scale': torch.tensor(1.0),
    }


def test_merge_lora_state__hand_case() -> None:
    merged = merge_lora_state(state())
    assert merged.keys() == {'text.blocks.0.mlp.fc1.weight', 'text.blocks.0.mlp.fc1.bias', 'logit_scale'}
    assert merged['text.blocks.0.mlp.fc1.weight'].tolist() == [[2.0, 7.0], [3.0, 4.0], [4.0, 1.0]]


def test_merge_lora_state__keeps_the_type_of_the_base() -> None:
    half = state() | {f'{PREFIX}.original': state()[f'{PREFIX}.original'].bfloat16()}
    assert merge_lora_state(half)['text.blocks.0.mlp.fc1.weight'].dtype == torch.bfloat16


def test_merge_lora_state__a_plain_state_stays_as_it_is() -> None:
    plain = {name: value for name, value in state().items() if PREFIX not in name}
    assert merge_lora_state(plain) == plain


def test_merge_lora_state__half_an_adapter() -> None:
    broken = state()
    del broken[f'{PREFIX}.0.down']
    with pytest.raises(ValueError, match=r'adapter of text\.blocks\.0\.mlp\.fc1\.weight lacks .*\.down'):
        merge_lora_state(broken)
