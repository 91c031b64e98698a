"""What a chat endpoint answers: a completion, or why there is none and whether another try may help."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx2

_BUSY = {408, 409, 425, 429}  # and 500 upwards
_HOPELESS = {401: 'it does not accept the API key', 404: 'there is no such address or model'}


class Problem(Exception):
    """Why there is no answer, and whether another try may help."""

    def __init__(
        self, reason: str, again: bool = False, retry_after: float | None = None, is_hopeless: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.retry_after, self.is_hopeless = reason, again, retry_after, is_hopeless


class Reply(NamedTuple):
    """One completion."""

    text: str
    model: str
    finish_reason: Any
    was_cut: bool
    prompt_tokens: int
    completion_tokens: int


def read_reply(response: httpx2.Response, model: str) -> Reply:
    """Read a response, or raise what is wrong with it."""
    status = response.status_code
    if status == 200:
        try:
            content = response.json()
            choice = content['choices'][0]
            text, reason = choice['message'].get('content'), choice.get('finish_reason')
            usage = content.get('usage') or {}
            tokens = [_natural(usage.get(name)) for name in ('prompt_tokens', 'completion_tokens')]
            name = content.get('model')
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise Problem(f'the answer is no chat completion ({type(error).__name__})', again=True) from error
        text = text.strip() if isinstance(text, str) else ''
        return Reply(text, name if isinstance(name, str) else model, reason, reason == 'length', tokens[0], tokens[1])
    if status in _HOPELESS:  # without the server's words, which may quote the key
        raise Problem(f'the endpoint answers {status}: {_HOPELESS[status]}', is_hopeless=True)
    if 300 <= status < 400:
        raise Problem(f'the endpoint answers {status}: it sends on to another address; give that one')
    again = status >= 500 or status in _BUSY
    said = f': {response.text}' if response.text.strip() else ''
    raise Problem(f'the endpoint answers {status}{said}', again, _retry_after(response) if again else None)


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait: it gives them, or a date, which counts from its own clock."""
    value = response.headers.get('Retry-After', '').strip()
    if re.fullmatch(r'\d{1,9}(\.\d+)?', value):
        return float(value)
    try:
        until = parsedate_to_datetime(value).timestamp()
        now = response.headers.get('Date')
        return max(0.0, until - (parsedate_to_datetime(now).timestamp() if now else time.time()))
    except ValueError:
        return None


def _natural(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
