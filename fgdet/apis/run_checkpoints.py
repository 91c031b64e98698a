"""Checkpoints of a run: written in one step, found again after a crash, and read without running code from them."""

import hashlib
import os
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import CheckpointLoader

from fgdet.checkpoints.loading import read_state_file
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import write_bytes


class WholeFileBackend(LocalBackend):
    """mmengine's local files, each written in one step: a run that is killed leaves no half checkpoint."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        write_bytes(filepath, obj.encode(encoding))


def use_safe_files() -> None:
    """Let mmengine write files in one step and load checkpoints as weights only, from files and over HTTP.

    Its own loaders fall back to running whatever code a checkpoint holds.
    """
    register_backend('local', WholeFileBackend, force=True, prefixes='')
    CheckpointLoader.register_scheme(prefixes='', loader=_load_local, force=True)
    CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), loader=_load_http, force=True)


def check_source(load_from: str) -> None:
    """Refuse what is neither a file that exists nor a web address.

    Raises:
        UserError: it is not.
    """
    if '://' not in load_from:
        path = Path(load_from).expanduser()
        if not path.is_dir():  # as DeepSpeed writes them
            existing_file(path, 'checkpoint')
    elif not load_from.startswith(('http://', 'https://')):
        raise UserError(
            f'checkpoint {load_from}: give a local file, or an address that begins with http:// or https://'
        )


def last_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint that a run has written last, also where its folder has been moved since; None: it has none.

    mmengine notes an absolute path in ``last_checkpoint``; a file of that name in ``work_dir`` comes first.
    """
    pointer = Path(work_dir) / 'last_checkpoint'
    noted = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    if not noted:
        return None
    here = Path(work_dir) / Path(noted).name
    return here if here.exists() else Path(noted)


def find_complete_checkpoint(work_dir: str | Path) -> tuple[Path | None, list[Path]]:
    """The newest complete checkpoint of a run, and the damaged ones that were passed over.

    The one noted in ``last_checkpoint`` comes first, then those with a lower number, or all where none is noted. So
    what an earlier, longer run has left in the same folder does not count.
    """
    noted = last_checkpoint(work_dir)
    limit = _number(noted) if noted else None
    others = [path for path in Path(work_dir).glob('*.pth') if not path.name.startswith('best_')]
    numbered = [path for path in others if (number := _number(path)) is not None and (limit is None or number < limit)]
    candidates = [*([noted] if noted else []), *sorted(numbered, key=lambda path: _number(path) or 0, reverse=True)]
    damaged: list[Path] = []
    for path in candidates:
        if is_complete(path):
            return path, damaged
        damaged.append(path)
    return None, damaged


def is_complete(checkpoint: Path) -> bool:
    """Whether each file of a checkpoint (one, or a folder of several) is there to its last byte."""
    files = sorted(checkpoint.rglob('*.pt')) if checkpoint.is_dir() else [checkpoint]
    return bool(files) and all(_is_whole_archive(file) for file in files)


def remove_unfinished(work_dir: str | Path) -> None:
    """Remove what a killed run had begun to write."""
    for path in Path(work_dir).glob('.*.pth.*.tmp'):
        path.unlink(missing_ok=True)


def _is_whole_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _number(path: Path) -> int | None:
    found = re.search(r'(\d+)\.pth$', path.name)
    return int(found[1]) if found else None


def _load_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """mmengine's loader of local files, without executing anything from them.

    ``map_location`` is part of mmengine's signature; tensors stay on the CPU and go where they are copied to.
    """
    checkpoint = read_state_file(existing_file(Path(filename).expanduser(), 'checkpoint'))
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)  # mmengine < 0.1 wrote it, and resuming would execute it as Python
    return checkpoint


def _load_http(filename: str, map_location: Any = None) -> dict[str, Any]:
    """mmengine's loader of addresses: fetched once by a machine into torch's cache, then read like a local file."""
    name = f'{hashlib.sha256(filename.encode()).hexdigest()[:16]}-{Path(urlparse(filename).path).name}'
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if not path.is_file() and os.environ.get('LOCAL_RANK', '0') == '0':
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(path), progress=False)
        except OSError as error:  # the network's errors, and the disk's
            raise UserError(f'checkpoint {filename}: it could not be fetched ({error})') from error
    barrier()
    return _load_local(str(path), map_location)
