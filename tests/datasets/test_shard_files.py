"""Names of shards written out, and shards read from disk, from a server and through fsspec."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fgdet.datasets import shard_files
from fgdet.datasets.shard_files import DAMAGE, expand_shards, shard_samples
from fgdet.utils.checks import UserError
from tests.builders import shard_members, write_shard


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ('s3://b/t-{08..11}.tar', ['s3://b/t-08.tar', 's3://b/t-09.tar', 's3://b/t-10.tar', 's3://b/t-11.tar']),
        ('http://h/{a,b}-{0..1}.tar', ['http://h/a-0.tar', 'http://h/a-1.tar', 'http://h/b-0.tar', 'http://h/b-1.tar']),
        ('http://h/{9..10}.tar', ['http://h/9.tar', 'http://h/10.tar']),
        (['http://h/b.tar', 'http://h/a.tar'], ['http://h/b.tar', 'http://h/a.tar']),
    ],
)
def test_expand__ranges_and_lists(names: Any, expected: list[str]) -> None:
    assert expand_shards(names) == expected


def test_expand__local_patterns(tmp_path: Path) -> None:
    for name in ('t-000.tar', 't-001.tar', 'odd[1].tar'):
        (tmp_path / name).touch()
    (tmp_path / 't-folder.tar').mkdir()
    both = [f'{tmp_path}/t-000.tar', f'{tmp_path}/t-001.tar']
    assert expand_shards(f'{tmp_path}/t-*.tar') == both == expand_shards(f'{tmp_path}/t-{{000..001}}.tar')
    assert expand_shards(f'{tmp_path}/odd[1].tar') == [f'{tmp_path}/odd[1].tar']


def test_expand__what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        (f'{tmp_path}/t-{{0..1}}.tar', r'shard .*t-0\.tar: no such file'),
        (str(tmp_path), 'it is a folder'),
        (f'{tmp_path}/*.tar', 'no file fits this pattern'),
        ([], 'they name no file'),
        (f'{tmp_path}/t-{{5..1}}.tar', 'they name no file'),
    ]
    monkeypatch.setattr(shard_files, 'find_spec', lambda name: None)
    for names, message in [*cases, ('s3://bucket/a.tar', r's3://\.\.\.: reading them needs fsspec')]:
        with pytest.raises(UserError, match=message):
            expand_shards(names)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; the first answers for ``flaky.tar`` break off in the middle."""

    breaks = 0

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == '/flaky.tar' and Handler.breaks:
            Handler.breaks -= 1
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(shard_files, 'PAUSES', (0.0, 0.0))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


def test_remote__same_as_local_also_when_it_breaks_off(tmp_path: Path, served: str) -> None:
    local = str(write_shard(tmp_path / 'flaky.tar', shard_members('abcdefg')))
    whole = list(shard_samples(local, 0, 0, 1))
    assert [number for number, _ in whole] == list(range(7))
    for breaks in (0, 2):
        Handler.breaks = breaks
        assert list(shard_samples(f'{served}/flaky.tar', 0, 0, 1)) == whole
        assert Handler.breaks == 0
        assert list(shard_samples(f'{served}/flaky.tar', 3, 1, 2)) == whole[3::2]
    Handler.breaks = 3
    *some, (number, last) = shard_samples(f'{served}/flaky.tar', 0, 0, 1)
    assert 0 < len(some) < 7 and some == whole[: len(some)] and number == DAMAGE and last.error is not None


def test_remote__missing_shard_and_no_server(served: str) -> None:
    ((number, sample),) = shard_samples(f'{served}/none.tar', 0, 0, 1)
    assert number == DAMAGE and sample.error is not None and '404' in sample.error
    ((number, sample),) = shard_samples('http://127.0.0.1:9/none.tar', 0, 0, 1)
    assert number == DAMAGE and sample.error is not None and 'cannot be read' in sample.error


def test_fsspec__same_as_local(tmp_path: Path) -> None:
    fsspec = pytest.importorskip('fsspec')
    local = write_shard(tmp_path / 'a.tar', shard_members('abc'))
    with fsspec.open('memory://bucket/a.tar', 'wb') as file:
        file.write(local.read_bytes())
    assert list(shard_samples('memory://bucket/a.tar', 1, 0, 1)) == list(shard_samples(str(local), 1, 0, 1))


def test_damage__is_told_once(tmp_path: Path) -> None:
    path = write_shard(tmp_path / 'a.tar', shard_members('abc'))
    path.write_bytes(path.read_bytes()[:3000])
    *_, (number, sample) = shard_samples(str(path), 0, 0, 1)
    assert number == DAMAGE and sample.error is not None
    assert list(shard_samples(str(path), DAMAGE + 1, 0, 1)) == []
