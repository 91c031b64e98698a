"""Images from links, by many requests at once, from servers that are not trusted.

A client of our own on the connection pool of httpx2 (httpcore2). img2dataset, which most people use for this, is heavy
(pandas, albumentations and wandb come with it), starts a shard again from its first link after an interruption, and
checks no addresses. The pool is used without httpx2's client on top, which keeps cookies, follows redirects and unpacks
answers by itself, and takes proxies and credentials from the environment.
"""

import asyncio
import email.utils
import random
import ssl
import time
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from types import TracebackType
from typing import NamedTuple

import httpcore2
import httpx2
from PIL import Image

from fgdet.data_engine.download_guard import DeadLink, Policy, check_link, is_public
from fgdet.data_engine.guarded_network import GuardedNetwork, Resolver
from fgdet.data_engine.host_turns import MOST_FAILURES, Host, HostTurns
from fgdet.datasets.transforms.image import MOST_PIXELS
from fgdet.version import __version__

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_AGAIN = (408, 429, 500, 502, 503, 504)
# Words of the header X-Robots-Tag by which an owner keeps images out of training sets and indexes.
_OPT_OUT = {'noai', 'noimageai', 'noindex', 'noimageindex', 'none'}
_FORMATS = ('JPEG', 'PNG', 'WEBP')  # what a shard holds
_ZLIB = {'gzip', 'x-gzip', 'deflate'}


class DownloadSettings(NamedTuple):
    """How images are fetched.

    Args:
        concurrency: requests at the same time.
        per_host: of these, to one host.
        delay: seconds between the starts of two requests to one host.
        connect_s: seconds for looking up a name and connecting.
        read_s: seconds that a server may be silent.
        total_s: seconds for one image with its redirects, without the wait for a host's turn.
        most_bytes: of a file, as sent and unpacked.
        most_pixels: width times height.
        decode: read each image to its end (a JPEG at an eighth of its size), to leave out those that were cut.
        retries: further tries after 429, 5xx, and connections that fail or break off.
        first_wait_s: before the first of these; it doubles each time.
        most_wait_s: a host that asks for a longer wait is not asked again, not for its other links either.
        user_agent: what servers are told; None: fgdet and its version. A contact in it is good manners.
    """

    concurrency: int = 64
    per_host: int = 4
    delay: float = 0.0
    connect_s: float = 10.0
    read_s: float = 10.0
    total_s: float = 30.0
    most_bytes: int = 20 << 20
    most_pixels: int = MOST_PIXELS
    decode: bool = True
    retries: int = 2
    first_wait_s: float = 1.0
    most_wait_s: float = 60.0
    user_agent: str | None = None


class Downloaded(NamedTuple):
    """The bytes of an image as they came, its format as Pillow names it, width and height in pixels."""

    data: bytes
    format: str
    width: int
    height: int


class ImageDownloader:
    """An asynchronous client; ``async with`` it, then :meth:`get` from as many tasks as there are links.

    Args:
        settings: None takes the defaults.
        is_allowed: which addresses it connects to, for the first request and each redirect.
        resolve: how names are resolved; None asks the system.
    """

    def __init__(
        self,
        settings: DownloadSettings | None = None,
        is_allowed: Policy = is_public,
        resolve: Resolver | None = None,
    ) -> None:
        self.settings = settings or DownloadSettings()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=None,  # the slots below are the bound
            max_keepalive_connections=self.settings.concurrency,
            keepalive_expiry=5.0,
            network_backend=GuardedNetwork(is_allowed, resolve),
        )
        self._slots = asyncio.Semaphore(self.settings.concurrency)
        # Apart from the threads that look names up, which may hang; an image takes a quarter of a gigabyte at most.
        self._decoders = ThreadPoolExecutor(2)
        self._turns = HostTurns(self.settings.per_host, self.settings.delay)

    async def __aenter__(self) -> 'ImageDownloader':
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()
        self._decoders.shutdown(cancel_futures=True)

    async def get(self, link: str) -> Downloaded:
        """Return the image of a link.

        Raises:
            DeadLink: there is none, after as many tries as the settings allow.
        """
        tries = 0
        while True:
            try:
                return await self._follow(check_link(link))
            except DeadLink as dead:
                if not dead.again or tries >= self.settings.retries or dead.wait > self.settings.most_wait_s:
                    raise
                wait = max(dead.wait, self.settings.first_wait_s * 2**tries * random.uniform(0.5, 1.0))
            tries += 1
            await asyncio.sleep(wait)

    async def _follow(self, url: httpx2.URL) -> Downloaded:
        """The image behind a link and its redirects; each host on the way is given its turn."""
        left, now = self.settings.total_s, asyncio.get_running_loop().time
        for _ in range(MOST_REDIRECTS + 1):
            async with self._turns.turn(url.host) as host, self._slots:
                start = now()
                found = await self._request(url, host, left)
                left -= now() - start
                if isinstance(found, bytes):  # looked at in its slot, so that images do not pile up before the decoders
                    look = partial(look_at, found, self.settings.most_pixels, self.settings.decode)
                    return await asyncio.get_running_loop().run_in_executor(self._decoders, look)
            url = found
        raise DeadLink('redirects', f'more than {MOST_REDIRECTS} redirects')

    async def _request(self, url: httpx2.URL, host: Host, seconds: float) -> bytes | httpx2.URL:
        """One request; what the library raises becomes a reason."""
        try:
            found = await asyncio.wait_for(self._exchange(url, host), seconds)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            host.failures += 1
            kind = 'connect-timeout' if isinstance(error, httpcore2.ConnectTimeout) else 'connect'
            if isinstance(error.__cause__ or error.__context__, ssl.SSLError):
                kind = 'tls'
            raise DeadLink(kind, f'host {url.host}: no connection', again=kind == 'connect') from error
        except httpcore2.ReadTimeout as error:
            host.failures += 1
            raise DeadLink('read-timeout', f'host {url.host}: silent for {self.settings.read_s:g} s') from error
        except asyncio.TimeoutError as error:
            host.failures += 1
            raise DeadLink('timeout', f'host {url.host}: not done in {self.settings.total_s:g} s') from error
        except httpcore2.LocalProtocolError as error:
            raise DeadLink('bad-url', 'it cannot be sent in a request') from error
        except (httpcore2.ProtocolError, httpcore2.NetworkError, httpcore2.TimeoutException, OSError) as error:
            host.failures = 0  # an OSError is one of TLS, of which the library lets some through
            raise DeadLink('cut', f'host {url.host}: the answer broke off or is no HTTP', again=True) from error
        except DeadLink as dead:
            host.failures = host.failures + 1 if dead.reason == 'no-such-name' else 0
            if dead.wait > self.settings.most_wait_s:
                host.failures = MOST_FAILURES  # its other links are not asked for either
            elif dead.wait:
                host.pause(dead.wait)
            raise
        host.failures = 0
        return found

    async def _exchange(self, url: httpx2.URL, host: Host) -> bytes | httpx2.URL:
        """The body, or where it is to be found."""
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        headers: dict[bytes | str, bytes | str] = {
            b'Host': url.netloc,
            b'User-Agent': (self.settings.user_agent or f'fgdet/{__version__}').encode('ascii', 'replace'),
            b'Accept': b'image/jpeg, image/png, image/webp',
            b'Accept-Encoding': b'identity',
        }
        timeout = dict(connect=self.settings.connect_s, read=self.settings.read_s, write=self.settings.read_s)
        async with self._pool.stream('GET', target, headers=headers, extensions=dict(timeout=timeout)) as response:
            answer = httpx2.Headers(response.headers)
            if response.status in _REDIRECTS:
                return _redirect(url, answer)
            if response.status != 200:
                again = response.status in _AGAIN
                wait = retry_after(answer.get('retry-after', '')) if again else 0.0
                raise DeadLink(f'http-{response.status}', f'host {url.host}', again, wait)
            words = answer.get('x-robots-tag', '').lower().replace(':', ',').split(',')
            if not _OPT_OUT.isdisjoint(word.strip() for word in words):
                raise DeadLink('opted-out', f'host {url.host}: its owner keeps it out of data sets')
            length, most = answer.get('content-length', ''), self.settings.most_bytes
            if length.isdecimal() and len(length) < 20 and int(length) > most:
                raise DeadLink('too-large', f'{length} bytes, more than {most}')
            return await read_body(response.aiter_stream(), answer.get('content-encoding', ''), most)


def _redirect(url: httpx2.URL, answer: httpx2.Headers) -> httpx2.URL:
    if 'location' not in answer:
        raise DeadLink('redirects', 'a redirect to nowhere')
    try:
        return check_link(str(url.join(answer['location'])))
    except (DeadLink, httpx2.InvalidURL, ValueError) as error:
        detail = error.detail if isinstance(error, DeadLink) else 'it cannot be read'
        raise DeadLink('redirects', f'a redirect to a bad link ({detail})') from error


async def read_body(chunks: AsyncIterator[bytes], encoding: str, most_bytes: int) -> bytes:
    """Join what a server sends, and unpack it, up to a bound of both.

    Args:
        chunks: parts of the body.
        encoding: the header Content-Encoding; we ask for none, and not every server listens.
        most_bytes: of what is sent and of what it unpacks to.

    Raises:
        DeadLink: ``too-large``; ``encoding``: one that we do not know, or damaged; ``cut``: its end is missing.
    """
    encoding = encoding.strip().lower()
    if encoding not in ('', 'identity', *_ZLIB):
        raise DeadLink('encoding', f'Content-Encoding {encoding[:40]!r}: expected none or gzip')
    packed = zlib.decompressobj(wbits=47) if encoding in _ZLIB else None  # 47: gzip or zlib, by its header
    body, received = bytearray(), 0
    async for chunk in chunks:
        received += len(chunk)
        try:
            body += packed.decompress(chunk, most_bytes - len(body) + 1) if packed else chunk
        except zlib.error as error:
            raise DeadLink('encoding', f'it is not packed as {encoding} says') from error
        if max(received, len(body)) > most_bytes:
            raise DeadLink('too-large', f'more than {most_bytes} bytes')
    if packed and not packed.eof:
        raise DeadLink('cut', 'the packed data have no end')
    return bytes(body)


def look_at(data: bytes, most_pixels: int, decode: bool) -> Downloaded:
    """Check the bytes of an image, whatever the server called them.

    Args:
        data: the file.
        most_pixels: by its header, before anything is decoded.
        decode: read it to its end.

    Raises:
        DeadLink: ``no-image``, ``too-many-pixels``, or ``damaged`` where its end is missing or wrong.
    """
    reason = 'no-image'
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            reason, found = 'damaged', Downloaded(data, str(image.format), image.width, image.height)
            if image.width * image.height > most_pixels:
                raise DeadLink('too-many-pixels', f'{image.width} x {image.height} pixels, more than {most_pixels}')
            if decode:
                image.draft(None, (1, 1))  # an eighth of a JPEG; other formats have no such way
                image.load()
    except DeadLink:
        raise
    except Image.DecompressionBombError as error:
        raise DeadLink('too-many-pixels', f'more than {most_pixels} pixels') from error
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        detail = f'none of {", ".join(_FORMATS)}' if reason == 'no-image' else f'it cannot be read ({error})'
        raise DeadLink(reason, detail) from error
    return found


def retry_after(value: str) -> float:
    """Seconds of the header Retry-After, a number or a date (RFC 9110, section 10.2.3); 0 where it is neither."""
    try:
        value = value.strip()
        seconds = (
            int(value) if value.isdecimal() else email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        )
        return float(max(0, seconds))
    except (ValueError, TypeError, OverflowError):
        return 0.0
