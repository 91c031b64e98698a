"""A local HTTP server that answers as the worst servers of the web do; see :data:`ANSWERS` for its paths."""

import asyncio
import gzip
import io
import random
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


def picture(seed: int, kind: str = 'JPEG') -> bytes:
    """A small image whose bytes depend on the seed."""
    file = io.BytesIO()
    size = 40 + seed, 30
    Image.frombytes('RGB', size, random.Random(seed).randbytes(3 * size[0] * size[1])).save(file, kind)
    return file.getvalue()


def _png_of(width: int, height: int) -> bytes:
    """A PNG that has nothing but its header."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + struct.pack('>I', 13)
        + header
        + struct.pack('>I', zlib.crc32(header))
        + bytes([0, 0, 0, 9])
        + b'IDAT'
    )


JPEG = picture(0)
_OK = b'HTTP/1.1 200 OK\r\nConnection: close\r\n'
_CHUNKED = _OK + b'Transfer-Encoding: chunked\r\n\r\n'


def _whole(body: bytes, fields: str = '', length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return _OK + f'Content-Length: {size}\r\n{fields}\r\n'.encode() + body


def _status(line: str, fields: str = '') -> bytes:
    return f'HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n{fields}\r\n'.encode()


#: What is sent for a path; ``{port}`` and ``{other}`` stand for this server's port and that of a forbidden one.
ANSWERS = {
    '/plain': _whole(JPEG),
    '/wrong-type': _whole(JPEG, 'Content-Type: text/html\r\n'),
    '/until-close': _OK + b'\r\n' + JPEG,
    '/chunked': _CHUNKED + b'%x\r\n%s\r\n0\r\n\r\n' % (len(JPEG), JPEG),
    '/gzip': _whole(gzip.compress(JPEG), 'Content-Encoding: gzip\r\n'),
    '/html.jpg': _whole(b'<html>no image</html>', 'Content-Type: image/jpeg\r\n'),
    '/empty': _whole(b''),
    '/gif': _whole(b'GIF89a' + bytes(20)),
    '/stall': b'',
    '/stall-in-body': _whole(JPEG[:100], length=len(JPEG)) + b'STALL',
    '/says-more': _whole(JPEG, length=len(JPEG) + 999),
    '/says-less': _whole(JPEG, length=len(JPEG) * 3 // 4),
    '/chunked-cut': _CHUNKED + b'%x\r\n%s' % (len(JPEG), JPEG[:99]),
    '/to-private': _status('302 Found', 'Location: http://127.0.0.1:{other}/secret\r\n'),
    '/to-file': _status('302 Found', 'Location: file:///etc/passwd\r\n'),
    '/to-nowhere': _status('302 Found'),
    '/to-bad': _status('302 Found', 'Location: http://[bad\r\n'),
    '/to-itself': _status('307 Again', 'Location: /to-itself\r\n'),
    '/to-plain': _status('301 Moved', 'Location: plain\r\nSet-Cookie: a=b\r\n'),
    '/to-credentials': _status('308 Moved', 'Location: http://user:secret@127.0.0.1:{port}/plain?c\r\n'),
    '/bomb.png': _whole(_png_of(60_000, 60_000)),
    '/large.png': _whole(_png_of(2_000, 2_000)),
    '/gzip-bomb': _whole(gzip.compress(bytes(30_000_000)), 'Content-Encoding: gzip\r\n'),
    '/gzip-twice': _whole(gzip.compress(gzip.compress(JPEG)), 'Content-Encoding: gzip, gzip\r\n'),
    '/gzip-not': _whole(JPEG, 'Content-Encoding: gzip\r\n'),
    '/gzip-cut': _whole(gzip.compress(JPEG)[:-30], 'Content-Encoding: gzip\r\n'),
    '/says-huge': _whole(b'', length=10**12),
    '/404': _status('404 Not Found'),
    '/410': _status('410 Gone'),
    '/500': _status('500 Broken'),
    '/429-long': _status('429 Slow', 'Retry-After: 3600\r\n'),
    '/opted-out': _whole(JPEG, 'X-Robots-Tag: otherbot: noindex, noai\r\n'),
    '/no-http': b'SSH-2.0-OpenSSH\r\n\r\n',
    '/at-once-closed': b'CLOSE',
}


class HostileServer:
    """What :func:`serving` gives: its port, and what it was asked.

    Args:
        other: a port that it redirects to.
        slow: seconds before each ``/image/`` is sent.
    """

    def __init__(self, other: int, slow: float) -> None:
        self.port, self.other, self.slow = 0, other, slow
        self.asked: Counter[str] = Counter()
        self.requests: list[str] = []
        self.most_at_once = self._now = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, of one request."""
        try:
            first = await reader.readexactly(1)
            if first == b'\x16':  # the beginning of TLS
                writer.write(b'not here')
                return
            request = (first + await reader.readuntil(b'\r\n\r\n')).decode()
            path = request.split()[1]
            self.asked[path] += 1
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            try:
                await self._send(path, writer)
            finally:
                self._now -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _send(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path.startswith('/image/'):
            await asyncio.sleep(self.slow)
            writer.write(_whole(picture(int(path.rpartition('/')[2]))))
        elif path == '/drip':
            writer.write(_whole(b'', length=99_999))
            while True:
                writer.write(b'.')
                await writer.drain()
                await asyncio.sleep(0.05)
        elif path in ('/endless', '/endless-fields'):
            writer.write(_OK + b'\r\n' if path == '/endless' else _OK)
            while True:
                writer.write(b'Field: value\r\n' * 5_000)
                await writer.drain()
        elif path == '/busy-once' and self.asked[path] == 1:
            writer.write(_status('429 Slow', 'Retry-After: 0\r\n'))
        elif path == '/busy-once':
            writer.write(_whole(JPEG))
        else:
            answer = ANSWERS.get(path.partition('?')[0], _status('404 Not Found'))
            ports = {b'{port}': self.port, b'{other}': self.other}
            for mark, port in ports.items():
                answer = answer.replace(mark, str(port).encode())
            stalls = not answer or answer.endswith(b'STALL')
            if answer != b'CLOSE':
                writer.write(answer.removesuffix(b'STALL'))
            await writer.drain()
            await asyncio.sleep(30.0 if stalls else 0.0)


@contextmanager
def serving(other: int = 9, slow: float = 0.0) -> Iterator[HostileServer]:
    """A server on a free port of 127.0.0.1, in a thread."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    hostile = HostileServer(other, slow)

    async def serve() -> None:
        server = await asyncio.start_server(hostile.answer, '127.0.0.1', 0)
        hostile.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield hostile
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
