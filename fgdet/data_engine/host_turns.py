"""Politeness: how many requests a host gets at once and how soon after another, and when it is left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fgdet.data_engine.download_guard import DeadLink

#: Requests of a host that fail to connect or time out, one after another, before its other links are given up unasked.
MOST_FAILURES = 10
_SWEEP = 10_000  # hosts that are remembered before those at rest are forgotten


class Host:
    """What is known of a host.

    Args:
        at_once: requests that it may get at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self.slots = asyncio.Semaphore(at_once)
        self.users = 0
        self.failures = 0  # in a row
        self.next_start = 0.0  # in the time of the event loop

    def pause(self, seconds: float) -> None:
        """Let no request start within these seconds."""
        self.next_start = max(self.next_start, asyncio.get_running_loop().time() + seconds)


class HostTurns:
    """Gives each request its turn at its host.

    Args:
        at_once: requests of one host at the same time.
        delay: seconds between the starts of two requests of one host.
    """

    def __init__(self, at_once: int, delay: float) -> None:
        self._at_once, self._delay = at_once, delay
        self._hosts: dict[str, Host] = {}
        self._sweep_at = _SWEEP

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[Host]:
        """Wait for a turn and hold it for the block.

        Raises:
            DeadLink: ``host-down``: the last :data:`MOST_FAILURES` requests of this host failed, or it asked for a
                longer wait than it gets.
        """
        host = self._host(name)
        host.users += 1
        try:
            async with host.slots:
                if host.failures >= MOST_FAILURES:
                    raise DeadLink('host-down', f'host {name}: it takes no more requests')
                now = asyncio.get_running_loop().time
                while (seconds := host.next_start - now()) > 0:
                    await asyncio.sleep(seconds)
                host.pause(self._delay)
                yield host
        finally:
            host.users -= 1

    def _host(self, name: str) -> Host:
        if len(self._hosts) >= self._sweep_at:
            now = asyncio.get_running_loop().time()
            keep = {k: h for k, h in self._hosts.items() if h.users or h.failures or h.next_start > now}
            self._hosts, self._sweep_at = keep, 2 * len(keep) + _SWEEP
        return self._hosts.setdefault(name, Host(self._at_once))
