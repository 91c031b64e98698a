"""What a frozen tower made of an image, kept on disk under the content of the image.

Axes: h x w patches, C channels.
"""

import hashlib
import logging
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fgdet.utils.dist import world_size
from fgdet.utils.files import write_bytes
from fgdet.utils.fingerprint import tensor_bytes

_CHECKSUM = 'crc32'


class FeatureCache:
    """Tensors by key, one file each, for any number of processes on any number of machines that share a folder.

    Files are written in one step, so that a reader sees a whole one or none, and two writers of one key do no harm. A
    damaged file counts as none and is written anew. It never breaks a run: where the folder cannot be written, or is
    full, a warning is logged once and nothing more is written. Once it holds ``max_gib``, nothing is added and nothing
    removed, since a pass over data that are larger than the cache would remove each file just before it is needed.
    Emptying the folder is the user's part, as are files of weights that are out of use.

    Each file takes (taps x D + d) x h x w numbers: ViT-B/16 at 640 x 640 pixels with four taps in float32 22.9 MB, or
    19.7 MB without the dense map.

    Args:
        dir: the folder; it is made.
        max_gib: how large the folder may become, in GiB (2**30 bytes), whatever lies in it; above 0.

    Attributes:
        hits: entries that were found.
        misses: entries that were not.

    Raises:
        ValueError: ``max_gib`` is not above 0.
    """

    def __init__(self, dir: str | Path, max_gib: float = 50.0) -> None:
        if not max_gib > 0:
            raise ValueError(f'feature_cache.max_gib: expected above 0, got {max_gib}')
        self.folder = Path(dir)
        self.max_gib = max_gib
        self.hits = self.misses = 0
        self._room: float | None = None  # bytes that this process may still write; None until it is measured

    def key(self, image: Tensor, settings: Sequence[object]) -> str:
        """The name of an entry.

        Args:
            image: pixels of any shape; type, shape and content count, the device does not.
            settings: all else that the value depends on; their texts count.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(repr((tuple(settings), image.dtype, tuple(image.shape))).encode())
        digest.update(tensor_bytes(image))
        return digest.hexdigest()

    def load(self, key: str, device: torch.device) -> list[Tensor] | None:
        """The tensors of an entry, on a device; None where there is no such entry, or a damaged one."""
        try:
            with safe_open(self._path(key), 'pt') as file:
                tensors = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
                whole = (file.metadata() or {}).get(_CHECKSUM) == _checksum(tensors)
        except (OSError, SafetensorError):  # also FileNotFoundError
            whole = False
        self.hits += whole
        self.misses += not whole
        return [each.to(device) for each in tensors] if whole else None

    def store(self, key: str, tensors: Sequence[Tensor]) -> None:
        """Write an entry, unless the cache is full or cannot be written."""
        if self._room is None:
            self._room = (self.max_gib * 2**30 - _stored_bytes(self.folder)) / world_size()
            if self._room <= 0:
                self._give_up(f'it holds max_gib={self.max_gib}')
        if not self._room:
            return
        on_cpu = [each.detach().cpu().contiguous() for each in tensors]
        data = save({str(i): each for i, each in enumerate(on_cpu)}, {_CHECKSUM: _checksum(on_cpu)})
        if len(data) > self._room:
            self._give_up(f'it holds max_gib={self.max_gib}')
            return
        try:
            write_bytes(self._path(key), data)
        except OSError as error:
            self._give_up(f'it cannot be written ({error.strerror or error})')
            return
        self._room -= len(data)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f'{key}.safetensors'

    def _give_up(self, reason: str) -> None:
        self._room = 0.0
        print_log(
            f'feature cache {self.folder}: {reason}; what is in it is used, and nothing is added',
            'current',
            logging.WARNING,
        )


def computing_state(device: torch.device) -> tuple[object, ...]:
    """What decides the last bits of a result beside weights and pixels: library, kind of device, precision."""
    autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    return (torch.__version__, device.type, autocast, torch.get_float32_matmul_precision())


def _stored_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob('*'):
        with suppress(OSError):  # another process may just have put it in place, or removed it
            total += path.stat().st_size * path.is_file()
    return total


def _checksum(tensors: Sequence[Tensor]) -> str:
    total = 0
    for each in tensors:
        total = zlib.crc32(f'{each.dtype} {tuple(each.shape)}'.encode(), total)
        total = zlib.crc32(tensor_bytes(each), total)
    return str(total)
