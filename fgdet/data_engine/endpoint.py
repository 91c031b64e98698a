"""A client of any endpoint that speaks OpenAI's chat protocol: vLLM, SGLang, Ollama and the hosted ones.

A request is sent again with exponential back-off and full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015) where the server is busy or the connection breaks; a ``Retry-After`` holds back all requests.
"""

import asyncio
import json
import os
import random
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from fgdet.data_engine.chat_reply import Problem, Reply, read_reply
from fgdet.data_engine.image_payload import image_data_url
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError

#: What a configuration may not set in ``extra``: the client needs it as it is.
_OWN_FIELDS = {'messages', 'model', 'stream', 'n', 'temperature', 'max_tokens', 'seed'}
_KEY_NAME = re.compile(r'[A-Z_][A-Z0-9_]{0,63}')  # a key pasted in its place has small letters or dashes
_LONGEST_QUOTE = 200


class ChatRequest(NamedTuple):
    """One question.

    Args:
        key: names it in a failure.
        prompt: the text of the user.
        image: a file that goes with it, made smaller first.
        check: turns the answer's text into what is wanted and raises ValueError saying what is wrong with it; the
            endpoint is then asked again with those words.
    """

    key: str
    prompt: str
    image: str | Path | None = None
    check: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class ChatAnswer:
    """What came back.

    Args:
        key: of the request.
        text: the answer, without white space around it.
        value: what the request's check made of it; the text where there was none.
        model: as the endpoint names it.
        prompt_tokens: of all the times it was asked.
        completion_tokens: the same.
        cost: the same, in the currency of the prices.
    """

    key: str
    text: str
    value: Any
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float

    def provenance(self) -> dict[str, Any]:
        """Return the model, its tokens and their cost."""
        return dict(
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=round(self.cost, 9),
        )


@dataclass
class Usage:
    """What an endpoint was asked and what it cost, failed requests included.

    Args:
        requests: sent, every try counted.
        uncounted: answers that did not say their tokens.
        prompt_tokens: read.
        completion_tokens: written.
        cost: in the currency of the prices.
    """

    requests: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class ChatEndpoint:
    """Asks an endpoint many questions at once.

    It holds no key: that is read from the environment when it is needed, and is in no error, log, setting or pickle.

    Args:
        url: as far as ``/v1``, such as ``http://127.0.0.1:8000/v1``; without credentials and query.
        model: its name there.
        key_variable: name of the environment variable with the API key, such as ``OPENAI_API_KEY``; None sends none.
        concurrency: most requests at once.
        requests_per_minute: most requests in a minute, spread evenly; None for no limit.
        tries: most times that one question is sent, while the server is busy or the connection breaks.
        reasks: most times that an unusable answer is given back.
        first_wait: upper end of the first random wait in seconds; it doubles with each try.
        longest_wait: the most it grows to; a server that asks for a longer wait gives a failure.
        connect_timeout: seconds.
        read_timeout: seconds between two parts of an answer.
        total_timeout: seconds of one try.
        max_tokens: of an answer; None leaves it to the endpoint.
        temperature: of the sampling; None leaves it to the endpoint.
        seed: sent as a number of the seed and the request's key; None sends none.
        image_side: longest side of a sent image in pixels.
        prompt_price: of a million tokens read.
        completion_price: of a million tokens written.
        extra: further fields of each request, such as ``{'response_format': {'type': 'json_object'}}``.
        clock: seconds that only grow.
        sleep: waits for seconds.

    Raises:
        UserError: a setting is wrong, or the variable is not set.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key_variable: str | None = None,
        concurrency: int = 8,
        *,
        requests_per_minute: float | None = None,
        tries: int = 6,
        reasks: int = 2,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        total_timeout: float = 300.0,
        max_tokens: int | None = 1024,
        temperature: float | None = 0.0,
        seed: int | None = None,
        image_side: int = 1024,
        prompt_price: float = 0.0,
        completion_price: float = 0.0,
        extra: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.url = _checked_url(url)
        self.model = model
        self.key_variable = key_variable
        self.concurrency, self.tries, self.reasks = concurrency, tries, reasks
        self.first_wait, self.longest_wait = first_wait, longest_wait
        self.timeout = httpx2.Timeout(read_timeout, connect=connect_timeout, pool=None)
        self.total_timeout = total_timeout
        self.image_side = image_side
        self.seed = seed
        self.prices = prompt_price, completion_price
        self.usage = Usage()
        fields = dict(model=model, max_tokens=max_tokens, temperature=temperature)
        self._body = {name: value for name, value in fields.items() if value is not None} | dict(extra or {})
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next_start = self._held_until = clock()
        least = dict(concurrency=1, tries=1, reasks=0, first_wait=0, longest_wait=0, total_timeout=0, image_side=1)
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UserError(f'endpoint: {name} must be at least {smallest}, got {getattr(self, name)}')
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise UserError(f'endpoint: requests_per_minute must be above 0 or None, got {requests_per_minute}')
        if taken := _OWN_FIELDS & set(extra or {}):
            raise UserError(
                f'endpoint: extra may not hold {", ".join(sorted(taken))}; they have arguments or are fixed'
            )
        self._key()

    def __repr__(self) -> str:
        return f'ChatEndpoint(url={self.url!r}, model={self.model!r})'

    def settings(self) -> dict[str, Any]:
        """Return what decides the answers; no key."""
        return dict(url=self.url, seed=self.seed, image_side=self.image_side, **self._body)

    def ask_many(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        """Ask all and wait for the answers; not to be called from a coroutine, which awaits :meth:`ask_all` instead.

        Returns:
            for each request its answer or why there is none, in the order of the requests. Where the endpoint refuses
            the key or knows no such model, what was not sent yet fails at once with the same reason.

        Raises:
            UserError: the key's variable is not set.
            KeyboardInterrupt: after Ctrl-C, with all connections closed.
        """
        return asyncio.run(self.ask_all(requests))

    async def ask_all(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        """Do what :meth:`ask_many` does, in a loop that runs already."""
        answers: list[Any] = [None] * len(requests)
        positions, key = iter(range(len(requests))), self._key()
        headers = {'Authorization': f'Bearer {key}'} if key else {}
        limits = httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        async with httpx2.AsyncClient(headers=headers, timeout=self.timeout, limits=limits) as client:
            hopeless: list[Problem] = []

            async def work() -> None:
                for position in positions:
                    request = requests[position]
                    try:
                        if hopeless:
                            raise hopeless[0]
                        answers[position] = await self._ask(client, request)
                    except Problem as problem:
                        hopeless.extend([problem] * problem.is_hopeless)
                        answers[position] = Failure(request.key, _one_line(problem.reason, key), problem.again)

            workers = [asyncio.create_task(work()) for _ in range(min(self.concurrency, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return answers

    # -- one question --------------------------------------------------------------------------------------------------

    async def _ask(self, client: httpx2.AsyncClient, request: ChatRequest) -> ChatAnswer:
        """Ask until the answer is usable."""
        content: Any = request.prompt
        if request.image is not None:
            try:
                url = await asyncio.to_thread(image_data_url, request.image, self.image_side)
            except ValueError as error:
                raise Problem(str(error)) from error
            picture = dict(type='image_url', image_url=dict(url=url))
            content = [picture, dict(type='text', text=request.prompt)]
        messages = [dict(role='user', content=content)]
        body = self._body | dict(messages=messages)
        if self.seed is not None:
            body['seed'] = zlib.crc32(f'{self.seed} {request.key}'.encode())
        read = written = 0
        for asked in count():
            reply = await self._send(client, body)
            read, written = read + reply.prompt_tokens, written + reply.completion_tokens
            try:
                if reply.was_cut:
                    raise ValueError(f'it was cut off after {reply.completion_tokens} tokens, so be shorter')
                value = request.check(reply.text) if request.check else reply.text
                return ChatAnswer(request.key, reply.text, value, reply.model, read, written, self._cost(read, written))
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                if asked == self.reasks:
                    raise Problem(f'no usable answer after {asked + 1} questions: {error}', again=True) from error
                messages += [
                    dict(role='assistant', content=reply.text[:4000]),
                    dict(role='user', content=f'This cannot be used: {error}. Answer again in the form asked for.'),
                ]
        raise AssertionError('unreachable')

    async def _send(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> Reply:
        """Send one question until there is a reply to it."""
        for number in range(self.tries):
            await self._wait_for_turn()
            self.usage.requests += 1
            try:
                response = await asyncio.wait_for(client.post(self.url, json=body), self.total_timeout)
                return self._counted(read_reply(response, self.model))
            except (asyncio.TimeoutError, httpx2.TimeoutException) as error:
                problem = Problem(f'no answer in time ({type(error).__name__})', again=True)
            except httpx2.RequestError as error:
                problem = Problem(f'the connection failed ({type(error).__name__}: {error})', again=True)
            except Problem as error:
                problem = error
            except ValueError as error:  # half a character that no encoding has
                raise Problem(f'the question cannot be sent ({error})') from error
            hold = problem.retry_after or 0.0
            if not problem.again or hold > self.longest_wait:
                raise problem
            self._held_until = max(self._held_until, self._clock() + hold)
            if number + 1 < self.tries:
                limit = min(self.longest_wait, self.first_wait * 2**number)
                await self._sleep(hold + random.uniform(0, limit))
        raise Problem(f'{problem.reason}; sent {self.tries} times', again=True)

    async def _wait_for_turn(self) -> None:
        """Keep to the rate, and to what the server asked of any request."""
        now = self._clock()
        start = max(now, self._next_start, self._held_until)
        self._next_start = start + self._interval
        if start > now:
            await self._sleep(start - now)

    def _counted(self, reply: Reply) -> Reply:
        self.usage.uncounted += not reply.prompt_tokens + reply.completion_tokens
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.completion_tokens += reply.completion_tokens
        self.usage.cost += self._cost(reply.prompt_tokens, reply.completion_tokens)
        if reply.text:
            return reply
        raise Problem(f'the endpoint gave no text (finish_reason {reply.finish_reason!r})')

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prices[0] + completion_tokens * self.prices[1]) / 1e6

    def _key(self) -> str:
        """The key, or an empty text; errors never show what was given."""
        if self.key_variable is None:
            return ''
        if not _KEY_NAME.fullmatch(self.key_variable):
            raise UserError(
                'endpoint: key_variable must be the name of an environment variable in capitals, such as '
                'OPENAI_API_KEY, and not the key itself (what was given is not shown)'
            )
        key = os.environ.get(self.key_variable, '').strip()
        if not key:
            raise UserError(f'endpoint: the environment variable {self.key_variable} is not set; put the API key there')
        if not re.fullmatch(r'[!-~]+', key):
            raise UserError(f'endpoint: the API key in {self.key_variable} has characters that no key has')
        return key


def parse_json(text: str) -> Any:
    """Return the JSON of an answer, with or without a Markdown fence around it.

    Raises:
        ValueError: it is none; the message is fit to be given back to the endpoint.
    """
    fenced = re.fullmatch(r'\s*```\w*\s*\n(.*?)\n?\s*```\s*', text, re.DOTALL)
    try:
        return json.loads(fenced[1] if fenced else text)
    except RecursionError as error:
        raise ValueError('it is JSON that is nested too deeply') from error
    except ValueError as error:
        raise ValueError(f'it is not JSON ({error})') from error


# -- texts that hold no secret ------------------------------------------------------------------------------


def _one_line(text: str, key: str) -> str:
    text = ' '.join((text.replace(key, '[key]') if key else text).split())
    return text if len(text) <= _LONGEST_QUOTE else f'{text[:_LONGEST_QUOTE]} ...'


def _checked_url(url: str) -> str:
    """The address of the completions, or UserError, which shows no part of an address that may hold a secret."""
    try:
        parts = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        parts = httpx2.URL()
    if parts.scheme not in ('http', 'https') or not parts.host:
        raise UserError('endpoint: url must be an http or https address, such as http://127.0.0.1:8000/v1')
    if parts.userinfo or parts.query or parts.fragment:
        raise UserError(
            'endpoint: url must have no credentials and no query (what was given is not shown); '
            'put the API key in an environment variable and name that as key_variable'
        )
    address = str(parts).rstrip('/')
    return address if address.endswith('/chat/completions') else f'{address}/chat/completions'
