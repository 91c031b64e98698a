"""Weights from wherever they lie, told apart by content: a folder, a state file, fgdet's checkpoint, a hub id."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from huggingface_hub import snapshot_download
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fgdet.checkpoints.clip_state import complete_clip_state
from fgdet.checkpoints.hf_fg_clip import config_from_hf, state_from_hf
from fgdet.checkpoints.openai_clip import config_from_state, is_openai_state, state_from_openai
from fgdet.checkpoints.stored_config import read_stored_config
from fgdet.utils.checks import UserError

WEIGHTS_FILE, CONFIG_FILE = 'model.safetensors', 'config.json'


def _history_statistic(owner: type, name: str) -> Any:
    """What the pickled ``getattr`` of a log history may fetch: the history's own statistics, nothing else.

    Raises:
        UserError: the file asks for any other attribute.
    """
    if owner is not HistoryBuffer or name not in {'min', 'max', 'mean', 'current'}:
        raise UserError(f'it asks for the attribute {name!r} of {owner!r}')
    return getattr(owner, name)


_numpy_core: Any = getattr(np, '_core', None) or np.core  # numpy 2 and 1
# What mmengine writes beside the weights: log histories in numpy arrays. Nothing here can run code.
_SAFE_TYPES: list[Any] = [
    HistoryBuffer,
    (_history_statistic, 'builtins.getattr'),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.uint8, np.uint32, np.bool_)),
    _numpy_core.multiarray._reconstruct,
    _numpy_core.multiarray.scalar,
]


class LoadedCheckpoint(NamedTuple):
    """Arguments of :class:`fgdet.FGCLIP`, its complete state in our names, and the folder of tokenizer files if any."""

    config: dict[str, Any]
    state: dict[str, Tensor]
    tokenizer_folder: Path | None


def load_checkpoint(path: str | Path) -> LoadedCheckpoint:
    """Read FG-CLIP or CLIP weights.

    Args:
        path: a folder in the Hugging Face layout, a state dict file of OpenAI or open_clip, a checkpoint of fgdet's own
            pretraining, or a Hugging Face hub id such as ``qihoo360/fg-clip-base``.

    Raises:
        UserError: nothing is there, the hub cannot be reached, or the content is none of these.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    if path.is_file():
        return _load_file(path)
    if len(path.parts) == 2 and not path.is_absolute() and path.suffix not in {'.pth', '.pt', '.safetensors'}:
        return _load_folder(_download(path.as_posix()))
    raise UserError(f'checkpoint {path}: no such file or folder')


def _load_folder(folder: Path) -> LoadedCheckpoint:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise UserError(f'checkpoint folder {folder}: {name} is missing; it must be in the Hugging Face layout')
    try:
        config = config_from_hf(json.loads((folder / CONFIG_FILE).read_text(encoding='utf-8')))
        state = complete_clip_state(state_from_hf(load_file(folder / WEIGHTS_FILE)))
    except (ValueError, SafetensorError) as error:
        raise UserError(f'checkpoint folder {folder}: {error}') from error
    if 'text.position_embedding_ori' in state:  # its length has no field in the official config
        config['text']['long_context_length'] = len(state['text.position_embedding_ori'])
    has_tokenizer = (folder / 'vocab.json').is_file() and (folder / 'merges.txt').is_file()
    return LoadedCheckpoint(config, state, folder if has_tokenizer else None)


def _load_file(path: Path) -> LoadedCheckpoint:
    content = read_state_file(path)
    if 'meta' in content and 'state_dict' in content:
        return _from_own(path, content)
    state = content.get('state_dict', content)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f'checkpoint {path}: it holds no weights by name')
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    if not is_openai_state(state):
        raise UserError(
            f'checkpoint {path}: it is neither a state dict of OpenAI or open_clip nor a checkpoint of fgdet; '
            'give a Hugging Face layout as its folder'
        )
    try:
        ours = complete_clip_state(state_from_openai(state))
    except ValueError as error:
        raise UserError(f'checkpoint {path}: {error}') from error
    return LoadedCheckpoint(config_from_state(ours), ours, None)


def _from_own(path: Path, content: Mapping[str, Any]) -> LoadedCheckpoint:
    """A checkpoint that mmengine wrote while an FG-CLIP was pretrained: the model stands under ``clip.``."""
    state = {name[len('clip.') :]: v for name, v in content['state_dict'].items() if name.startswith('clip.')}
    if not state or 'cfg' not in content['meta']:
        raise UserError(f'checkpoint {path}: it was not written by fgdet pretraining (no clip.* weights or no config)')
    try:
        clip = read_stored_config(content['meta']['cfg'])['model']['clip']
        return LoadedCheckpoint({key: clip[key] for key in ('vision', 'text')}, state, None)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'checkpoint {path}: its config describes no FG-CLIP ({error})') from error


def read_state_file(path: str | Path) -> dict[str, Any]:
    """Load a ``.pth``, ``.pt`` or ``.safetensors`` file without ever running code from it.

    Raises:
        UserError: it is damaged or holds more than tensors, plain values and mmengine's log buffers.
    """
    try:
        if Path(path).suffix == '.safetensors':
            return load_file(path)
        with torch.serialization.safe_globals(_SAFE_TYPES):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        refused = re.search(r'GLOBAL (\S+)', str(error))
        reason = f'it holds a {refused[1]}, which could run code' if refused else 'damaged, or no checkpoint'
        if 'TorchScript' in str(error):  # as OpenAI publishes CLIP
            reason = 'it is a TorchScript archive, which is code; save the state_dict of the model, or take the hub id'
        raise UserError(f'checkpoint {path}: it cannot be read as weights ({reason})') from error
    if not isinstance(content, dict):
        raise UserError(f'checkpoint {path}: it holds a {type(content).__name__}, not weights by name')
    return content


def _download(repository: str) -> Path:
    """Fetch a hub repository's weights, config and tokenizer files into huggingface_hub's cache; never its code."""
    patterns = [CONFIG_FILE, WEIGHTS_FILE, 'vocab.json', 'merges.txt', 'tokenizer_config.json']
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except Exception as error:  # huggingface_hub raises its own, the HTTP library's and the system's errors
        raise UserError(
            f'checkpoint {repository}: it is no file or folder here, and the Hugging Face hub did not give it '
            f'({type(error).__name__}); check the name and the network, or download the folder and give its path'
        ) from error
