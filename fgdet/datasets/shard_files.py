"""Where shards lie: names with ranges and patterns written out, and streams of local and remote files."""

import glob
import re
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgdet.datasets.tar_samples import DamagedTar, TarSample, read_samples
from fgdet.utils.checks import UserError, existing_file

#: Number of the entry that says that the rest of a shard cannot be read: behind that of any sample.
DAMAGE = 1 << 40
#: Seconds before each new try of a remote shard.
PAUSES = (1.0, 5.0)
_TIMEOUT = 60.0  # seconds without an answer
_BRACES = re.compile(r'\{([^{}]*)\}')
_RANGE = re.compile(r'(\d+)\.\.(\d+)')


def expand_shards(names: str | Sequence[str]) -> list[str]:
    """Every shard that names stand for, in order: ``train-{000000..000099}.tar``, ``{a,b}.tar``, ``dir/*.tar``, URLs.

    Raises:
        UserError: a local file is missing, a pattern fits nothing, or a URL needs a package that is not installed.
    """
    found: list[str] = []
    for name in [names] if isinstance(names, str) else names:
        for one in _expand_braces(name):
            found += [one] if '://' in one else _local_files(one)
    for scheme in {shard.partition('://')[0] for shard in found if '://' in shard} - {'http', 'https'}:
        if find_spec('fsspec') is None:
            raise UserError(f'shards {scheme}://...: reading them needs fsspec; install it by pip install fsspec')
    if not found:
        raise UserError(f'shards {names!r}: they name no file')
    return found


def _expand_braces(name: str) -> list[str]:
    match = _BRACES.search(name)
    if match is None:
        return [name]
    span = _RANGE.fullmatch(match[1])
    if span is None:
        choices = match[1].split(',')
    else:
        width = len(span[1]) if span[1].startswith('0') else 0
        choices = [str(i).zfill(width) for i in range(int(span[1]), int(span[2]) + 1)]
    return [one for c in choices for one in _expand_braces(name[: match.start()] + c + name[match.end() :])]


def _local_files(name: str) -> list[str]:
    if Path(name).is_file() or not glob.has_magic(name):
        return [str(existing_file(name, 'shard'))]
    found = sorted(path for path in glob.glob(name) if Path(path).is_file())
    if not found:
        raise UserError(f'shards {name}: no file fits this pattern')
    return found


def shard_samples(shard: str, first: int, part: int, num_parts: int) -> Iterator[tuple[int, TarSample]]:
    """Samples of one shard as :func:`read_samples` gives them, and last, as number ``DAMAGE``, what ended it too early.

    A remote shard is tried again from where it broke off.
    """
    if first > DAMAGE:
        return
    for pause in (*(PAUSES if '://' in shard else ()), None):
        try:
            with _open(shard) as file:
                for number, sample in read_samples(file, first, part, num_parts):
                    first = number + 1
                    yield number, sample
            return
        except Exception as error:  # each remote file system has errors of its own
            if pause is None:
                reason = str(error) if isinstance(error, DamagedTar) else f'cannot be read ({error})'
                yield DAMAGE, TarSample('', {}, reason)
            else:
                time.sleep(pause)


def _open(shard: str) -> Any:
    if shard.startswith(('http://', 'https://')):
        return urllib.request.urlopen(shard, timeout=_TIMEOUT)
    if '://' in shard:
        import fsspec

        return fsspec.open(shard, 'rb')
    return open(shard, 'rb')
