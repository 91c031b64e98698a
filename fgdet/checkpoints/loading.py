"""Weights from wherever they lie, told apart by content: a folder, a state file, fgdet's checkpoint, a hub id."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from fgdet.checkpoints.clip_state import FG_CLIP_ONLY, complete_clip_state
from fgdet.checkpoints.hf_fg_clip import (
    CONFIG_FILE,
    IMAGE_MEAN,
    IMAGE_STD,
    WEIGHTS_FILE,
    config_from_hf,
    state_from_hf,
)
from fgdet.checkpoints.hub import download
from fgdet.checkpoints.lora_state import is_adapter, name_as
from fgdet.checkpoints.open_clip import (
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    config_from_open_clip,
    preprocessing_from_open_clip,
)
from fgdet.checkpoints.openai_clip import (
    config_from_state,
    is_openai_state,
    refuse_other_towers,
    state_from_openai,
    stated_activation,
)
from fgdet.checkpoints.own_checkpoint import is_own, read_own
from fgdet.checkpoints.preprocessor_config import PREPROCESSOR_FILE, preprocessing_from_hf
from fgdet.checkpoints.state_files import read_sharded, read_state_file
from fgdet.checkpoints.torchscript import is_torchscript, read_torchscript, torchscript_activation
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

__all__ = ['LoadedCheckpoint', 'load_checkpoint', 'load_tower_into', 'read_state_file']

_FILE_SUFFIXES = {'.pth', '.pt', '.bin', '.safetensors', '.json', '.ckpt'}
_ASSUMED = (
    "checkpoint {}: a state dict does not say its activation; taken: 'quick_gelu', as OpenAI's weights have. Most of "
    "open_clip's own (LAION, DataComp ...) have 'gelu': say so with activation='gelu' (fgdet convert --activation gelu)"
)


class LoadedCheckpoint(NamedTuple):
    """Weights with all that travels with them."""

    config: dict[str, Any]  # arguments of fgdet.FGCLIP; both towers state their activation
    state: dict[str, Tensor]  # complete, in our names, in the dtypes that were stored
    tokenizer_folder: Path | None  # of vocab.json and merges.txt
    preprocessing: dict[str, Any]  # fields of fgdet.structures.preprocessing.Preprocessing that were stated
    layout: str  # 'fg-clip', 'clip', 'openai', 'open-clip' or 'fgdet'


def load_checkpoint(path: str | Path, activation: str | None = None) -> LoadedCheckpoint:
    """Read FG-CLIP or CLIP weights.

    Args:
        path: a folder in the Hugging Face layout or in open_clip's, a state dict file of OpenAI or open_clip, OpenAI's
            published TorchScript archive, a checkpoint of fgdet's own pretraining, or a Hugging Face hub id such as
            ``qihoo360/fg-clip-base``.
        activation: the activation that the weights were trained with, ``quick_gelu`` or ``gelu``, for a state dict that
            does not say. Without it such a one is taken for OpenAI's (``quick_gelu``), and a warning is logged.

    Raises:
        UserError: nothing is there, the hub cannot be reached, the content is none of these, or the weights say another
            activation than the one that was given.
    """
    path = Path(path)
    if path.is_dir():
        loaded = _load_folder(path)
    elif path.is_file():
        loaded = _load_file(path)
    elif len(path.parts) == 2 and not path.is_absolute() and path.suffix not in _FILE_SUFFIXES:
        loaded = _load_folder(download(path.as_posix()))
    else:
        raise UserError(f'checkpoint {path}: no such file or folder')
    for tower in ('vision', 'text'):
        stated = loaded.config[tower].get('activation', activation)
        if activation is not None and stated != activation:
            raise UserError(
                f'checkpoint {path}: its {tower} tower was trained with activation {stated!r}, got {activation!r}; '
                f'give {stated!r}'
            )
        if stated is None:
            if tower == 'vision':
                print_log(_ASSUMED.format(path), 'current', logging.WARNING)
            stated = 'quick_gelu'
        loaded.config[tower]['activation'] = stated
    return loaded


def load_tower_into(module: nn.Module, path: str | Path, tower: str) -> dict[str, tuple[float, ...]]:
    """Load the weights of one tower into a module, in place.

    Args:
        module: a tower, with or without low-rank adapters; those stay as they are.
        path: as for :func:`load_checkpoint`.
        tower: ``visual`` or ``text``.

    Returns:
        ``mean`` and ``std`` of RGB in 0..1 that the weights were trained with: CLIP's where the checkpoint says none.

    Raises:
        UserError: as for :func:`load_checkpoint`; also where the weights have another activation, or are of another
            architecture: it is told in one line which sizes differ.
    """
    loaded = load_checkpoint(path)
    theirs = loaded.config['vision' if tower == 'visual' else 'text']
    if theirs['activation'] != module.activation:
        raise UserError(
            f'checkpoint {path}: its {tower} tower was trained with activation {theirs["activation"]!r}, and the model '
            f"that it is loaded into has {module.activation!r}; set the tower's activation={theirs['activation']!r}"
        )
    own = module.state_dict()
    state = {name[len(tower) + 1 :]: value for name, value in loaded.state.items() if name.startswith(f'{tower}.')}
    state = name_as(state, own)
    wrong = [name for name, value in own.items() if not is_adapter(name) and _shape(state.get(name)) != value.shape]
    wrong += sorted(state.keys() - own.keys())
    if wrong:
        sizes = {name: (value, getattr(module, name, value)) for name, value in theirs.items()}
        differ = {name: pair for name, pair in sizes.items() if pair[0] != pair[1]}
        if not differ:
            raise UserError(f"checkpoint {path}: its {tower} tower lacks {wrong[0]} of the config's, or has it besides")
        given, wanted = (', '.join(f'{name}={pair[i]}' for name, pair in differ.items()) for i in (0, 1))
        raise UserError(
            f"checkpoint {path}: its {tower} tower has {given}, and the config's has {wanted}; give the config these "
            'sizes, or other weights'
        )
    module.load_state_dict(state, strict=False)  # all but adapters
    return dict(mean=loaded.preprocessing.get('mean', IMAGE_MEAN), std=loaded.preprocessing.get('std', IMAGE_STD))


def _shape(value: Tensor | None) -> tuple[int, ...] | None:
    return None if value is None else value.shape


def _load_folder(folder: Path) -> LoadedCheckpoint:
    try:
        if not (folder / CONFIG_FILE).is_file() and (folder / OPEN_CLIP_CONFIG).is_file():
            return _load_open_clip_folder(folder)
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(
                f'checkpoint folder {folder}: {CONFIG_FILE} is missing; it must be in the Hugging Face layout'
            )
        config = config_from_hf(read_json(folder / CONFIG_FILE, 'checkpoint config'))
        raw = state_from_hf(read_sharded(folder, (WEIGHTS_FILE, 'pytorch_model.bin')))
        state = complete_clip_state(raw)
        images = folder / PREPROCESSOR_FILE
        preprocessing = preprocessing_from_hf(read_json(images, 'checkpoint preprocessor')) if images.is_file() else {}
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:
        raise UserError(f'checkpoint folder {folder}: {error}') from error
    if 'text.position_embedding_ori' in state:  # its length has no field in the official config
        config['text']['long_context_length'] = len(state['text.position_embedding_ori'])
    layout = 'fg-clip' if raw.keys() & FG_CLIP_ONLY.keys() else 'clip'
    return LoadedCheckpoint(config, state, _tokenizer_folder(folder), preprocessing, layout)


def _load_open_clip_folder(folder: Path) -> LoadedCheckpoint:
    content = read_json(folder / OPEN_CLIP_CONFIG, 'checkpoint config')
    config = config_from_open_clip(content)
    state = read_sharded(folder, (OPEN_CLIP_WEIGHTS, 'open_clip_pytorch_model.bin'))
    complete = complete_clip_state(state_from_openai(state))
    return LoadedCheckpoint(
        config, complete, _tokenizer_folder(folder), preprocessing_from_open_clip(content), 'open-clip'
    )


def _tokenizer_folder(folder: Path) -> Path | None:
    return folder if all((folder / name).is_file() for name in ('vocab.json', 'merges.txt')) else None


def _load_file(path: Path) -> LoadedCheckpoint:
    try:
        if is_torchscript(path):
            state = read_torchscript(path)
            return _from_openai(state, torchscript_activation(path))
        content = read_state_file(path)
        if is_own(content):
            own = read_own(content)
            return LoadedCheckpoint(own.config, own.state, None, own.preprocessing, 'fgdet')
        state = _weights(content)
        return _from_openai(state, stated_activation(state))
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:
        raise UserError(f'checkpoint {path}: {error}') from error


def _weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state file, bare or as a training loop wraps them."""
    state = content.get('state_dict', content)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError('it holds no weights by name')
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f'it holds no weights by name: {odd[0]} is a {type(state[odd[0]]).__name__}')
    return state


def _from_openai(state: dict[str, Tensor], activation: str | None) -> LoadedCheckpoint:
    refuse_other_towers(state)
    if not is_openai_state(state):
        raise ValueError(
            'it is neither a state dict of OpenAI or open_clip nor a checkpoint of fgdet; '
            'give a Hugging Face layout as its folder'
        )
    ours = complete_clip_state(state_from_openai(state))
    config = config_from_state(ours)
    if activation is not None:
        config['vision']['activation'] = config['text']['activation'] = activation
    return LoadedCheckpoint(config, ours, None, {}, 'openai' if activation == 'quick_gelu' else 'open-clip')
