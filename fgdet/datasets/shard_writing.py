"""Writing tar shards in the WebDataset convention: the same members give the same bytes, and none is half there."""

import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json

#: Endings of images in a shard, by the name that Pillow has for the format.
SHARD_ENDINGS = {'JPEG': 'jpg', 'MPO': 'jpg', 'PNG': 'png', 'WEBP': 'webp'}


class Shard:
    """A shard that is being written; see :func:`whole_shard`."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.samples = 0
        #: Size of the finished file; 0 where nothing was added.
        self.file_bytes = 0

    def add(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add a sample.

        Args:
            key: what its members' names have before the ending.
            members: bytes by ending, such as ``jpg`` and ``json``; none adds nothing.
        """
        for ending, data in members.items():
            info = tarfile.TarInfo(f'{key}.{ending}')  # of no time and no owner: the same bytes again
            info.size = len(data)
            self._tar.addfile(info, BytesIO(data))
        self.samples += bool(members)


@contextmanager
def whole_shard(path: Path) -> Iterator[Shard]:
    """Write a shard that appears under its name when the block ends well, if anything was added.

    Args:
        path: of the shard; missing folders are made.

    Raises:
        OSError: it cannot be written; the error names the shard.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        with open(temporary, 'wb') as file, tarfile.open(fileobj=file, mode='w', format=tarfile.USTAR_FORMAT) as tar:
            shard = Shard(tar)
            yield shard
        if shard.samples:
            shard.file_bytes = temporary.stat().st_size
            os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def finished_shards(manifest_file: Path, made_of: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the entries of the whole shards that an earlier run left, and those from the first damaged one on.

    Args:
        manifest_file: what that run wrote beside them: ``made_of``, and ``shards`` with ``name`` (None or empty where
            nothing was written) and ``file_bytes``; there may be none.
        made_of: what decides over the shards now.

    Raises:
        UserError: they were made of something else.
    """
    if not manifest_file.exists():
        return [], []
    folder, found = manifest_file.parent, read_json(manifest_file, 'manifest')
    before = found.get('made_of') if isinstance(found, dict) else None
    if before != made_of:
        differs = [key for key, value in made_of.items() if (before or {}).get(key, ...) != value]
        raise UserError(
            f'out {folder}: it holds shards of other {", ".join(differs)}; give another folder, or empty it'
        )
    for number, shard in enumerate(found['shards']):
        path = folder / shard['name'] if shard['name'] else None
        if path is not None and not (path.is_file() and path.stat().st_size == shard['file_bytes']):
            return found['shards'][:number], found['shards'][number:]
    return found['shards'], []
