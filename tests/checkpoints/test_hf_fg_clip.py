"""The Hugging Face layout: official names, shapes and config fields."""

import json

import pytest
import torch
from safetensors.torch import load_file

from fgdet.checkpoints.hf_fg_clip import config_from_hf, config_to_hf, state_from_hf, state_to_hf
from tests.builders import OFFICIAL, official_json, official_model


@pytest.fixture
def official_state() -> dict[str, torch.Tensor]:
    return load_file(OFFICIAL / 'model.safetensors')


def test_state__exactly_the_official_names_and_shapes() -> None:
    state = state_to_hf(official_model().state_dict())
    assert {name: list(value.shape) for name, value in state.items()} == official_json('state_dict_keys')


def test_state__round_trip_is_exact(official_state: dict[str, torch.Tensor]) -> None:
    back = state_to_hf(state_from_hf(official_state))
    assert back.keys() == official_state.keys()
    assert all(torch.equal(value, official_state[name]) for name, value in back.items())


def test_state_from_hf__fuses_queries_keys_and_values_in_this_order(official_state: dict[str, torch.Tensor]) -> None:
    fused = state_from_hf(official_state)['text.blocks.1.attention.qkv.weight']
    parts = [official_state[f'text_model.encoder.layers.1.self_attn.{p}_proj.weight'] for p in 'qkv']
    assert torch.equal(fused, torch.cat(parts))


def test_state_from_hf__row_numbers_of_older_files_are_dropped(official_state: dict[str, torch.Tensor]) -> None:
    numbers = {f'{tower}_model.embeddings.position_ids': torch.arange(77)[None] for tower in ('text', 'vision')}
    assert state_from_hf(official_state | numbers).keys() == state_from_hf(official_state).keys()


def test_state_from_hf__names_what_it_does_not_know(official_state: dict[str, torch.Tensor]) -> None:
    odd = {'text_model.encoder.layers.0.self_attn.relative.weight': torch.zeros(1), 'head.bias': torch.zeros(1)}
    message = r'holds 2 tensors .*: head\.bias, text_model\.encoder\.layers\.0\.self_attn\.relative\.weight'
    with pytest.raises(ValueError, match=message):
        state_from_hf(official_state | odd)


def test_state_from_hf__names_a_missing_key(official_state: dict[str, torch.Tensor]) -> None:
    name = 'vision_model.encoder.layers.2.self_attn.k_proj.bias'
    del official_state[name]
    with pytest.raises(ValueError, match=f'lacks {name}'):
        state_from_hf(official_state)


def test_state_to_hf__a_name_without_a_place() -> None:
    with pytest.raises(ValueError, match=r'head\.bias has no place'):
        state_to_hf({'head.bias': torch.zeros(1)})


def test_config__official_fields_round_trip() -> None:
    official = json.loads((OFFICIAL / 'config.json').read_text())
    config = config_from_hf(official)
    assert config['vision'] == dict(
        image_size=64, patch_size=16, width=64, num_layers=3, num_heads=4, mlp_width=128, output_dim=32,
        activation='quick_gelu',
    )  # fmt: skip
    assert config['text'] == dict(
        vocab_size=600, width=48, num_layers=3, num_heads=4, mlp_width=96, output_dim=32,
        context_length=77, long_context_length=248, eos_token_id=599, activation='quick_gelu',
    )  # fmt: skip
    del official['transformers_version']
    assert config_to_hf(config) == official


def test_config_from_hf__absent_fields_are_clips_defaults() -> None:
    """The published FG-CLIP and CLIP configs leave out what equals transformers' defaults."""
    config = config_from_hf(dict(model_type='clip', text_config={}, vision_config=dict(patch_size=16)))
    assert config['vision'] == dict(
        image_size=224, patch_size=16, width=768, num_layers=12, num_heads=12, mlp_width=3072, output_dim=512,
        activation='quick_gelu',
    )  # fmt: skip
    assert config['text']['vocab_size'] == 49408 and config['text']['width'] == 512
    assert config['text']['eos_token_id'] == 49407  # not the 2 that OpenAI's configs say


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(model_type='siglip', text_config={}, vision_config={}), "got model_type 'siglip'"),
        (dict(model_type='clip', text_config={}), 'with text_config and vision_config'),
        ([], 'got model_type None'),
        (
            dict(model_type='clip', text_config={}, vision_config=dict(hidden_act='relu')),
            r"vision_config\.hidden_act must be 'quick_gelu' or 'gelu', got 'relu'",
        ),
        (
            dict(model_type='clip', text_config=dict(layer_norm_eps=1e-12), vision_config={}),
            r'text_config\.layer_norm_eps must be 1e-05, got 1e-12',
        ),
        (dict(model_type='clip', text_config=None, vision_config={}), 'with text_config and vision_config'),
    ],
)
def test_config_from_hf__another_model(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_hf(config)
