"""Image links into WebDataset shards: what arrived, a list of what did not, and on from where it stopped."""

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
import resource
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fgdet.data_engine.download_guard import DeadLink, Policy, allow_private, is_public, without_credentials
from fgdet.data_engine.download_spool import DownloadSpool, Outcome
from fgdet.data_engine.image_download import DownloadSettings, ImageDownloader
from fgdet.data_engine.link_lists import Link, LinkColumns, count_links, link_files, read_links
from fgdet.datasets.shard_writing import SHARD_ENDINGS, finished_shards, whole_shard
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json

__all__ = ['DownloadSettings', 'FetchPlan', 'LinkColumns', 'allow_private', 'fetch', 'is_public']

#: The names of the file that says what the shards hold, and of the list of links that gave no image.
MANIFEST, DEAD_LINKS = 'fetch.json', 'dead_links.jsonl'
#: What a sample's key is the SHA-256 of.
KEYS = ('url', 'content')
_OPEN_SHARDS = 2  # while the slow links of one shard are waited for, the next has begun
_AHEAD = 8  # links in progress, most of them waiting for their host's turn, for each request


class FetchPlan(NamedTuple):
    """What is fetched and how shards are made of it.

    Args:
        columns: of the lists.
        prefix: shards are called ``<prefix>-000000.tar`` and so on.
        shard_links: links of a shard; it holds an image of each that arrived.
        key: one of :data:`KEYS`; by content, an image that comes twice in a shard is kept once.
        limit: the first so many links alone; None takes all.
    """

    columns: LinkColumns = LinkColumns()
    prefix: str = 'images'
    shard_links: int = 10_000
    key: str = 'url'
    limit: int | None = None


def fetch(
    links: str | Path,
    out: str | Path,
    plan: FetchPlan | None = None,
    settings: DownloadSettings | None = None,
    is_allowed: Policy = is_public,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Fetch the images of a list of links into shards; a call after an interrupted one goes on.

    Samples lie in the order of the links, whatever the order of arrival: the same answers give the same bytes. A record
    holds ``f_path``, the captions and kept columns, ``url`` (without credentials), ``width``, ``height`` and
    ``sha256`` of the image. ``dead_links.jsonl`` is itself a list of links, for a later try. A link that is twice in a
    shard's part of the list is fetched once.

    Args:
        links: a list (see :mod:`fgdet.data_engine.link_lists`) or a folder of lists.
        out: folder of the shards; it is made.
        plan: None takes the defaults.
        settings: None takes the defaults.
        is_allowed: which addresses may be connected to.
        on_progress: called with the share that is done and a line of text.

    Returns:
        what ``fetch.json`` holds: ``links``, ``samples``, ``bytes``, ``dead`` (counts by reason), ``shards`` and what
        they were made of.

    Raises:
        UserError: the lists cannot be read, no link gave an image, or ``out`` holds something else or is in use.
        OSError: a shard cannot be written; what is whole stays.
    """
    plan, settings, out = plan or FetchPlan(), settings or DownloadSettings(), Path(out)
    if not plan.prefix or Path(plan.prefix).name != plan.prefix:
        raise UserError(f'prefix {plan.prefix!r}: expected the beginning of a file name')
    if plan.key not in KEYS:
        raise UserError(f'key {plan.key!r}: expected {" or ".join(KEYS)}')
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 2 * settings.concurrency + 100 > allowed != resource.RLIM_INFINITY:
        raise UserError(f'concurrency {settings.concurrency}: {allowed} files may be open; allow more by ulimit -n')
    files = link_files(links)
    with _only_one(out), warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # our own bound is the one that counts
        run = _Run(files, out, plan, settings, on_progress)
        asyncio.run(run.fetch(is_allowed))
    if not run.manifest['samples']:
        reasons = (
            ', '.join(f'{count} {reason}' for reason, count in run.manifest['dead'].items()) or 'the list is empty'
        )
        raise UserError(f'links {links}: none of the {run.total} gave an image ({reasons})')
    return run.manifest


class _Run:
    """One run over a list, in parts of a shard's links each."""

    def __init__(
        self,
        files: list[Path],
        out: Path,
        plan: FetchPlan,
        settings: DownloadSettings,
        on_progress: Callable[[float, str], None] | None,
    ) -> None:
        self.files, self.out, self.plan, self.settings = files, out, plan, settings
        self._on_progress = on_progress
        self.total = min(count_links(files), plan.limit if plan.limit is not None else 1 << 62)
        self.shards, damaged = finished_shards(out / MANIFEST, self._made_of())
        for shard in damaged:  # made anew, and there may be fewer of them
            if shard['name']:
                (out / shard['name']).unlink(missing_ok=True)
        self._done = self.shards[-1]['end'] if self.shards else 0
        self.manifest: dict[str, Any] = {}
        self._save()
        if (out / DEAD_LINKS).exists():  # lines of a shard that was not finished
            _cut(out / DEAD_LINKS, self.shards)

    async def fetch(self, is_allowed: Policy) -> None:
        """Fetch what is missing."""
        links = read_links(self.files, self.plan.columns)
        links = itertools.islice(links, self._done, self.total)
        first = self._done
        tasks: deque[asyncio.Task[None]] = deque()
        # A look-up of a name takes a thread.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max(32, self.settings.concurrency)))
        self._ahead = asyncio.Semaphore(self.settings.concurrency * _AHEAD)
        async with ImageDownloader(self.settings, is_allowed) as self._downloader:
            try:
                previous = None
                while part := list(itertools.islice(links, self.plan.shard_links)):
                    previous = asyncio.create_task(self._fetch_shard(first, part, previous))
                    tasks.append(previous)
                    first += len(part)
                    if len(tasks) == _OPEN_SHARDS:
                        await tasks.popleft()
                while tasks:
                    await tasks.popleft()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch_shard(self, first: int, links: list[Link], previous: asyncio.Task[None] | None) -> None:
        """Fetch the links of a shard, those of which nothing is known yet; then, in its turn, write it."""
        spool = DownloadSpool(self.out / f'.{self.plan.prefix}-{first:012d}.spool')
        self._report(len(spool))
        tasks = []
        try:
            seen: set[str] = set()
            for index, link in enumerate(links):
                if index not in spool and (link.url not in seen or not link.url):
                    await self._ahead.acquire()
                    tasks.append(asyncio.create_task(self._fetch_link(spool, index, link.url)))
                elif index not in spool:
                    self._keep(spool, index, _dead('duplicate', 'the same link stands before it'))
                seen.add(link.url)
            await asyncio.gather(*tasks)
            if previous is not None:
                await previous
            shard = await asyncio.to_thread(self._write_shard, first, links, spool)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            spool.close()
        self.shards.append(shard)
        self._save()
        spool.remove()

    async def _fetch_link(self, spool: DownloadSpool, index: int, url: str) -> None:
        try:
            found = await self._downloader.get(url)
            facts = dict(format=found.format, width=found.width, height=found.height)
            outcome = Outcome(facts, found.data)
        except DeadLink as dead:
            outcome = _dead(dead.reason, dead.detail)
        except Exception as error:  # what no server has sent yet must not stop a run of millions, now and at each start
            outcome = _dead('unexpected', type(error).__name__)
        finally:
            self._ahead.release()
        self._keep(spool, index, outcome)

    def _keep(self, spool: DownloadSpool, index: int, outcome: Outcome) -> None:
        spool.add(index, outcome)
        self._report(1)

    def _report(self, more: int) -> None:
        self._done += more
        if self._on_progress and more:
            self._on_progress(self._done / max(1, self.total), f'{self._done} of {self.total} links')

    def _write_shard(self, first: int, links: list[Link], spool: DownloadSpool) -> dict[str, Any]:
        """Write the shard and the list of its dead links; what the manifest says of them."""
        number = sum(shard['samples'] > 0 for shard in self.shards)
        path = self.out / f'{self.plan.prefix}-{number:06d}.tar'
        size, keys, dead, lines = 0, set(), Counter[str](), []
        with whole_shard(path) as tar:
            for index, link in enumerate(links):
                facts, data = spool.get(index)
                key = hashlib.sha256(
                    link.url.encode('utf-8', 'replace') if self.plan.key == 'url' else data
                ).hexdigest()
                if 'reason' not in facts and key in keys:
                    facts = _dead('duplicate', 'the same image stands before it').facts
                if 'reason' in facts:
                    dead[facts['reason']] += 1
                    lines.append(
                        json.dumps(dict(url=without_credentials(link.url), **facts, **link.record), default=str) + '\n'
                    )
                    continue
                members = _members(key, link, facts, data)
                tar.add(key, members)
                keys.add(key)
                size += sum(map(len, members.values()))
        with open(self.out / DEAD_LINKS, 'ab') as file:
            dead_end = file.tell() + file.write(''.join(lines).encode())
        shard = dict(
            name=path.name if keys else None, first=first, end=first + len(links), samples=len(keys), bytes=size
        )
        return shard | dict(file_bytes=tar.file_bytes, dead=dict(sorted(dead.items())), dead_end=dead_end)

    def _made_of(self) -> dict[str, Any]:
        """What decides over the shards, as JSON has it."""
        files = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in self.files]
        bounds = {name: getattr(self.settings, name) for name in ('most_bytes', 'most_pixels', 'decode')}
        columns = dict(self.plan.columns._asdict(), keep=list(self.plan.columns.keep))
        return dict(self.plan._asdict(), columns=columns, files=files, **bounds)

    def _save(self) -> None:
        """Write the manifest."""
        dead: Counter[str] = Counter()
        for shard in self.shards:
            dead.update(shard['dead'])
        totals = {key: sum(shard[key] for shard in self.shards) for key in ('samples', 'bytes')}
        links = self.shards[-1]['end'] if self.shards else 0
        self.manifest = dict(made_of=self._made_of(), links=links, **totals, dead=dict(dead.most_common()))
        self.manifest['shards'] = self.shards
        write_json(self.out / MANIFEST, self.manifest)


def _cut(dead_links: Path, shards: list[dict[str, Any]]) -> None:
    """Take the lines behind those of whole shards off the list; one that somebody made shorter stays as it is."""
    end = shards[-1]['dead_end'] if shards else 0
    if dead_links.stat().st_size > end:
        os.truncate(dead_links, end)


def _dead(reason: str, detail: str) -> Outcome:
    return Outcome(dict(reason=reason, detail=detail), b'')


def _members(key: str, link: Link, facts: dict[str, Any], data: bytes) -> dict[str, bytes]:
    """An image and its record by their endings."""
    ending = SHARD_ENDINGS[facts['format']]
    record = dict(link.record, f_path=f'{key}.{ending}', url=without_credentials(link.url))
    record |= dict(width=facts['width'], height=facts['height'], sha256=hashlib.sha256(data).hexdigest())
    return {ending: data, 'json': json.dumps(record, default=str).encode()}


@contextmanager
def _only_one(out: Path) -> Iterator[None]:
    """Hold a folder; two runs at once would write to the same files."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / '.fetch.lock', 'a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f'out {out}: another fetch is writing there; wait for its end') from error
        yield
