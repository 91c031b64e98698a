"""A small hub on the loopback address; what it serves is taken, cached, and used without it."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.builders import OFFICIAL

COMMIT = '0123456789abcdef0123456789abcdef01234567'
SCRIPT = """
import json, sys
from fgdet.checkpoints.loading import load_checkpoint
from fgdet.utils.checks import UserError
outcomes = {}
for name in sys.argv[1:]:
    try:
        loaded = load_checkpoint(name)
        outcomes[name] = [loaded.layout, loaded.config['text']['vocab_size'], len(loaded.state)]
    except UserError as error:
        outcomes[name] = str(error)
print(json.dumps(outcomes))
"""


class Hub(BaseHTTPRequestHandler):
    """The calls that huggingface_hub makes: what a repository holds, and its files."""

    repositories: ClassVar[dict[str, Path]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, body: bool) -> None:
        path = self.path.partition('?')[0].strip('/')
        parts = path.removeprefix('api/models/').split('/')
        folder, rest = self.repositories.get('/'.join(parts[:2])), parts[2:]
        if folder is None:
            return self.send(404, b'{}', {'X-Error-Code': 'RepoNotFound'}, body)
        if not path.startswith('api/'):  # owner/name/resolve/<revision>/<file>
            file = folder / '/'.join(rest[2:])
            self.asked.append(file.name)
            data = file.read_bytes()
            return self.send(200, data, {'ETag': f'"{hashlib.sha256(data).hexdigest()}"'}, body)
        files = sorted(folder.iterdir())
        if rest[:1] == ['tree']:
            entries = [dict(type='file', path=f.name, size=f.stat().st_size, oid=f.name) for f in files]
            return self.send(200, json.dumps(entries).encode(), {}, body)
        siblings = [dict(rfilename=f.name) for f in files]
        info = dict(id='/'.join(parts[:2]), modelId='/'.join(parts[:2]), sha=COMMIT, siblings=siblings, tags=[])
        self.send(200, json.dumps(info).encode(), {}, body)

    def send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, 'X-Repo-Commit': COMMIT, 'Content-Length': str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """Serves an FG-CLIP, the same in two parts, and one whose weights are pickled."""
    weights = load_file(OFFICIAL / 'model.safetensors')
    config = (OFFICIAL / 'config.json').read_text()
    folders = {name: tmp_path / name for name in ('whole', 'parts', 'pickled')}
    for folder in folders.values():
        folder.mkdir()
        (folder / 'config.json').write_text(config)
        (folder / 'modeling_fgclip.py').write_text('raise SystemExit("this must never run")')
    save_file(weights, folders['whole'] / 'model.safetensors')
    names = sorted(weights)
    weight_map = {name: f'model-0000{1 + (i % 2)}-of-00002.safetensors' for i, name in enumerate(names)}
    for part in set(weight_map.values()):
        save_file({n: weights[n] for n in names if weight_map[n] == part}, folders['parts'] / part)
    index = json.dumps(dict(metadata={}, weight_map=weight_map))
    (folders['parts'] / 'model.safetensors.index.json').write_text(index)
    torch.save(weights, folders['pickled'] / 'pytorch_model.bin')
    Hub.repositories, Hub.asked = {f'someone/{name}': folder for name, folder in folders.items()}, []
    with ThreadingHTTPServer(('127.0.0.1', 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(cache: Path, endpoint: str, *names: str, offline: bool = False) -> dict[str, Any]:
    """What a process of its own makes of hub ids: [layout, vocabulary, tensors], or the message."""
    settings = dict(HF_ENDPOINT=endpoint, HF_HOME=str(cache), HF_HUB_OFFLINE=str(int(offline)), HF_TOKEN='')
    proxies = {name: '' for name in os.environ if name.lower().endswith('_proxy')} | {'NO_PROXY': '127.0.0.1'}
    run = subprocess.run(
        [sys.executable, '-c', SCRIPT, *names],
        env=os.environ | settings | proxies,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_load__from_a_hub_then_from_its_cache(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    cache, endpoint = tmp_path / 'cache', f'http://127.0.0.1:{hub.server_address[1]}'
    whole, parts, loaded = 'someone/whole', 'someone/parts', ['fg-clip', 600, 91]
    seen = load(cache, endpoint, whole, parts, 'someone/pickled', 'someone/absent')
    assert seen[whole] == seen[parts] == loaded
    assert 'holds no model.safetensors, and from the hub fgdet takes safetensors only' in seen['someone/pickled']
    assert 'did not give it (it has none of that name, or a private one' in seen['someone/absent']
    assert not [name for name in Hub.asked if name.endswith(('.py', '.bin', '.pt', '.pth', '.pkl'))]

    hub.shutdown()
    hub.server_close()
    seen = load(cache, endpoint, whole, parts, 'someone/other')
    assert seen[whole] == seen[parts] == loaded
    assert seen['someone/other'].startswith('checkpoint someone/other: it is no file or folder here, and the Hugging')
    assert '(it cannot be reached: ConnectError)' in seen['someone/other'] and '\n' not in seen['someone/other']


def test_load__offline_mode_asks_nobody(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = f'http://127.0.0.1:{hub.server_address[1]}'
    seen = load(tmp_path / 'cache', endpoint, 'someone/whole', offline=True)
    assert '(offline mode is on, HF_HUB_OFFLINE, and the cache does not hold it)' in seen['someone/whole']
    assert Hub.asked == []
