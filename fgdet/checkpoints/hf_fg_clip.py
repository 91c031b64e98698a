"""FG-CLIP's and CLIP's Hugging Face layout: names and config fields to ours and back.

The two directions are exact inverses on a complete FG-CLIP state; a plain CLIP state is completed by
:func:`complete_clip_state` first. Queries, keys and values stand in one fused matrix here and in three there.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fgdet.checkpoints.clip_state import CONTEXT_LENGTH, LONG_CONTEXT_LENGTH

CONFIG_FILE, WEIGHTS_FILE = 'config.json', 'model.safetensors'
#: Per-channel mean and standard deviation of RGB in 0..1 that CLIP was trained with (OpenAI CLIP, `clip.py`).
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)

#: Layer-norm epsilon of every published CLIP.
LAYER_NORM_EPS = 1e-5

_TOP_NAMES = {
    'logit_scale': 'logit_scale',
    'logit_scale_finegraind': 'logit_scale_region',
    'logit_scale_hardneg': 'logit_scale_hard_negative',
    'visual_projection.weight': 'visual.projection.weight',
    'text_projection.weight': 'text.projection.weight',
    'text_filip_projection.weight': 'text.long_projection.weight',
    'vision_model.embeddings.class_embedding': 'visual.class_embedding',
    'vision_model.embeddings.patch_embedding.weight': 'visual.patch_embedding.weight',
    'vision_model.embeddings.position_embedding.weight': 'visual.position_embedding',
    'vision_model.pre_layrnorm.weight': 'visual.pre_norm.weight',
    'vision_model.pre_layrnorm.bias': 'visual.pre_norm.bias',
    'vision_model.post_layernorm.weight': 'visual.post_norm.weight',
    'vision_model.post_layernorm.bias': 'visual.post_norm.bias',
    'text_model.embeddings.token_embedding.weight': 'text.token_embedding.weight',
    'text_model.embeddings.position_embedding.weight': 'text.position_embedding',
    'text_model.embeddings.position_embedding_ori.weight': 'text.position_embedding_ori',
    'text_model.embeddings.position_embedding_res.weight': 'text.position_embedding_res',
    'text_model.final_layer_norm.weight': 'text.final_norm.weight',
    'text_model.final_layer_norm.bias': 'text.final_norm.bias',
}
_BLOCK_NAMES = {
    'layer_norm1': 'norm1',
    'layer_norm2': 'norm2',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
    'self_attn.out_proj': 'attention.out',
}
_THEIR_TOWERS = {'vision_model': 'visual', 'text_model': 'text'}
_OUR_TOWERS = {ours: theirs for theirs, ours in _THEIR_TOWERS.items()}
# Buffers that some versions of transformers wrote out; the row numbers 0, 1, 2 ... and nothing else.
_IGNORED = re.compile(r'(vision|text)_model\.embeddings\.position_ids$')
_THEIR_BLOCK = re.compile(r'(vision_model|text_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$')
_OUR_BLOCK = re.compile(r'(visual|text)\.blocks\.(\d+)\.(.+)\.(weight|bias)$')


def state_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a Hugging Face state dict to ours.

    Raises:
        ValueError: it holds names that belong to no part of FG-CLIP, or lacks a query's key or value; they are listed.
    """
    ours: dict[str, Tensor] = {}
    unknown, missing = [], []
    for name, value in state.items():
        block = _THEIR_BLOCK.match(name)
        if name in _TOP_NAMES:
            ours[_TOP_NAMES[name]] = value
        elif block and block[3] in _BLOCK_NAMES:
            ours[f'{_THEIR_TOWERS[block[1]]}.blocks.{block[2]}.{_BLOCK_NAMES[block[3]]}.{block[4]}'] = value
        elif block and block[3] == 'self_attn.q_proj':
            parts = [name.replace('q_proj', part) for part in ('q_proj', 'k_proj', 'v_proj')]
            missing += [part for part in parts if part not in state]
            fused = [state[part] for part in parts if part in state]
            ours[f'{_THEIR_TOWERS[block[1]]}.blocks.{block[2]}.attention.qkv.{block[4]}'] = torch.cat(fused)
        elif not (block and block[3] in ('self_attn.k_proj', 'self_attn.v_proj')) and not _IGNORED.match(name):
            unknown.append(name)
    if unknown:
        raise ValueError(
            f'the checkpoint holds {len(unknown)} tensors that FG-CLIP has not: {", ".join(sorted(unknown))}'
        )
    if missing:
        raise ValueError(f'the checkpoint lacks {", ".join(sorted(missing))}')
    return ours


def state_to_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our state dict to Hugging Face's FG-CLIP layout; the inverse of :func:`state_from_hf`."""
    top = {ours: theirs for theirs, ours in _TOP_NAMES.items()}
    blocks = {ours: theirs for theirs, ours in _BLOCK_NAMES.items()}
    theirs: dict[str, Tensor] = {}
    for name, value in state.items():
        block = _OUR_BLOCK.match(name)
        if name in top:
            theirs[top[name]] = value
        elif block:
            prefix = f'{_OUR_TOWERS[block[1]]}.encoder.layers.{block[2]}'
            if block[3] == 'attention.qkv':
                for part, rows in zip(('q_proj', 'k_proj', 'v_proj'), value.chunk(3), strict=True):
                    theirs[f'{prefix}.self_attn.{part}.{block[4]}'] = rows.clone()
            else:
                theirs[f'{prefix}.{blocks[block[3]]}.{block[4]}'] = value
        else:
            raise ValueError(f'{name} has no place in the Hugging Face layout')
    return theirs


def config_from_hf(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :class:`fgdet.FGCLIP` from a Hugging Face ``config.json``; absent fields take CLIP's defaults.

    Raises:
        ValueError: the file describes another kind of model, or one that fgdet cannot compute.
    """
    kind = config.get('model_type') if isinstance(config, Mapping) else None
    if kind != 'clip' or not all(isinstance(config.get(f'{tower}_config'), Mapping) for tower in ('text', 'vision')):
        raise ValueError(
            "config.json must describe a CLIP or FG-CLIP model (model_type 'clip' with text_config and vision_config), "
            f'got model_type {kind!r}'
        )
    vision, text = config['vision_config'], config['text_config']
    for part, fields in (('vision_config', vision), ('text_config', text)):
        activation, eps = fields.get('hidden_act', 'quick_gelu'), fields.get('layer_norm_eps', LAYER_NORM_EPS)
        if activation not in ('quick_gelu', 'gelu'):
            raise ValueError(f"config.json: {part}.hidden_act must be 'quick_gelu' or 'gelu', got {activation!r}")
        if eps != LAYER_NORM_EPS:
            raise ValueError(f'config.json: {part}.layer_norm_eps must be {LAYER_NORM_EPS}, got {eps!r}')
    vocab_size = text.get('vocab_size', 49408)
    # OpenAI's published configs say 2, a value that no code used; the mark is the last token of the vocabulary.
    eos = text.get('eos_token_id', 2)
    output_dim = config.get('projection_dim', 512)
    # RoIAlignPooler's settings where they are not FG-CLIP's; other code reads past this field, which is ours.
    pooler = config.get('fgdet_pooler')
    return dict(
        **({} if pooler is None else dict(pooler=pooler)),
        vision=dict(
            image_size=vision.get('image_size', 224),
            patch_size=vision.get('patch_size', 32),
            width=vision.get('hidden_size', 768),
            num_layers=vision.get('num_hidden_layers', 12),
            num_heads=vision.get('num_attention_heads', 12),
            mlp_width=vision.get('intermediate_size', 3072),
            output_dim=output_dim,
            activation=vision.get('hidden_act', 'quick_gelu'),
        ),
        text=dict(
            vocab_size=vocab_size,
            width=text.get('hidden_size', 512),
            num_layers=text.get('num_hidden_layers', 12),
            num_heads=text.get('num_attention_heads', 8),
            mlp_width=text.get('intermediate_size', 2048),
            output_dim=output_dim,
            context_length=text.get('max_position_embeddings', CONTEXT_LENGTH),
            long_context_length=LONG_CONTEXT_LENGTH,
            eos_token_id=vocab_size - 1 if eos == 2 else eos,
            activation=text.get('hidden_act', 'quick_gelu'),
        ),
    )


def config_to_hf(config: Mapping[str, Any], dtype: str = 'float32', plain: bool = False) -> dict[str, Any]:
    """A ``config.json`` that FG-CLIP's official code loads; the inverse of :func:`config_from_hf`.

    Args:
        config: the towers' arguments, every size written out, and ``pooler`` where it is not FG-CLIP's.
        dtype: of the weights, as torch names it.
        plain: describe the plain CLIP in it, for transformers' ``CLIPModel``.
    """
    vision, text = config['vision'], config['text']
    length = text['context_length']
    pooler = None if plain else config.get('pooler')
    return dict(
        architectures=['CLIPModel' if plain else 'FGCLIPModel'],
        **({} if pooler is None else dict(fgdet_pooler=pooler)),
        initializer_factor=1.0,
        logit_scale_init_value=2.6592,
        model_type='clip',
        projection_dim=vision['output_dim'],
        text_config=dict(
            bos_token_id=text['eos_token_id'] - 1,
            eos_token_id=text['eos_token_id'],
            **_unless_default('hidden_act', text['activation'], 'quick_gelu'),
            hidden_size=text['width'],
            intermediate_size=text['mlp_width'],
            **_unless_default('max_position_embeddings', length, CONTEXT_LENGTH),
            model_type='clip_text_model',
            num_attention_heads=text['num_heads'],
            num_hidden_layers=text['num_layers'],
            pad_token_id=text['eos_token_id'],
            projection_dim=vision['output_dim'],
            vocab_size=text['vocab_size'],
        ),
        torch_dtype=dtype,
        vision_config=dict(
            **_unless_default('hidden_act', vision['activation'], 'quick_gelu'),
            hidden_size=vision['width'],
            image_size=vision['image_size'],
            intermediate_size=vision['mlp_width'],
            model_type='clip_vision_model',
            num_attention_heads=vision['num_heads'],
            num_hidden_layers=vision['num_layers'],
            patch_size=vision['patch_size'],
            projection_dim=vision['output_dim'],
        ),
    )


def _unless_default(name: str, value: Any, default: Any) -> dict[str, Any]:
    """The official files leave out what equals transformers' default."""
    return {} if value == default else {name: value}
