"""OpenAI's CLIP state dict, which open_clip's native models share: names and sizes to ours and back."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fgdet.checkpoints.clip_state import LONG_CONTEXT_LENGTH

_TOP_NAMES = {
    'logit_scale': 'logit_scale',
    'visual.class_embedding': 'visual.class_embedding',
    'visual.conv1.weight': 'visual.patch_embedding.weight',
    'visual.positional_embedding': 'visual.position_embedding',
    'visual.ln_pre.weight': 'visual.pre_norm.weight',
    'visual.ln_pre.bias': 'visual.pre_norm.bias',
    'visual.ln_post.weight': 'visual.post_norm.weight',
    'visual.ln_post.bias': 'visual.post_norm.bias',
    'token_embedding.weight': 'text.token_embedding.weight',
    'positional_embedding': 'text.position_embedding',
    'ln_final.weight': 'text.final_norm.weight',
    'ln_final.bias': 'text.final_norm.bias',
}
_TRANSPOSED = {'visual.proj': 'visual.projection.weight', 'text_projection': 'text.projection.weight'}
_BLOCK_NAMES = {
    'ln_1.weight': 'norm1.weight',
    'ln_1.bias': 'norm1.bias',
    'ln_2.weight': 'norm2.weight',
    'ln_2.bias': 'norm2.bias',
    'mlp.c_fc.weight': 'mlp.fc1.weight',
    'mlp.c_fc.bias': 'mlp.fc1.bias',
    'mlp.c_proj.weight': 'mlp.fc2.weight',
    'mlp.c_proj.bias': 'mlp.fc2.bias',
    'attn.in_proj_weight': 'attention.qkv.weight',
    'attn.in_proj_bias': 'attention.qkv.bias',
    'attn.out_proj.weight': 'attention.out.weight',
    'attn.out_proj.bias': 'attention.out.bias',
}
# The sizes of the towers are read off these, beside the others outside the blocks.
_FIRST_BLOCKS = dict.fromkeys(f'{tower}transformer.resblocks.0.mlp.c_fc.weight' for tower in ('visual.', ''))
_OUR_BLOCK = re.compile(r'(visual|text)\.blocks\.(\d+)\.(.+)$')
_BLOCK = re.compile(r'(visual\.)?transformer\.resblocks\.(\d+)\.(.+)$')
# Sizes that OpenAI stored beside the weights, and the causal mask that open_clip derives.
_OPENAI_SIZES = {'input_resolution', 'context_length', 'vocab_size'}
_IGNORED = re.compile(rf'({"|".join(sorted(_OPENAI_SIZES))})$|((visual\.)?transformer\.resblocks\.\d+\.)?attn_mask$')
# Channels of an attention head; these widths are those of open_clip's ViT-H, g, bigG and e.
_HEAD_WIDTH, _HEAD_WIDTH_AT = 64, {1280: 80, 1408: 88, 1664: 104, 1792: 112}
# Towers of the same package that are no CLIP vision transformer, by a name that only they have.
_OTHER_TOWERS = {
    'visual.trunk.': 'a timm model as its image tower (visual.trunk.*)',
    'visual.layer1.': 'a ResNet as its image tower (visual.layer1.*)',
    'text.': 'a text tower of its own kind (text.*)',
}


def is_openai_state(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of OpenAI's CLIP with a vision transformer."""
    return 'visual.conv1.weight' in state and 'visual.class_embedding' in state


def stated_activation(state: Mapping[str, Tensor]) -> str | None:
    """``quick_gelu`` where the state is OpenAI's own, which the sizes beside its weights show; else None."""
    return 'quick_gelu' if state.keys() >= _OPENAI_SIZES else None


def refuse_other_towers(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError for a state dict of open_clip's whose towers are not CLIP's; it says what they are."""
    for prefix, kind in _OTHER_TOWERS.items():
        if any(name.startswith(prefix) for name in state):
            raise ValueError(f"it has {kind}; fgdet reads CLIP's own vision and text transformers only")


def state_from_openai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an OpenAI or open_clip state dict to ours.

    Raises:
        ValueError: it holds names that CLIP has not, or lacks some outside the blocks; they are listed.
    """
    refuse_other_towers(state)
    missing = sorted(name for name in {**_TOP_NAMES, **_TRANSPOSED, **_FIRST_BLOCKS} if name not in state)
    if missing:
        raise ValueError(f'the checkpoint lacks {", ".join(missing)}')
    ours: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        block = _BLOCK.match(name)
        if name in _TOP_NAMES:
            ours[_TOP_NAMES[name]] = value
        elif name in _TRANSPOSED:
            ours[_TRANSPOSED[name]] = value.T.contiguous()
        elif block and block[3] in _BLOCK_NAMES:
            ours[f'{"visual" if block[1] else "text"}.blocks.{block[2]}.{_BLOCK_NAMES[block[3]]}'] = value
        elif not _IGNORED.match(name):
            unknown.append(name)
    if unknown:
        raise ValueError(f'the checkpoint holds {len(unknown)} tensors that CLIP has not: {", ".join(sorted(unknown))}')
    return ours


def state_to_openai(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a plain CLIP's state from our names; the inverse of :func:`state_from_openai`.

    Raises:
        ValueError: a name has no place there.
    """
    top, transposed, blocks = (
        {ours: o for o, ours in names.items()} for names in (_TOP_NAMES, _TRANSPOSED, _BLOCK_NAMES)
    )
    theirs: dict[str, Tensor] = {}
    for name, value in state.items():
        block = _OUR_BLOCK.match(name)
        if name in top:
            theirs[top[name]] = value
        elif name in transposed:
            theirs[transposed[name]] = value.T.contiguous()
        elif block and block[3] in blocks:
            theirs[
                f'{"visual." if block[1] == "visual" else ""}transformer.resblocks.{block[2]}.{blocks[block[3]]}'
            ] = value
        else:
            raise ValueError(f"{name} has no place in OpenAI's layout")
    return theirs


def num_heads(width: int) -> int:
    """Attention heads of a published CLIP's tower; a state dict does not say.

    Raises:
        ValueError: no published CLIP has a tower so wide.
    """
    head_width = _HEAD_WIDTH_AT.get(width, _HEAD_WIDTH)
    if width % head_width:
        raise ValueError(f'a tower of {width} channels cannot have heads of {head_width}, as published CLIPs have')
    return width // head_width


def config_from_state(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of :class:`fgdet.FGCLIP` read off a CLIP state in our names; heads as wide as published CLIPs have.

    Raises:
        ValueError: no published CLIP has such sizes.
    """
    vision_width, text_width = len(state['visual.class_embedding']), state['text.token_embedding.weight'].shape[1]
    patch_size = state['visual.patch_embedding.weight'].shape[-1]
    side = round((len(state['visual.position_embedding']) - 1) ** 0.5)
    vocab_size = len(state['text.token_embedding.weight'])
    return dict(
        vision=dict(
            image_size=side * patch_size,
            patch_size=patch_size,
            width=vision_width,
            num_layers=_depth(state, 'visual'),
            num_heads=num_heads(vision_width),
            mlp_width=len(state['visual.blocks.0.mlp.fc1.weight']),
            output_dim=len(state['visual.projection.weight']),
        ),
        text=dict(
            vocab_size=vocab_size,
            width=text_width,
            num_layers=_depth(state, 'text'),
            num_heads=text_width // _HEAD_WIDTH,
            mlp_width=len(state['text.blocks.0.mlp.fc1.weight']),
            output_dim=len(state['text.projection.weight']),
            context_length=len(state['text.position_embedding']),
            long_context_length=LONG_CONTEXT_LENGTH,
            eos_token_id=vocab_size - 1,
        ),
    )


def _depth(state: Mapping[str, Tensor], tower: str) -> int:
    return 1 + max(int(name.split('.')[2]) for name in state if name.startswith(f'{tower}.blocks.'))
