"""Work that threads do before it is needed, in order and bounded."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar('T')
R = TypeVar('R')

#: Bytes of results that wait, beyond which nothing further is begun.
MAX_BYTES = 2**29


def read_ahead(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int = 2,
    ahead: int = 8,
    size_of: Callable[[R], int] = lambda result: 0,
) -> Generator[R, None, None]:
    """``map(function, items)``, computed by threads up to ``ahead`` items before they are asked for.

    An exception comes where its result would. When the iterator is closed, what was not begun is dropped.

    Args:
        function: called in the threads.
        items: read in the thread of the caller.
        threads: 0 computes each when it is asked for.
        ahead: results at most that wait or are being computed.
        size_of: bytes that a result holds; where those that wait hold more than :data:`MAX_BYTES`, threads pause.
    """
    if threads == 0:
        yield from map(function, items)
        return
    held = _Held()

    def work(numbered: tuple[int, T]) -> R:
        held.wait_for_room(numbered[0])
        result = function(numbered[1])
        held.add(size_of(result))
        return result

    rest, pending = enumerate(items), deque[Future[R]]()
    executor = ThreadPoolExecutor(threads, 'read-ahead')
    try:
        while True:
            pending.extend(executor.submit(work, item) for item in islice(rest, ahead - len(pending)))
            if not pending:
                return
            result = pending.popleft().result()
            held.take(size_of(result))
            yield result
    finally:
        held.close()
        executor.shutdown(wait=False, cancel_futures=True)


class _Held:
    """Bytes of the results that wait; the one that is asked for next is never kept waiting for room."""

    def __init__(self) -> None:
        self._bytes, self._taken, self._closed, self._changed = 0, 0, False, threading.Condition()

    def wait_for_room(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < MAX_BYTES or number <= self._taken or self._closed)

    def add(self, size: int) -> None:
        with self._changed:
            self._bytes += size

    def take(self, size: int) -> None:
        with self._changed:
            self._bytes -= size
            self._taken += 1
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def windows(items: Iterable[T], length: int) -> Iterator[list[T]]:
    """``items`` in lists of ``length``, the last one shorter."""
    rest = iter(items)
    while window := list(islice(rest, length)):
        yield window
