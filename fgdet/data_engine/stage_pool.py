"""Batches of records through a stage, in this process or in several that may die."""

import multiprocessing
import os
import pickle
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from types import TracebackType

from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure, Stage
from fgdet.utils.checks import UserError

Batch = list[ImageRecord]
Results = list[ImageRecord | Failure]
#: In a worker: the stages as they came, and those that were used.
_PICKLED: list[bytes] = []
_STAGES: dict[int, Stage] = {}


def run_batch(stage: Stage, records: Batch) -> Results:
    """What a stage gives for each record; where it raises, each record is tried alone and the culprit is a failure.

    Raises:
        UserError: the stage raised it (a user can mend that, so no record is blamed), or gave no such results as
            :class:`~fgdet.data_engine.stage.Stage` promises.
    """
    try:
        results = list(stage.run(records))
    except UserError:
        raise
    except Exception as error:  # whatever a stage, of the user's perhaps, may raise
        if len(records) > 1:
            return [run_batch(stage, [record])[0] for record in records]
        return [Failure(records[0].key, reason_of(error), again=True)]
    keys = [getattr(result, 'key', None) for result in results]
    if keys != [record.key for record in records]:
        raise UserError(f'stage {stage.name}: its results {keys[:3]} are not those of its {len(records)} records')
    return results


def reason_of(error: BaseException) -> str:
    """An error in one line, without what the environment holds as a key, token, secret or password."""
    text = ' '.join(f'{type(error).__name__}: {error}'.split())[:500]
    for name, value in os.environ.items():
        if re.search('KEY|TOKEN|SECRET|PASSWORD', name) and len(value) > 7:
            text = text.replace(value, f'${name}')
    return re.sub(r'://[^/@\s]+@', '://', text)


class StagePool:
    """Processes that any of the stages may use; started when they are first needed.

    A worker that dies takes no other record with it: those in flight are tried one by one, and the one whose worker
    dies again is a failure. Workers end with this process, however it ends.

    Args:
        stages: all that may be run; sent to the workers as pickles.
        workers: processes; 0 runs everything in this one.
    """

    def __init__(self, stages: Sequence[Stage], workers: int) -> None:
        self.stages, self.workers = stages, workers
        self._executor: ProcessPoolExecutor | None = None
        self._alive: Connection | None = None  # workers end when it is closed

    def __enter__(self) -> 'StagePool':
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, number: int, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Results]]:
        """Run stage ``number`` over batches; each comes back as soon as it is done, in any order.

        A stage with an attribute ``in_process`` that is true runs in this process: one that waits for an endpoint, or
        holds a GPU.

        Raises:
            UserError: as of :func:`run_batch`.
            RuntimeError: the workers cannot start.
        """
        stage = self.stages[number]
        if not self.workers or getattr(stage, 'in_process', False):
            for batch in batches:
                yield batch, run_batch(stage, batch)
            return
        todo = iter(batches)
        waiting: list[Batch] = []
        running: dict[Future[Results], Batch] = {}
        while True:
            try:
                waiting += islice(todo, 2 * self.workers - len(running) - len(waiting))
                while waiting:
                    future = self._submit(number, waiting[-1])
                    running[future] = waiting.pop()
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    results = future.result()
                    yield running.pop(future), results
            except BrokenProcessPool:
                self._stop()
                yield from self._one_by_one(number, running)
                running = {}

    def _one_by_one(self, number: int, running: dict[Future[Results], Batch]) -> Iterator[tuple[Batch, Results]]:
        for future, batch in running.items():
            if future.done() and not future.exception():
                yield batch, future.result()
                continue
            for record in batch:
                try:
                    yield [record], self._submit(number, [record]).result()
                except BrokenProcessPool:
                    self._stop()
                    yield [record], [Failure(record.key, 'the process that worked on it died', again=True)]

    def _submit(self, number: int, batch: Batch) -> Future[Results]:
        if self._executor is None:
            self._executor = self._start()
        return self._executor.submit(_work, number, batch)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context('forkserver' if os.name == 'posix' else 'spawn')
        if os.name == 'posix':  # imported once, not by each worker
            context.set_forkserver_preload([__name__, *sorted({type(stage).__module__ for stage in self.stages})])
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which it inherits: Ctrl-C is for us
            try:
                forkserver.ensure_running()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ended, self._alive = context.Pipe(duplex=False)
        pickled = [b'' if getattr(stage, 'in_process', False) else pickle.dumps(stage) for stage in self.stages]
        initargs = (pickled, ended, dict(os.environ), os.getcwd())  # the server that forks them may be older than these
        executor = ProcessPoolExecutor(self.workers, context, _start_worker, initargs)
        try:
            executor.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise RuntimeError('worker processes end as they start; --workers 0 does without them') from error
        return executor

    def _stop(self) -> None:
        if self._alive is not None:
            self._alive.close()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor = self._alive = None


def _start_worker(pickled: list[bytes], ended: Connection, environment: dict[str, str], folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started us hears it, and ends us
    os.environ.update(environment)
    os.chdir(folder)
    _PICKLED[:] = pickled
    threading.Thread(target=_end_with, args=(ended,), daemon=True).start()


def _end_with(ended: Connection) -> None:
    try:
        ended.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _work(number: int, batch: Batch) -> Results:
    if number not in _STAGES:
        _STAGES[number] = pickle.loads(_PICKLED[number])
    return run_batch(_STAGES[number], batch)
