"""The command: its options reach the client, its numbers are printed, its failures are one line."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fgdet.cli.data_fetch import fetch
from fgdet.cli.main import main
from tests.data_engine.hostile_server import serving


def test_fetch__counts_and_options(tmp_path: Path) -> None:
    with serving() as server:
        url = f'http://127.0.0.1:{server.port}'
        rows = [dict(link=f'{url}{path}', n=i) for i, path in enumerate(['/image/1', '/404', '/large.png'])]
        (tmp_path / 'links.json').write_text(json.dumps(rows))
        arguments = [
            str(tmp_path / 'links.json'),
            '--out',
            str(tmp_path / 'out'),
            '--url-column',
            'link',
            '--keep',
            'n',
        ]
        arguments += [
            '--max-pixels',
            '100000',
            '--prefix',
            'web',
            '--user-agent',
            'me (me@example.com)',
            '--allow-private',
        ]
        result = CliRunner().invoke(fetch, [*arguments, '--json', str(tmp_path / 'numbers.json')])
    assert result.exit_code == 0, result.output
    assert '1 images of 3 links in 1 shards' in result.output
    assert 'no image: 1 http-404' in result.output and 'no image: 1 too-many-pixels' in result.output
    manifest = json.loads((tmp_path / 'numbers.json').read_text())
    assert manifest['shards'][0]['name'] == 'web-000000.tar' and manifest['made_of']['columns']['keep'] == ['n']
    assert 'User-Agent: me (me@example.com)' in server.requests[0]


def test_fetch__private_addresses_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'links.txt').write_text('http://localhost:1/a.jpg\nhttp://169.254.169.254/latest\nfile:///etc/passwd')
    arguments = ['data', 'fetch', str(tmp_path / 'links.txt'), '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', ['fgdet', *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capsys.readouterr().err.strip()
    assert 'none of the 3 gave an image (2 refused-address, 1 bad-url)' in error and '\n' not in error
