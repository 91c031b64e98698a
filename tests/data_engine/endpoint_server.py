"""A local server that speaks the chat protocol and misbehaves as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the server sends; ``cut`` closes the connection inside of the body, ``wait_for`` holds it back."""

    status: int = 200
    body: Any = None  # sent as JSON, or as it is where it is a text
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    wait_for: threading.Event | None = None


def completion(text: Any, prompt_tokens: int = 100, completion_tokens: int = 10, finish: str = 'stop') -> Reply:
    """A well-formed answer."""
    usage = dict(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    choice = dict(index=0, message=dict(role='assistant', content=text), finish_reason=finish)
    return Reply(body=dict(model='served-model', choices=[choice], usage=usage))


class EndpointServer(ThreadingHTTPServer):
    """Answers with ``behave(number, body)``: requests are counted from 0 in the order of their arrival."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behave: Callable[[int, dict[str, Any]], Reply]) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.behave = behave
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.at_once = self.most_at_once = 0

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_address[1]}/v1'

    def prompts(self) -> list[str]:
        """The last words of each request, in the order of arrival."""
        return [prompt_of(body) for body in self.bodies]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server: EndpointServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.authorizations.append(self.headers.get('Authorization'))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            assert self.path == '/v1/chat/completions'
            reply = self.server.behave(number, body)
            while reply.wait_for and not reply.wait_for.wait(0.01) and not self.server.closing.is_set():
                pass
        finally:
            with self.server.lock:
                self.server.at_once -= 1
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        data = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
        self.send_response_only(reply.status)
        for name, value in {'Content-Length': str(len(data)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if reply.cut else data)
        self.close_connection = self.close_connection or reply.cut

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def serve(behave: Callable[[int, dict[str, Any]], Reply]) -> Iterator[EndpointServer]:
    """The server, running until the block ends."""
    server = EndpointServer(behave)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def prompt_of(body: dict[str, Any]) -> str:
    """The text of the last message."""
    content = body['messages'][-1]['content']
    return content if isinstance(content, str) else content[-1]['text']
