"""Which links may be fetched: http and https to public addresses, and never with credentials.

An address is judged where the connection is made (:mod:`fgdet.data_engine.guarded_network`), so that a name which
leads to a private one, now or at its next look-up, is no way in.
"""

import ipaddress
import re
import socket
from collections.abc import Callable

import httpx2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Whether a connection to an address and a port may be made.
Policy = Callable[[Address, int], bool]

# IANA's special-purpose registries of IPv4 and IPv6 (RFC 6890): a table of our own, as Python's grows with its version.
# 168.63.129.16 looks public and is a cloud's own service for the machines in it.
_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *('0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'),
        *('192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'),
        *('224.0.0.0/4', '240.0.0.0/4', '168.63.129.16/32'),
    )
]
_UNICAST_6 = ipaddress.IPv6Network('2000::/3')
# Protocol assignments (with Teredo), documentation, and 6to4: all that lies in global unicast and is no host's own.
_NOT_PUBLIC_6 = [ipaddress.IPv6Network(n) for n in ('2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20')]
_TRANSLATED = ipaddress.IPv6Network('64:ff9b::/96')  # RFC 6052: the last 32 bits are an IPv4 address
_HOST = re.compile(r'[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?', re.IGNORECASE)
_NUMBER = re.compile(r'0x[0-9a-f]*|[0-9]+', re.IGNORECASE)
_CREDENTIALS = re.compile(r'^(\s*[\w+.-]*:(?=[/\\]))?([/\\]*)[^/?#]*@')


class DeadLink(Exception):
    """A link that gives no image.

    Args:
        reason: a short word to count by, such as ``http-404``.
        detail: one line that says more; it holds no credentials.
        again: whether another try may help.
        wait: seconds that the server asked to wait before it.
    """

    def __init__(self, reason: str, detail: str, again: bool = False, wait: float = 0.0) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason, self.detail, self.again, self.wait = reason, detail, again, wait


def is_public(address: Address, port: int = 443) -> bool:
    """Whether an address is one of the public internet: not private, loopback, link-local, multicast or reserved.

    An IPv4 address inside an IPv6 one (mapped, or of a translator) is judged itself. Every port is allowed.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped, port)
    if address in _TRANSLATED:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), port)
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def allow_private(address: Address, port: int) -> bool:
    """The policy that allows every address."""
    return True


def check_link(link: str) -> httpx2.URL:
    """Read a link, and leave out its credentials and its fragment.

    Raises:
        DeadLink: ``no-link``: it is empty; ``bad-url``: it is none, or of another scheme than http and https, or its
            host is no name and no address.
    """
    if not link.strip():
        raise DeadLink('no-link', 'there is none in this row')
    try:
        url = httpx2.URL(link.strip())
        host = url.raw_host.decode('ascii')
    except (httpx2.InvalidURL, ValueError) as error:
        raise DeadLink('bad-url', 'it cannot be read as a link') from error
    if url.scheme not in ('http', 'https'):
        raise DeadLink('bad-url', f'scheme {url.scheme[:20]!r}: expected http or https')
    if url.port is not None and not 0 < url.port < 65536:
        raise DeadLink('bad-url', f'port {url.port}: expected 1 to 65535')
    if ':' not in host and (not _HOST.fullmatch(host) or len(host) > 254):
        raise DeadLink('bad-url', f'host {host[:80]!r}: expected a name or an address')
    host_address(host)
    return url.copy_with(username=None, password=None, fragment=None)


def host_address(host: str) -> Address | None:
    """The address that a host spells, also as one number or in octal or hexadecimal parts; None for a name.

    Raises:
        DeadLink: ``bad-url``: it looks like an address and is none.
    """
    try:
        if ':' in host:
            if '%' in host:
                raise ValueError('a zone')
            return ipaddress.IPv6Address(host)
        if _NUMBER.fullmatch(host.removesuffix('.').rpartition('.')[2]):
            return ipaddress.IPv4Address(socket.inet_aton(host.removesuffix('.')))
    except (OSError, ValueError) as error:
        raise DeadLink('bad-url', f'host {host[:80]!r}: expected a name or an address') from error
    return None


def without_credentials(link: str) -> str:
    """The text of a link, readable or not, without a user and a password in it."""
    return _CREDENTIALS.sub(r'\1\2', link)
