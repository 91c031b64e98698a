"""Records through stages one after another, on from where it was stopped, in the same order whatever the processes."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure, Stage
from fgdet.data_engine.stage_pool import Batch, StagePool, reason_of
from fgdet.data_engine.stage_store import FAILED, KEPT, StageStore, StoredRecords, digest_of
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, write_json

_NAME = re.compile('[a-z][a-z0-9_]*')
#: Called with the stage's name, the share of it that is done, and a line of text.
OnProgress = Callable[[str, float, str], None]


class Source(Protocol):
    """Where the records that a stage is given lie."""

    def digest(self, key: str) -> int: ...

    def read(self, key: str) -> ImageRecord | Failure: ...


class Lost(NamedTuple):
    """A record that did not come through.

    Args:
        key: of the record.
        path: of its image.
        stage: where it ended.
        reason: of the stage.
        again: whether another try may help.
        dropped: by a filter, which is no failure.
    """

    key: str
    path: str
    stage: str
    reason: str
    again: bool = False
    dropped: bool = False


@dataclass
class StageCount:
    """What a stage did: records it was given, those that were done before, that it dropped and failed, and its time."""

    name: str
    records: int = 0
    before: int = 0
    dropped: int = 0
    failed: int = 0
    seconds: float = 0.0


class Outcome(NamedTuple):
    """What came of a run.

    Args:
        records: those that came through, in the order of the input, read when they are asked for.
        lost: the others in the same order.
        counts: of the stages in their order.
    """

    records: StoredRecords
    lost: list[Lost]
    counts: list[StageCount]


class ListedRecords:
    """The records that the first stage is given."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self.by_key = {record.key: record for record in records}

    def digest(self, key: str) -> int:
        return digest_of(self.by_key[key].to_json())

    def read(self, key: str) -> ImageRecord:
        return self.by_key[key]


class Pipeline:
    """Stages in order, whose results are kept in a folder for each.

    A stage's folder is named by its settings and those of the stages before it: another setting begins a new folder,
    and the old one is there when the setting comes back. Within a folder a record is done again when what the stage
    was given of it has changed.

    A stage with ``run_all`` is asked for each record first (``run``), then with all that came of it at once:
    ``run_all(records)`` gives a result for each in any order. A stage with ``in_process`` stays out of the workers.

    Args:
        stages: with different names of small letters, digits and ``_``.
        folder: for the results.
        workers: processes for the stages; 0 takes none.
        retry_failed: try again what failed before; otherwise it stays failed.
        on_progress: see :data:`OnProgress`.
        say: called with a line when settings have changed or stored results are damaged.

    Raises:
        UserError: names are wrong or twice there, or settings cannot be written as JSON.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        folder: str | Path,
        workers: int = 0,
        retry_failed: bool = False,
        on_progress: OnProgress = lambda name, done, line: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.stages, self.folder, self.workers = list(stages), Path(folder), workers
        self.retry_failed, self.on_progress, self.say = retry_failed, on_progress, say
        names = [stage.name for stage in self.stages]
        for name in names:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                raise UserError(f'stage {name!r}: expected a name of its own of small letters, digits and _')
        self.folders = list(self._folders())

    def run(self, records: Sequence[ImageRecord]) -> Outcome:
        """Take records through all stages.

        Args:
            records: with different keys.

        Raises:
            UserError: as the stages do, or results are not those of the records.
            OSError: results cannot be written; what was done stays.
        """
        self._say_what_changed()
        source: Any = ListedRecords(records)
        order = [record.key for record in records]
        paths = {record.key: record.path for record in records}
        alive, counts = order, []
        lost: dict[str, Lost] = {}
        stores: list[StageStore] = []
        try:
            with StagePool(self.stages, self.workers) as pool:
                for stage in self.stages:
                    count = StageCount(stage.name, len(alive))
                    for store in self._run_stage(pool, source, alive, count, stores):
                        for key in alive:
                            if store.state(key) != KEPT:
                                lost[key] = _lost(store.read(key), stage.name, paths[key], count)
                        alive, source = [key for key in alive if key not in lost], store
                    counts.append(count)
                    self.on_progress(stage.name, 1.0, _rate(count, count.records))
        finally:
            for store in stores:
                store.close()
        return Outcome(StoredRecords(source, alive), [lost[key] for key in order if key in lost], counts)

    def todo(self, records: Sequence[ImageRecord]) -> dict[str, int]:
        """How many records each stage has to do, as far as that is known before: a look that changes nothing."""
        source: Any = ListedRecords(records)
        alive, found = [record.key for record in records], {}
        for stage, folder in zip(self.stages, self.folders, strict=True):
            found[stage.name], unknown = 0, []
            for part, path in enumerate(_parts(stage, folder)):
                store = StageStore(path, read_only=True)
                todo = self._todo(store, source, alive, part)
                found[stage.name] = max(found[stage.name], len(todo))
                unknown = [key for key in alive if key not in store]
                alive = [key for key in alive if key in store and store.state(key) == KEPT]
                source = store
                if unknown:  # what comes of them is not known: the stages after it have them all to do, at most
                    rest = [other.name for other in self.stages[len(found) :]]
                    return found | dict.fromkeys(rest, len(alive) + len(unknown))
        return found

    def _folders(self) -> Iterator[Path]:
        chain = ' '.join(ImageRecord.__dataclass_fields__)  # results of another form are not read
        for stage in self.stages:
            try:
                chain = f'{digest_of([chain, stage.name, stage.settings()]):016x}'
            except (TypeError, ValueError) as error:
                raise UserError(f'stage {stage.name}: its settings are not plain values ({error})') from error
            yield self.folder / f'{stage.name}-{chain[:12]}'

    def _run_stage(
        self,
        pool: StagePool,
        source: Source,
        alive: list[str],
        count: StageCount,
        stores: list[StageStore],
    ) -> Iterator[StageStore]:
        """Do what is left of a stage; yields the store of each part, also put into ``stores``, when it is complete."""
        number = [stage.name for stage in self.stages].index(count.name)
        stage, folder = self.stages[number], self.folders[number]
        _write_settings(folder, stage)
        start = time.monotonic()
        for part, path in enumerate(_parts(stage, folder)):
            store = StageStore(path)
            stores.append(store)
            if store.damaged:
                self.say(f'{stage.name}: {store.damaged} stored results are damaged and done again ({path})')
            if part == 0:
                todo = self._todo(store, source, alive, part)
                count.before = len(alive) - len(todo)
                self.on_progress(stage.name, 0.0, f'{len(todo)} of {len(alive)} to do')
                self._run_each(pool, number, source, todo, store, count)
            else:
                alive = [key for key in alive if stores[-2].state(key) == KEPT]
                if self._todo(store, stores[-2], alive, part):
                    _run_all(stage, stores[-2], alive, store)
            count.seconds = time.monotonic() - start
            yield store

    def _todo(self, store: StageStore, source: Source, alive: list[str], part: int) -> list[str]:
        """What is left of a stage's part: single records, or all of them where they are asked about at once."""
        if part:
            whole = _digest_of_all(source, alive)
            return [] if all(store.is_done(key, whole) for key in alive) else alive
        again = self.retry_failed
        return [
            key for key in alive if not store.is_done(key, source.digest(key)) or (again and store.state(key) == FAILED)
        ]

    def _run_each(
        self, pool: StagePool, number: int, source: Source, todo: list[str], store: StageStore, count: StageCount
    ) -> None:
        start, done = time.monotonic(), 0
        stage = self.stages[number]
        for batch, results in pool.run(number, _batches(source, todo, stage.batch_size)):
            for record, result in zip(batch, results, strict=True):
                store.add(record.key, source.digest(record.key), result)
            done += len(batch)
            count.seconds = time.monotonic() - start
            left = count.seconds / done * (len(todo) - done)
            line = f'{count.before + done} of {count.records}, {_rate(count, done)}, {left:.0f} s left'
            self.on_progress(stage.name, min(0.999, (count.before + done) / count.records), line)

    def _say_what_changed(self) -> None:
        """Say in one line which is the first stage whose settings are others than before, and what follows from it."""
        for number, (stage, folder) in enumerate(zip(self.stages, self.folders, strict=True)):
            others = self.folder.glob(f'{stage.name}-????????????/stage.json')
            before = sorted((path for path in others), key=lambda path: path.stat().st_mtime_ns)
            if not before or folder / 'stage.json' in before:
                continue
            old = read_json(before[-1], 'stage')['settings']
            new = json.loads(json.dumps(stage.settings()))
            names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
            what = ', '.join(f'{name} {_short(old.get(name))} -> {_short(new.get(name))}' for name in names)
            after = ', '.join(each.name for each in self.stages[number + 1 :])
            also = f', and after it {after}' if after else ''
            self.say(f'{stage.name}: done again{also}; changed: {what or "the stages before it"}')
            return


def _write_settings(folder: Path, stage: Stage) -> None:
    """Note beside a stage's results what made them; its time of change says which settings were the last in use."""
    write_json(folder / 'stage.json', dict(name=stage.name, type=type(stage).__name__, settings=stage.settings()))


def _parts(stage: Stage, folder: Path) -> list[Path]:
    return [folder / 'each', folder / 'all'] if hasattr(stage, 'run_all') else [folder / 'each']


def _run_all(stage: Any, source: StageStore, alive: list[str], store: StageStore) -> None:
    """Ask a stage about all records at once."""
    whole = _digest_of_all(source, alive)
    seen, wanted = set(), set(alive)
    try:
        for result in stage.run_all(StoredRecords(source, alive)):
            if result.key not in wanted or result.key in seen:
                raise UserError(f'stage {stage.name}: it gave {result.key}, which it was not asked for or gave before')
            seen.add(result.key)
            store.add(result.key, whole, result)
    except (UserError, OSError):
        raise
    except Exception as error:  # whatever a stage, of the user's perhaps, may raise
        raise UserError(f'stage {stage.name}: {reason_of(error)}') from error
    if len(seen) < len(alive):
        raise UserError(f'stage {stage.name}: {len(alive) - len(seen)} of {len(alive)} records did not come back')


def _digest_of_all(source: Source, keys: list[str]) -> int:
    return digest_of([[key, source.digest(key)] for key in keys])


def _batches(source: Source, keys: list[str], size: int) -> Iterator[Batch]:
    rest = iter(keys)
    while some := list(islice(rest, max(1, size))):
        yield [record for key in some if isinstance(record := source.read(key), ImageRecord)]


def _lost(result: ImageRecord | Failure, stage: str, path: str, count: StageCount) -> Lost:
    if isinstance(result, Failure):
        count.failed += 1
        return Lost(result.key, path, stage, result.reason, result.again)
    count.dropped += 1
    return Lost(result.key, path, stage, result.dropped or '', dropped=True)


def _rate(count: StageCount, done: int) -> str:
    return f'{done / count.seconds:.1f} images/s' if done and count.seconds else f'{done} images'


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f'{text[:37]}...'
