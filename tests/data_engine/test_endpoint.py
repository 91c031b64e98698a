"""The chat client against a server that misbehaves: nothing lost, nothing doubled, no key anywhere."""

import asyncio
import base64
import io
import json
import logging
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgdet.data_engine.endpoint import ChatAnswer, ChatEndpoint, ChatRequest, parse_json
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError
from tests.data_engine.endpoint_server import Reply, completion, prompt_of, serve

KEY = 'sk-Secret0123456789'


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv('NO_PROXY', '*')
    monkeypatch.setenv('no_proxy', '*')


def endpoint_of(server: Any, time: FakeTime | None = None, **settings: Any) -> ChatEndpoint:
    time = time or FakeTime()
    return ChatEndpoint(server.url, 'm', clock=time.clock, sleep=time.sleep, **settings)


def echo(number: int, body: dict[str, Any]) -> Reply:
    return completion(f'answer to {prompt_of(body)}')


def questions(number: int, **fields: Any) -> list[ChatRequest]:
    return [ChatRequest(str(i), f'question {i}', **fields) for i in range(number)]


def test_ask_many__keeps_the_order_whatever_the_order_of_the_answers():
    second = threading.Event()

    def behave(number: int, body: dict[str, Any]) -> Reply:
        reply = echo(number, body)
        if prompt_of(body).endswith(' 0'):
            reply.wait_for = second  # the first question is answered last
        elif prompt_of(body).endswith(' 19'):
            second.set()
        return reply

    with serve(behave) as server:
        answers = endpoint_of(server, concurrency=3).ask_many(questions(20))
        assert [a.key for a in answers] == [str(i) for i in range(20)]
        assert [a.text for a in answers] == [f'answer to question {i}' for i in range(20)]
        assert sorted(server.prompts()) == sorted(f'question {i}' for i in range(20))
        assert server.most_at_once <= 3
        assert endpoint_of(server).ask_many([]) == []


def test_ask_many__loses_and_doubles_nothing_under_every_kind_of_trouble():
    slow = threading.Event()
    troubles = [
        Reply(429, 'slow down', {'Retry-After': '2'}),
        Reply(429, 'slow down'),
        Reply(500, '<html>oops</html>'),
        Reply(503, '', {'Retry-After': 'Wed, 21 Oct 2026 07:28:09 GMT', 'Date': 'Wed, 21 Oct 2026 07:28:00 GMT'}),
        Reply(200, '{"choices": [{"mess'),
        Reply(200, {'choices': []}),
        Reply(200, completion('cut').body, cut=True),
        Reply(200, completion('late').body, wait_for=slow),
    ]
    met: dict[str, int] = {}
    lock = threading.Lock()

    def behave(number: int, body: dict[str, Any]) -> Reply:
        prompt = prompt_of(body)
        with lock:
            met[prompt] = met.get(prompt, 0) + 1
            if met[prompt] == 1:
                return troubles[int(prompt.split()[-1]) % len(troubles)]
        return echo(number, body)

    with serve(behave) as server:
        endpoint = endpoint_of(server, read_timeout=0.15, prompt_price=2.0, completion_price=10.0)
        answers = endpoint.ask_many(questions(24))
    assert [a.text for a in answers] == [f'answer to question {i}' for i in range(24)]
    assert set(met.values()) == {2}
    assert endpoint.usage.requests == 48
    assert endpoint.usage.prompt_tokens == 2400 and endpoint.usage.completion_tokens == 240
    assert endpoint.usage.cost == pytest.approx((2400 * 2 + 240 * 10) / 1e6)
    assert answers[0].cost == pytest.approx(0.0003)


@pytest.mark.parametrize('value, least', [('7', 7.0), ('Wed, 21 Oct 2026 07:28:09 GMT', 9.0)])
def test_retry_after__holds_back_every_request(value, least):
    def behave(number: int, body: dict[str, Any]) -> Reply:
        headers = {'Retry-After': value, 'Date': 'Wed, 21 Oct 2026 07:28:00 GMT'}
        return Reply(429, 'no', headers) if number == 0 else echo(number, body)

    time = FakeTime()
    with serve(behave) as server:
        answers = endpoint_of(server, time, concurrency=1).ask_many(questions(2))
    assert all(isinstance(a, ChatAnswer) for a in answers)
    assert len(time.slept) == 1 and least <= time.slept[0] <= least + 1


def test_retry_after__is_a_failure_where_it_is_longer_than_allowed():
    with serve(lambda number, body: Reply(429, 'quota', {'Retry-After': '3600'})) as server:
        [failure] = endpoint_of(server).ask_many(questions(1))
        assert failure == Failure('0', 'the endpoint answers 429: quota', again=True)
        assert len(server.bodies) == 1


def test_ask_many__gives_up_after_its_tries_with_growing_random_waits():
    time = FakeTime()
    with serve(lambda number, body: Reply(500, 'broken')) as server:
        [failure] = endpoint_of(server, time, tries=9, longest_wait=20.0).ask_many(questions(1))
        assert len(server.bodies) == 9
    assert failure == Failure('0', 'the endpoint answers 500: broken; sent 9 times', again=True)
    assert len(time.slept) == 8
    assert all(0 <= wait <= min(20.0, 2.0**i) for i, wait in enumerate(time.slept))
    assert len(set(time.slept)) == 8


def test_ask_many__says_in_one_line_that_nobody_listens():
    with serve(echo) as server:
        url = server.url
    time = FakeTime()
    [failure] = ChatEndpoint(url, 'm', tries=2, clock=time.clock, sleep=time.sleep).ask_many(questions(1))
    assert failure.again and failure.reason.startswith('the connection failed (ConnectError')
    assert '\n' not in failure.reason


@pytest.mark.parametrize('status, says', [(400, 'bad image'), (403, 'not yours'), (302, 'another address')])
def test_final_answers__are_not_asked_again(status, says):
    def behave(number: int, body: dict[str, Any]) -> Reply:
        wrong = prompt_of(body).endswith(' 1')
        return Reply(status, f'bad image\nnot yours {"x" * 999}', {'Location': '/x'}) if wrong else echo(number, body)

    with serve(behave) as server:
        answers = endpoint_of(server).ask_many(questions(3))
        assert len(server.bodies) == 3
    assert isinstance(answers[0], ChatAnswer) and isinstance(answers[2], ChatAnswer)
    assert isinstance(answers[1], Failure) and not answers[1].again
    assert str(status) in answers[1].reason and says in answers[1].reason
    assert '\n' not in answers[1].reason and len(answers[1].reason) < 250


@pytest.mark.parametrize('status', [401, 404])
def test_a_wrong_key_or_model__stops_all(status):
    with serve(lambda number, body: Reply(status, 'wrong key sk-Sec***789')) as server:
        answers = endpoint_of(server, concurrency=2).ask_many(questions(50))
        assert len(server.bodies) <= 2
    assert [a.key for a in answers] == [str(i) for i in range(50)]
    assert {a.reason for a in answers} == {answers[0].reason} and str(status) in answers[0].reason
    assert 'sk-' not in answers[0].reason


def test_rate_limit__spreads_the_requests():
    time = FakeTime()
    with serve(echo) as server:
        endpoint_of(server, time, concurrency=1, requests_per_minute=30).ask_many(questions(4))
    assert time.slept == [2.0, 2.0, 2.0]


def ten(text: str) -> list[str]:
    content = parse_json(text)
    if not isinstance(content, list) or len(content) != 10:
        raise ValueError(f'expected 10 texts, got {len(content)}')
    return content


def test_check__gives_the_fault_back_and_takes_a_later_answer():
    answers = ['Sure! Here you are', '["a", "b"]', '```json\n' + json.dumps(list('abcdefghij')) + '\n```']
    with serve(lambda number, body: completion(answers[number])) as server:
        [answer] = endpoint_of(server).ask_many([ChatRequest('k', 'give ten', check=ten)])
        last = server.bodies[-1]['messages']
    assert answer.value == list('abcdefghij')
    assert (answer.prompt_tokens, answer.completion_tokens) == (300, 30)
    assert [m['role'] for m in last] == ['user', 'assistant', 'user', 'assistant', 'user']
    assert 'it is not JSON' in last[2]['content'] and 'expected 10 texts, got 2' in last[4]['content']
    assert last[3]['content'] == '["a", "b"]'


def test_check__gives_up_after_its_questions():
    with serve(lambda number, body: completion('5')) as server:
        [failure] = endpoint_of(server, reasks=1).ask_many([ChatRequest('k', 'give ten', check=ten)])
        assert len(server.bodies) == 2
    assert failure.again and failure.reason.startswith('no usable answer after 2 questions')


def test_ask_many__takes_no_cut_and_no_empty_answer():
    replies = [completion('A long', finish='length'), completion('Short.'), completion(None, finish='content_filter')]
    with serve(lambda number, body: replies[number]) as server:
        answers = endpoint_of(server, concurrency=1).ask_many(questions(2))
        assert 'cut off' in server.prompts()[1]
    assert answers[0].text == 'Short.'
    assert answers[1] == Failure('1', "the endpoint gave no text (finish_reason 'content_filter')")


def test_image__travels_upright_and_small(tmp_path: Path):
    image = Image.new('RGB', (600, 300), 'red')
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / 'a.jpg', exif=exif)
    (tmp_path / 'b.jpg').write_bytes(b'no image')
    requests = [ChatRequest(name, 'what?', tmp_path / f'{name}.jpg') for name in 'abc']
    with serve(echo) as server:
        answers = endpoint_of(server, image_side=200).ask_many(requests)
        [body] = server.bodies
    assert answers[0].text == 'answer to what?'
    assert 'b.jpg cannot be read' in answers[1].reason and 'c.jpg does not exist' in answers[2].reason
    url = body['messages'][0]['content'][0]['image_url']['url']
    assert url.startswith('data:image/jpeg;base64,')
    with Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2]))) as sent:
        assert sent.size == (100, 200)


def test_ask_many__takes_a_text_that_cannot_be_encoded():
    with serve(echo) as server:
        answers = endpoint_of(server).ask_many([ChatRequest('a', 'half \ud800'), ChatRequest('b', 'Grüße 狗')])
    assert isinstance(answers[0], Failure) and 'cannot be sent' in answers[0].reason
    assert answers[1].text == 'answer to Grüße 狗'


def test_key__is_sent_and_is_nowhere_else(monkeypatch, caplog):
    monkeypatch.setenv('OPENAI_API_KEY', f'{KEY}\n')
    caplog.set_level(logging.DEBUG)
    replies = [Reply(400, f'Bearer {KEY} is bad'), Reply(429, KEY), completion('fine'), Reply(200, KEY, cut=True)]

    def behave(number: int, body: dict[str, Any]) -> Reply:
        return replies[number] if number < len(replies) else Reply(401, KEY)

    with serve(behave) as server:
        endpoint = endpoint_of(server, key_variable='OPENAI_API_KEY', concurrency=1, seed=3)
        answers = endpoint.ask_many(questions(4))
        assert set(server.authorizations) == {f'Bearer {KEY}'}
        assert KEY not in json.dumps(server.bodies)
    assert [type(a) for a in answers] == [Failure, ChatAnswer, Failure, Failure]
    seen = f'{answers} {endpoint!r} {endpoint.settings()} {vars(endpoint)} {caplog.text}'
    assert KEY not in seen and 'Bearer [key] is bad' in answers[0].reason
    monkeypatch.setattr(endpoint, '_clock', None)
    monkeypatch.setattr(endpoint, '_sleep', None)
    assert KEY.encode() not in pickle.dumps(endpoint)


@pytest.mark.parametrize(
    'settings, says',
    [
        (dict(url='https://me:hunter2@host/v1'), 'no credentials'),
        (dict(url='https://host/v1?api_key=hunter2'), 'no credentials and no query'),
        (dict(url='ftp://host/hunter2'), 'http or https'),
        (dict(url='hunter2'), 'http or https'),
        (dict(key_variable='sk-hunter2'), 'name of an environment variable'),
        (dict(key_variable='hunter2'), 'name of an environment variable'),
        (dict(key_variable='FGDET_UNSET'), 'FGDET_UNSET is not set'),
        (dict(key_variable='FGDET_BAD'), 'characters that no key has'),
        (dict(concurrency=0), 'concurrency must be at least 1, got 0'),
        (dict(tries=0), 'tries must be at least 1'),
        (dict(requests_per_minute=0), 'requests_per_minute must be above 0'),
        (dict(extra={'messages': []}), 'extra may not hold messages'),
    ],
)
def test_settings__are_refused_without_showing_a_secret(settings, says, monkeypatch):
    monkeypatch.setenv('FGDET_BAD', 'hunter2\r\nX: y')
    with pytest.raises(UserError) as error:
        ChatEndpoint(**(dict(url='http://host/v1', model='m') | settings))
    assert says in str(error.value) and 'hunter2' not in str(error.value)


def test_ctrl_c__ends_at_once_and_leaves_nothing_running():
    never = threading.Event()

    def behave(number: int, body: dict[str, Any]) -> Reply:
        if number == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return Reply(body='', wait_for=never)

    with serve(behave) as server:
        with pytest.raises(KeyboardInterrupt):
            endpoint_of(server).ask_many(questions(20))
        assert len(server.bodies) <= 8


def test_request_seed__follows_the_key_alone():
    with serve(echo) as server:
        endpoint_of(server, seed=1, concurrency=1).ask_many(questions(2))
        endpoint_of(server, seed=1, concurrency=1).ask_many(questions(2)[::-1])
        seeds = [body['seed'] for body in server.bodies]
    assert seeds == [seeds[0], seeds[1], seeds[1], seeds[0]] and seeds[0] != seeds[1]
