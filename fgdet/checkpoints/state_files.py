"""Files of tensors by name, read without ever running code from them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from safetensors.torch import load_file
from torch import Tensor

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

_LFS_POINTER = b'version https://git-lfs'


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


def read_state_file(path: str | Path) -> dict[str, Any]:
    """Load a safetensors file or what ``torch.save`` wrote; told apart by content, whatever the name.

    Raises:
        UserError: it is damaged or holds more than tensors, plain values and mmengine's log buffers.
    """
    start = b''
    try:
        with open(path, 'rb') as file:
            start = file.read(64)
        if start[8:9] == b'{':  # the length of the header in 8 bytes, then the header
            return load_file(path)
        with torch.serialization.safe_globals(_SAFE_TYPES):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(f'checkpoint {path}: it cannot be read as weights ({_reason(error, start)})') from error
    if not isinstance(content, dict):
        raise UserError(f'checkpoint {path}: it holds a {type(content).__name__}, not weights by name')
    return content


def _reason(error: Exception, start: bytes) -> str:
    if start.startswith(_LFS_POINTER):
        return 'it is a pointer of git-lfs, not the file itself; fetch it: git lfs pull'
    refused = re.search(r'GLOBAL (\S+)', str(error))
    if refused:
        return f'it holds a {refused[1]}, which could run code'
    if isinstance(error, PermissionError):
        return 'no permission to read it'
    return 'damaged, or no checkpoint'


def read_sharded(folder: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """The weights of a folder, in one file or in several under an index.

    Args:
        folder: where they lie.
        names: file names to look for, the best first; each may stand as ``<name>.index.json`` instead, a JSON object
            whose ``weight_map`` says which file of the folder holds which tensor.

    Raises:
        UserError: none of the files is there, a part is missing or damaged, or the parts hold other tensors than the
            index says; they are listed.
    """
    for name in names:
        if (folder / name).is_file():
            return read_state_file(folder / name)
        if (folder / f'{name}.index.json').is_file():
            return _read_parts(folder, f'{name}.index.json')
    raise UserError(f'checkpoint folder {folder}: {names[0]} is missing; it must be in the Hugging Face layout')


def read_index(path: Path) -> dict[str, str]:
    """Which file holds which tensor.

    Raises:
        UserError: it is no such index, or names a file outside of its folder.
    """
    content = read_json(path, 'checkpoint index')
    weight_map = content.get('weight_map') if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(part, str) for part in weight_map.values()):
        raise UserError(f'checkpoint index {path}: it has no weight_map of file names')
    outside = [part for part in weight_map.values() if Path(part).name != part]
    if outside:
        raise UserError(f'checkpoint index {path}: {outside[0]} is no name of a file beside it')
    return weight_map


def _read_parts(folder: Path, index_name: str) -> dict[str, Tensor]:
    weight_map = read_index(folder / index_name)
    parts = sorted(set(weight_map.values()))
    missing = [part for part in parts if not (folder / part).is_file()]
    if missing:
        raise UserError(
            f'checkpoint folder {folder}: {len(missing)} of {len(parts)} parts missing: {", ".join(missing)}'
        )
    state: dict[str, Tensor] = {}
    for part in parts:
        state |= read_state_file(folder / part)
    odd = sorted(state.keys() ^ weight_map.keys())
    if odd:
        raise UserError(f'checkpoint folder {folder}: {index_name} and the parts disagree on {", ".join(odd)}')
    return state
