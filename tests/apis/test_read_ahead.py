"""Threads that work ahead: order, bounds, errors, closing."""

import itertools
import threading
import time

import pytest

from fgdet.apis import read_ahead as module
from fgdet.apis.read_ahead import read_ahead, windows


@pytest.mark.parametrize('threads', [0, 1, 3])
def test_read_ahead__is_map(threads: int) -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 5 == 0 else 0)
        return item * item

    assert list(read_ahead(slow_first, range(30), threads, 4)) == [n * n for n in range(30)]
    assert list(read_ahead(slow_first, [], threads)) == []


def test_read_ahead__never_begins_more_than_it_may() -> None:
    begun = []
    results = read_ahead(lambda item: begun.append(item) or item, itertools.count(), 2, ahead=5)
    for taken in range(1, 20):
        next(results)
        assert len(begun) <= taken + 5
    results.close()
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count


def test_read_ahead__pauses_where_results_hold_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'MAX_BYTES', 100)
    begun: list[int] = []
    results = read_ahead(lambda item: begun.append(item) or item, range(50), 2, ahead=20, size_of=lambda item: 60)
    taken = []
    for item in results:
        taken.append(item)
        time.sleep(0.005)
        assert len(begun) - len(taken) <= 4  # two that hold 120 bytes, and one for each thread that had begun
    assert taken == list(range(50))


def test_read_ahead__what_is_asked_for_is_never_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later result may take the last room while an earlier one waits for it: 300 tries of many threads."""
    monkeypatch.setattr(module, 'MAX_BYTES', 1)
    for _ in range(300):
        assert list(read_ahead(lambda item: item, range(12), 4, ahead=8, size_of=lambda item: 1)) == list(range(12))


def test_read_ahead__an_error_comes_in_its_place() -> None:
    results = read_ahead(lambda item: 1 // item, [1, 1, 0, 1], 2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not any(thread.name.startswith('read-ahead') and thread.is_alive() for thread in _after(0.05))


def _after(seconds: float) -> list[threading.Thread]:
    time.sleep(seconds)
    return threading.enumerate()


def test_windows__the_last_is_shorter() -> None:
    assert list(windows(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(windows([], 3)) == []
