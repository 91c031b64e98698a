"""Connections of the HTTP library that go to checked addresses only.

A name is resolved once, its addresses are checked, and the connection goes to one of these very addresses: between
check and use there is no second look-up that could answer otherwise (DNS rebinding).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore2

from fgdet.data_engine.download_guard import Address, DeadLink, Policy, host_address

#: Gives the addresses of a name, as text.
Resolver = Callable[[str], Awaitable[list[str]]]
#: Addresses of one name that are tried.
MOST_ADDRESSES = 4


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """The way out of an :class:`httpcore2.AsyncConnectionPool`.

    Args:
        is_allowed: whether an address may be connected to.
        resolve: how names are resolved; None asks the system.
    """

    def __init__(self, is_allowed: Policy, resolve: Resolver | None = None) -> None:
        self._is_allowed, self._resolve = is_allowed, resolve or _system_addresses
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first allowed address of a host that answers; ``timeout`` is for all of it.

        Raises:
            DeadLink: ``no-such-name``, or ``refused-address``: none of the addresses is allowed.
            httpcore2.ConnectError: no address takes the connection.
            httpcore2.ConnectTimeout: none does in time.
        """
        now = asyncio.get_running_loop().time
        end = now() + (timeout or 60.0)
        found = await self._addresses(host, end - now())
        allowed = [address for address in found if self._is_allowed(address, port)][:MOST_ADDRESSES]
        if not allowed:
            raise DeadLink('refused-address', f'host {host}: not at a public address')
        error: Exception = httpcore2.ConnectTimeout('out of time')
        for place, address in enumerate(allowed):
            share = max(0.0, end - now()) / (len(allowed) - place)  # one that never answers leaves time for the next
            try:
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error

    async def _addresses(self, host: str, timeout: float) -> list[Address]:
        spelled = host_address(host)
        if spelled is not None:
            return [spelled]
        try:
            found = await asyncio.wait_for(self._resolve(host), timeout)
            return [ipaddress.ip_address(text) for text in dict.fromkeys(found) if '%' not in text]
        except asyncio.TimeoutError as error:
            raise httpcore2.ConnectTimeout('name look-up') from error
        except socket.gaierror as error:
            again = error.errno == socket.EAI_AGAIN
            raise DeadLink('no-such-name', f'host {host}: {error.strerror}', again=again) from error
        except UnicodeError as error:  # Python's own check of a name: a part that is empty or too long
            raise DeadLink('no-such-name', f'host {host}: it can be no name') from error


async def _system_addresses(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
