"""The client against a server that does all that servers should not."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from fgdet.data_engine.download_guard import DeadLink, is_public
from fgdet.data_engine.host_turns import MOST_FAILURES
from fgdet.data_engine.image_download import Downloaded, DownloadSettings, ImageDownloader, retry_after
from tests.data_engine.hostile_server import JPEG, HostileServer, serving

QUICK = DownloadSettings(
    connect_s=1.0, read_s=0.7, total_s=1.2, most_bytes=200_000, most_pixels=1_000_000, retries=1, first_wait_s=0.01
)
EXPECTED = {
    **dict.fromkeys(('/plain', '/wrong-type', '/until-close', '/chunked', '/gzip', '/to-plain', '/busy-once'), 'image'),
    '/to-credentials': 'image',
    **dict.fromkeys(('/html.jpg', '/empty', '/gif'), 'no-image'),
    **dict.fromkeys(('/stall', '/stall-in-body'), 'read-timeout'),
    '/drip': 'timeout',
    **dict.fromkeys(('/says-more', '/chunked-cut', '/gzip-cut', '/no-http', '/at-once-closed'), 'cut'),
    '/endless-fields': 'cut',
    '/says-less': 'damaged',
    '/to-private': 'refused-address',
    **dict.fromkeys(('/to-file', '/to-nowhere', '/to-bad', '/to-itself'), 'redirects'),
    **dict.fromkeys(('/bomb.png', '/large.png'), 'too-many-pixels'),
    **dict.fromkeys(('/gzip-bomb', '/says-huge', '/endless'), 'too-large'),
    **dict.fromkeys(('/gzip-twice', '/gzip-not'), 'encoding'),
    **{f'/{status}': f'http-{status}' for status in (404, 410, 500)},
    '/429-long': 'http-429',
    '/opted-out': 'opted-out',
}


@pytest.fixture(scope='module')
def server() -> Iterator[HostileServer]:
    with serving() as forbidden, serving(other=forbidden.port) as hostile:
        yield hostile
        assert not forbidden.asked


def outcomes(links: list[str], settings: DownloadSettings = QUICK, **parts) -> list[Downloaded | DeadLink]:
    async def get_all() -> list:
        async with ImageDownloader(settings, **parts) as downloader:
            return await asyncio.gather(*map(downloader.get, links), return_exceptions=True)

    return asyncio.run(get_all())


def reason(found: Downloaded | DeadLink) -> str:
    assert isinstance(found, Downloaded | DeadLink), repr(found)
    return found.reason if isinstance(found, DeadLink) else 'image'


def test_get__each_kind_of_answer(server: HostileServer) -> None:
    # A 429 that asks for an hour holds back its whole host, so it goes last and alone.
    paths = [path for path in EXPECTED if path != '/429-long']
    links = [f'http://someone:secret@127.0.0.1:{server.port}{path}' for path in paths]
    settings = QUICK._replace(per_host=8)
    found = outcomes(links, settings, is_allowed=lambda address, port: port == server.port)
    assert dict(zip(paths, map(reason, found), strict=True)) == {path: EXPECTED[path] for path in paths}
    for answer in found:
        assert 'secret' not in str(answer)
        if isinstance(answer, Downloaded):
            assert answer == (JPEG, 'JPEG', 40, 30)
    assert (server.asked['/500'], server.asked['/busy-once'], server.asked['/404']) == (2, 2, 1)
    assert server.asked['/to-itself'] == 6
    sent = ''.join(server.requests).lower()
    assert not any(word in sent for word in ('authorization', 'secret', 'cookie', 'someone', 'referer'))


def test_get__asked_to_wait_too_long(server: HostileServer) -> None:
    """Neither this link nor another of the host is asked for again."""
    links = [f'http://127.0.0.1:{server.port}/429-long'] * 3
    settings = QUICK._replace(per_host=1)
    found = [reason(f) for f in outcomes(links, settings, is_allowed=lambda *_: True)]
    assert found == ['http-429', 'host-down', 'host-down']
    assert server.asked['/429-long'] == 1


def test_get__no_tls_where_tls_is_expected(server: HostileServer) -> None:
    links = [f'https://127.0.0.1:{server.port}/plain']
    assert [reason(f) for f in outcomes(links, is_allowed=lambda *_: True)] == ['tls']


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost', '2130706433', '0177.1', '0x7f.0.0.1', '[::ffff:127.0.0.1]'])
def test_get__private_by_any_spelling(host: str) -> None:
    with serving() as server:
        found = outcomes([f'http://{host}:{server.port}/plain', f'https://{host}:{server.port}/plain'])
        assert [reason(f) for f in found] == ['refused-address'] * 2
        assert not server.requests


def test_get__name_that_changes_its_address() -> None:
    """The name is looked up once for a connection, and the checked address of several is the one that is taken."""
    asked: list[str] = []

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        return ['127.0.0.9', '127.0.0.1'] if len(asked) == 1 else ['127.0.0.9']

    with serving() as server:
        links = [f'http://rebound.example:{server.port}/plain']
        allowed = lambda address, port: str(address) == '127.0.0.1'  # noqa: E731
        assert [reason(f) for f in outcomes(links, resolve=resolve, is_allowed=allowed)] == ['image']
        assert asked == ['rebound.example']
        assert f'Host: rebound.example:{server.port}' in server.requests[0]
        assert [reason(f) for f in outcomes(links, resolve=resolve, is_allowed=allowed)] == ['refused-address']
        assert [reason(f) for f in outcomes(links, resolve=resolve, is_allowed=is_public)] == ['refused-address']


def test_get__no_more_at_once_than_a_host_is_given() -> None:
    with serving(slow=0.02) as server:
        links = [f'http://127.0.0.1:{server.port}/image/{i}' for i in range(12)]
        settings = QUICK._replace(per_host=3, delay=0.01)
        start = time.monotonic()
        assert {reason(f) for f in outcomes(links, settings, is_allowed=lambda *_: True)} == {'image'}
        assert time.monotonic() - start >= 0.11
        assert server.most_at_once == 3


def test_get__host_that_is_down_is_left_alone() -> None:
    tried = 0

    def is_allowed(address: object, port: int) -> bool:
        nonlocal tried
        tried += 1
        return True

    links = [f'http://127.0.0.1:1/{i}' for i in range(40)]  # nothing listens there
    settings = QUICK._replace(per_host=1, retries=0)
    found = [reason(f) for f in outcomes(links, settings, is_allowed=is_allowed)]
    assert found == ['connect'] * MOST_FAILURES + ['host-down'] * (40 - MOST_FAILURES)
    assert tried == MOST_FAILURES


@pytest.mark.parametrize(
    ('value', 'seconds'), [('7', 7), (' 0 ', 0), ('', 0), ('-5', 0), ('soon', 0), ('9' * 5000, 0), ('1.5', 0)]
)
def test_retry_after__numbers(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_retry_after__date() -> None:
    then = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert 97 < retry_after(format_datetime(then, usegmt=True)) <= 100
    assert retry_after('Wed, 21 Oct 2015 07:28:00 GMT') == 0
