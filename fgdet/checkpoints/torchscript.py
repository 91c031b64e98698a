"""The tensors of a TorchScript archive, as OpenAI publishes CLIP, read without running anything in it.

``torch.jit.load`` compiles the archive's code and may call it. The weights do not need it: the archive is a zip whose
``data.pkl`` is a tree of modules, each a dict of its attributes, and whose ``data/`` holds the raw numbers. The classes
of the tree are replaced by an empty one here, and nothing but tensors can be built.
"""

import math
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The typed lists that TorchScript pickles as calls of these functions.
_LISTS = {'build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist'}
_STORAGES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is a zip with the parts of a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(name.endswith('/constants.pkl') for name in names) and any('/code/' in name for name in names)


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Every tensor by its dotted name.

    Raises:
        ValueError: the archive is damaged or holds more than modules, tensors and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith('/data.pkl'))
            with archive.open(root) as file:
                tree = _TensorUnpickler(file, archive, root.removesuffix('.pkl')).load()
        return dict(_named_tensors(tree, ''))
    except Exception as error:  # a crafted pickle can make any kind
        raise ValueError(
            f'it is a TorchScript archive that cannot be read ({error or type(error).__name__})'
        ) from error


def torchscript_activation(path: str | Path) -> str | None:
    """The activation that the archive's code calls, ``quick_gelu`` or ``gelu``; None where it calls both or neither."""
    with zipfile.ZipFile(path) as archive:
        sources = [archive.read(name) for name in archive.namelist() if '/code/' in name and name.endswith('.py')]
    code = b'\n'.join(sources)
    found = [name for name, call in (('quick_gelu', rb'\bsigmoid\('), ('gelu', rb'\bgelu\(')) if re.search(call, code)]
    return found[0] if len(found) == 1 else None


class _Module:
    """Stands for any class of the archive: a bag of attributes."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _TensorUnpickler(pickle.Unpickler):
    """Builds modules as bags, tensors and lists; refuses every other name.

    Args:
        file: the pickle.
        archive: the zip that it lies in.
        folder: folder of the raw numbers in it.
    """

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive = archive
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith('__torch__'):
            return _Module
        if module == 'torch.jit._pickle' and name in _LISTS:
            return list
        if module == 'torch' and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _rebuild_tensor
        if (module, name) == ('collections', 'OrderedDict'):
            return dict
        raise ValueError(f'it asks for {module}.{name}')

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of one storage, ``('storage', dtype, key, device, count)``, flat."""
        _, dtype, key, _, count = pid
        info = self.archive.getinfo(f'{self.folder}/{key}')
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses: a small file cannot become a huge one
            raise ValueError(f'{info.filename} is compressed')
        data = bytearray(self.archive.read(info))
        return torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> Tensor:
    """A tensor of its own memory; torch refuses one that reaches beyond its storage. ``rest`` are gradient settings."""
    if math.prod(size) > len(storage):
        raise ValueError(f'a tensor of {size} stands on {len(storage)} numbers')
    return storage.as_strided(size, stride, offset).clone()


def _named_tensors(module: Any, prefix: str) -> Any:
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield f'{prefix}{name}', value
        elif isinstance(value, _Module):
            yield from _named_tensors(value, f'{prefix}{name}.')
