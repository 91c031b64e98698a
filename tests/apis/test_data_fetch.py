"""Links to shards: in the order of the list, on from where it was killed, the same bytes, and what is refused."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from fgdet.apis.data_fetch import DownloadSettings, FetchPlan, LinkColumns, allow_private, fetch
from fgdet.apis.data_samples import Samples
from fgdet.apis.data_verify import verify
from fgdet.data_engine import image_download
from fgdet.utils.checks import UserError
from tests.data_engine.hostile_server import HostileServer, picture, serving

QUICK = DownloadSettings(read_s=0.7, total_s=1.2, retries=0)


def write_links(folder: Path, server: HostileServer, paths: list[str]) -> Path:
    rows = [dict(url=f'http://127.0.0.1:{server.port}{path}', caption=f'picture of {path}') for path in paths]
    path = folder / f'links{len(list(folder.iterdir()))}.jsonl'
    path.write_text('\n'.join(map(json.dumps, rows)))
    return path


def run(links: Path, out: Path, **plan: Any) -> dict[str, Any]:
    return fetch(links, out, FetchPlan(shard_links=4, **plan), QUICK, allow_private)


def samples(out: Path) -> list[list[tuple[str, bytes]]]:
    found = []
    for path in sorted(out.glob('*.tar')):
        with tarfile.open(path) as tar:
            found.append([(member.name, tar.extractfile(member).read()) for member in tar])  # type: ignore[union-attr]
    return found


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_fetch__records_and_dead_links(tmp_path: Path) -> None:
    with serving() as server:
        paths = ['/image/1', '/404', '/image/2', '/image/1', *['/410'] * 4, '/image/1', '/html.jpg', '/stall']
        links = write_links(tmp_path, server, paths)
        with links.open('a') as file:
            file.write('\n{"url": "http://me:secret@127.0.0.1:0/x"}\n{}\n')
        manifest = run(links, tmp_path / 'out')
    out = tmp_path / 'out'
    assert (manifest['links'], manifest['samples']) == (13, 3)
    assert manifest == json.loads((out / 'fetch.json').read_text())
    counts = {
        'duplicate': 4,
        'http-404': 1,
        'http-410': 1,
        'no-image': 1,
        'read-timeout': 1,
        'bad-url': 1,
        'no-link': 1,
    }
    assert manifest['dead'] == counts
    assert [shard['name'] for shard in manifest['shards']] == ['images-000000.tar', None, 'images-000001.tar', None]
    first, second = samples(out)
    url = f'http://127.0.0.1:{server.port}/image/1'
    key, data = hashlib.sha256(url.encode()).hexdigest(), picture(1)
    assert [name.rpartition('.')[2] for name, _ in first + second] == ['jpg', 'json'] * 3
    assert first[0] == second[0] == (f'{key}.jpg', data)
    facts = dict(f_path=f'{key}.jpg', url=url, width=41, height=30, sha256=hashlib.sha256(data).hexdigest())
    caption = 'picture of /image/1'
    assert json.loads(first[1][1]) == dict(facts, caption=caption, short_caption=caption)
    dead = [json.loads(line) for line in (out / 'dead_links.jsonl').read_text().splitlines()]
    assert [row['url'].rpartition('/')[2] for row in dead] == (['404', '1', *['410'] * 4, 'html.jpg', 'stall', 'x', ''])
    assert dead[0]['reason'] == 'http-404' and dead[0]['caption'] == 'picture of /404'
    assert not any(b'secret' in content for content in files(out).values())
    assert set(files(out)) == {
        'fetch.json',
        'dead_links.jsonl',
        '.fetch.lock',
        *(f'images-00000{i}.tar' for i in (0, 1)),
    }
    findings = verify(Samples(str(out)))
    assert (findings.samples, findings.num_errors) == (3, 0)


def test_fetch__keys_by_content(tmp_path: Path) -> None:
    with serving() as server:
        links = write_links(tmp_path, server, ['/plain', '/image/3', '/wrong-type'])
        assert run(links, tmp_path / 'out', key='content')['dead'] == {'duplicate': 1}
    [[(name, data), *_]] = samples(tmp_path / 'out')
    assert name == f'{hashlib.sha256(data).hexdigest()}.jpg'


def test_fetch__goes_on_behind_what_is_there(tmp_path: Path) -> None:
    with serving() as server:
        links = write_links(tmp_path, server, [f'/image/{i}' for i in range(10)] + ['/404'])
        run(links, tmp_path / 'out')
        before, asked = files(tmp_path / 'out'), sum(server.asked.values())
        run(links, tmp_path / 'out')
        assert files(tmp_path / 'out') == before
        assert sum(server.asked.values()) == asked
        (tmp_path / 'out' / 'images-000001.tar').write_bytes(b'cut')
        run(links, tmp_path / 'out')
        assert files(tmp_path / 'out') == before
        assert sum(server.asked.values()) == asked + 7


def test_fetch__killed_at_any_moment_gives_the_same(tmp_path: Path) -> None:
    """The end equals an undisturbed run, and of what was fetched only that in flight is asked again."""
    code = (
        'import sys; from fgdet.apis.data_fetch import *; '
        'settings = DownloadSettings(concurrency=3, per_host=3); '
        'fetch(sys.argv[1], sys.argv[2], FetchPlan(shard_links=16), settings, allow_private)'
    )
    with serving(slow=0.02) as server:
        links = write_links(tmp_path, server, ['/404', *(f'/image/{i}' for i in range(47))])
        plan, settings = FetchPlan(shard_links=16), DownloadSettings(concurrency=3, per_host=3)
        fetch(links, tmp_path / 'whole', plan, settings, allow_private)
        server.asked.clear()
        process = subprocess.Popen([sys.executable, '-c', code, str(links), str(tmp_path / 'killed')])
        while sum(server.asked.values()) < 23 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 23 <= sum(server.asked.values()) < 48
        fetch(links, tmp_path / 'killed', plan, settings, allow_private)
    assert files(tmp_path / 'killed') == files(tmp_path / 'whole')
    assert len(server.asked) == 48
    assert sum(server.asked.values()) <= 48 + 3


def test_fetch__full_disk_stops_it_and_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        links = write_links(tmp_path, server, [f'/image/{i}' for i in range(9)])
        run(links, tmp_path / 'whole')
        replace, count = os.replace, 0

        def full(source: Any, target: Any) -> None:
            nonlocal count
            count += str(target).endswith('.tar')
            if count == 2:
                raise OSError(28, 'No space left on device')
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, 'replace', full)
            with pytest.raises(OSError, match=r'images-000001\.tar'):
                run(links, tmp_path / 'out')
        assert len(list((tmp_path / 'out').glob('*.tar'))) == 1
        asked = sum(server.asked.values())
        run(links, tmp_path / 'out')
        assert sum(server.asked.values()) <= asked + 1
    assert files(tmp_path / 'out') == files(tmp_path / 'whole')


def test_fetch__refusals(tmp_path: Path) -> None:
    with serving() as server:
        links = write_links(tmp_path, server, ['/image/1', '/404'])
        with pytest.raises(UserError, match=r'none of the 2 gave an image \(2 refused-address'):
            fetch(links, tmp_path / 'refused')
        assert not server.requests
        run(links, tmp_path / 'out')
        with pytest.raises(UserError, match='shards of other columns, limit'):
            run(links, tmp_path / 'out', limit=1, columns=LinkColumns(caption='url'))
        with pytest.raises(UserError, match='prefix'):
            run(links, tmp_path / 'out', prefix='../x')
        with pytest.raises(UserError, match=r'concurrency 9999999: .* ulimit -n'):
            fetch(links, tmp_path / 'out', settings=QUICK._replace(concurrency=9_999_999))
        with (tmp_path / 'out' / '.fetch.lock').open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(UserError, match='another fetch is writing there'):
                run(links, tmp_path / 'out')
        with pytest.raises(UserError, match='url or content'):
            run(links, tmp_path / 'out', key='name')


def test_fetch__error_of_another_kind_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_at(data: bytes, *bounds: Any) -> Any:
        if data == picture(1):
            raise RuntimeError('no server has sent this yet')
        return real(data, *bounds)

    real = image_download.look_at
    monkeypatch.setattr(image_download, 'look_at', look_at)
    with serving() as server:
        manifest = run(write_links(tmp_path, server, ['/image/1', '/image/2']), tmp_path / 'out')
    assert (manifest['samples'], manifest['dead']) == (1, {'unexpected': 1})
