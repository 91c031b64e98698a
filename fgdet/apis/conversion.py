"""Checkpoints between layouts: read with all that travels with them, checked as a model, written in one step."""

import os
import shutil
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from fgdet.checkpoints.clip_state import plain_clip_state
from fgdet.checkpoints.hf_fg_clip import CONFIG_FILE
from fgdet.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from fgdet.checkpoints.open_clip import OPEN_CLIP_CONFIG
from fgdet.checkpoints.openai_clip import num_heads, state_to_openai
from fgdet.checkpoints.own_checkpoint import to_own
from fgdet.checkpoints.saving import write_hf_folder, write_open_clip_folder, write_tensors
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes

#: What to write: FG-CLIP's or transformers' CLIP folder, open_clip's folder or state dict, or fgdet's own ``.pth``.
LAYOUTS = ('fg-clip', 'clip', 'open-clip', 'fgdet')
_STATE_SUFFIXES = ('.pt', '.bin', '.safetensors')
# Files of a checkpoint's folder, which --overwrite may replace.
_REPLACED = {'.json', '.txt', '.bin', '.safetensors'}
_CLIP_TOKENS = 49408


def convert(
    source: str | Path,
    destination: str | Path,
    to: str | None = None,
    overwrite: bool = False,
    activation: str | None = None,
) -> dict[str, Any]:
    """Write a checkpoint in another layout; each tensor keeps its dtype, and where the layouts agree, its bytes.

    Args:
        source: as for :meth:`fgdet.FGCLIP.from_pretrained`.
        destination: the folder or file to write; it appears whole or not at all.
        to: one of ``LAYOUTS``; without it ``fgdet`` for a ``.pth``, ``open-clip`` for a ``.pt``, ``.bin`` or
            ``.safetensors`` file, and ``fg-clip`` for a folder.
        overwrite: replace what is there: a file, or a folder in which nothing but a checkpoint lies.
        activation: for a state dict that does not say its own; see :meth:`fgdet.FGCLIP.from_pretrained`.

    Returns:
        ``source``, ``from``, ``destination``, ``to``, ``tensors`` (of the model), ``parameters``, ``dtypes`` (tensors
        by dtype), ``activation``, ``image_size``, ``context_length``, ``long_context_length``, and ``lost``, what the
        new layout has no place for.

    Raises:
        UserError: the source cannot be read, or the destination is there or cannot hold the model.
        OSError: the destination cannot be written.
    """
    destination = Path(destination)
    to = _layout(destination, to)
    _check_free(destination, overwrite)
    loaded = load_checkpoint(source, activation)
    model = FGCLIP.from_loaded(loaded, source, dtype=None)
    lost = _lost(model, loaded, destination, to)
    temporary = destination.with_name(f'.{destination.name}.{os.getpid()}.tmp')
    new = temporary / destination.name
    try:
        _write(model, new, to)
        _replace(new, destination)
    except ValueError as error:
        raise UserError(f'destination {destination}: {error}') from error
    except OSError as error:  # it names what was to become the destination
        reason = str(error).replace(str(new), str(destination)).replace(str(temporary), str(destination))
        raise OSError(reason) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    state = model.state_dict()
    return {
        'source': str(source),
        'from': loaded.layout,
        'destination': str(destination),
        'to': to,
        'tensors': len(state),
        'parameters': sum(value.numel() for value in state.values()),
        'dtypes': dict(Counter(str(value.dtype).removeprefix('torch.') for value in state.values())),
        'activation': model.visual.activation,
        'image_size': model.preprocessing.image_size,
        'context_length': model.text.context_length,
        'long_context_length': model.text.long_context_length,
        'lost': lost,
    }


def _layout(destination: Path, to: str | None) -> str:
    """The layout to write; ``to`` must fit the name of the destination."""
    suffix = destination.suffix
    found = 'fgdet' if suffix == '.pth' else 'open-clip' if suffix in _STATE_SUFFIXES else 'fg-clip'
    to = to or found
    if to not in LAYOUTS:
        raise UserError(f'to: expected one of {", ".join(LAYOUTS)}, got {to!r}')
    if to == 'fgdet' and suffix != '.pth':
        raise UserError(f"destination {destination}: fgdet's own layout is a file; give it the suffix .pth")
    if to in ('fg-clip', 'clip') and found != 'fg-clip':
        raise UserError(f'destination {destination}: the layout {to} is a folder; give a name without {suffix}')
    if to == 'open-clip' and suffix == '.pth':
        raise UserError(
            f'destination {destination}: .pth is for fgdet; give open-clip a folder, or .pt or .safetensors'
        )
    return to


def _check_free(destination: Path, overwrite: bool) -> None:
    """Raise UserError for a destination that is there, unless it may be overwritten."""
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists() and not overwrite:
        raise UserError(f'destination {destination}: it is there; choose another name, or give --overwrite')
    if destination.is_dir():
        if not any((destination / name).is_file() for name in (CONFIG_FILE, OPEN_CLIP_CONFIG)):
            raise UserError(f'destination {destination}: it is a folder that holds no checkpoint; choose another name')
        other = [each.name for each in sorted(destination.iterdir()) if each.is_dir() or each.suffix not in _REPLACED]
        if other:
            raise UserError(f'destination {destination}: it holds {other[0]} too; choose another name')


def _lost(model: FGCLIP, loaded: LoadedCheckpoint, destination: Path, to: str) -> list[str]:
    """What the layout cannot hold, in words."""
    lost = []
    if to in ('clip', 'open-clip') and loaded.layout in ('fg-clip', 'fgdet'):
        lost.append('the long text table and projection, and the region and hard-negative scales')
    if to in ('clip', 'open-clip') and 'pooler' in model.full_config():
        lost.append("the region pooler's settings")
    if to in ('fgdet', 'open-clip') and loaded.tokenizer_folder and model.text.vocab_size != _CLIP_TOKENS:
        lost.append('the tokenizer')
    if to == 'open-clip' and destination.suffix in _STATE_SUFFIXES:
        lost.append(f'the activation ({model.visual.activation}) and the preprocessing of images')
    return lost


def _write(model: FGCLIP, path: Path, to: str) -> None:
    state, config = model.state_dict(), model.full_config()
    if to == 'fgdet':
        data = BytesIO()  # torch makes no OSError of a full disk
        torch.save(to_own(state, config, model.preprocessing), data)
        write_bytes(path, data.getvalue())
    elif to == 'open-clip' and path.suffix in _STATE_SUFFIXES:
        for name in ('vision', 'text'):
            heads, width = config[name]['num_heads'], config[name]['width']
            if heads != num_heads(width):
                raise ValueError(f'a state dict does not say that the {name} tower has {heads} heads; give a folder')
        write_tensors(path, state_to_openai(plain_clip_state(state)))
    elif to == 'open-clip':
        write_open_clip_folder(path, state, config, model.preprocessing)
    else:
        write_hf_folder(path, state, config, model.preprocessing, plain=to == 'clip')
        model.save_tokenizer(path)


def _replace(new: Path, destination: Path) -> None:
    """Put a file or a folder in the place of what is there; a folder moves aside first and comes back on failure."""
    if not destination.is_dir():
        os.replace(new, destination)
        return
    aside = new.with_name(f'{new.name}.old')
    os.rename(destination, aside)
    try:
        os.rename(new, destination)
    except BaseException:
        os.rename(aside, destination)
        raise
