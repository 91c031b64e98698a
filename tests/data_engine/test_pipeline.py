"""Stages over records: order, processes that die, what is done again and what is not, the end at any moment."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fgdet.data_engine.image_listing import ReadImages, list_images
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.pipeline import Lost, Outcome, Pipeline
from fgdet.data_engine.stage_pool import StagePool
from fgdet.utils.checks import UserError
from tests.builders import ROOT, write_image
from tests.data_engine import fake_stages
from tests.data_engine.fake_stages import Box, Say, Twins

KEYS = [f'p{i:02d}' for i in range(10)]


def records(keys: list[str] = KEYS) -> list[ImageRecord]:
    return [ImageRecord(key, f'{key}.jpg', 20 + index, 10) for index, key in enumerate(keys)]


def run(folder: Path, stages: list[Any], given: list[ImageRecord] | None = None, **settings: Any) -> Outcome:
    return Pipeline(stages, folder, **settings).run(records() if given is None else given)


def worked(log: Path) -> dict[str, int]:
    """How often each record was worked on, since the last look."""
    found = {path.name.removeprefix('say-'): path.stat().st_size for path in sorted(log.iterdir())}
    for path in log.iterdir():
        path.unlink()
    return found


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_pipeline__order_failures_and_drops_whatever_the_processes(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('FAKE_API_KEY', 'sk-12345678')
    given = records()
    given[8].width = given[2].width
    stages = [Say(fail=['p01']), Twins(), Box(broken=['p04'], drop=['p05'])]
    outcome = run(tmp_path, stages, given, workers=workers)
    assert [r.key for r in outcome.records] == [k for k in KEYS if k not in {'p01', 'p04', 'p05', 'p08'}]
    assert [r.caption for r in outcome.records][:2] == ['A photograph p00.', 'A photograph p02.']
    assert outcome.lost == [
        Lost('p01', 'p01.jpg', 'say', 'no answer', again=True),
        Lost('p04', 'p04.jpg', 'box', 'RuntimeError: cannot box p04 with the key $FAKE_API_KEY', again=True),
        Lost('p05', 'p05.jpg', 'box', 'small: 3', dropped=True),
        Lost('p08', 'p08.jpg', 'twins', 'twin: p02', dropped=True),
    ]
    counts = [(c.name, c.records, c.before, c.dropped, c.failed) for c in outcome.counts]
    assert counts == [('say', 10, 0, 0, 1), ('twins', 9, 0, 1, 0), ('box', 8, 0, 1, 1)]
    again = run(tmp_path, stages, given, workers=workers)
    assert list(again.records) == list(outcome.records) and again.lost == outcome.lost
    assert [c.before for c in again.counts] == [10, 9, 8]


def test_pipeline__a_worker_that_dies_takes_no_other_record_with_it(tmp_path: Path) -> None:
    outcome = run(tmp_path, [Say(die=['p03', 'p08'])], workers=2)
    assert [r.key for r in outcome.records] == [k for k in KEYS if k not in {'p03', 'p08'}]
    assert {(x.key, x.reason, x.again) for x in outcome.lost} == {
        (key, 'the process that worked on it died', True) for key in ('p03', 'p08')
    }


def test_pipeline__does_again_what_changed_and_nothing_else(tmp_path: Path) -> None:
    log, said = tmp_path / 'log', list[str]()
    log.mkdir()

    def again(given: list[ImageRecord] | None = None, text: str = 'A', **settings: Any) -> dict[str, int]:
        say = Say(text, fail=['p01'], log=str(log), mended=str(tmp_path / 'mended'))
        run(tmp_path / 'stages', [say, Say('B', name='other')], given, say=said.append, **settings)
        return worked(log)

    assert again() == dict.fromkeys(KEYS, 1)
    assert again() == {}
    changed = records()
    changed[2].annotations = [dict(bbox=[0, 0, 1, 1], name='cat')]
    assert again(changed) == dict(p02=1)
    assert again(records([*KEYS, 'p10'])) == dict(p02=1, p10=1)
    assert again(retry_failed=True) == dict(p01=1)
    (tmp_path / 'mended').touch()
    assert again() == {}
    assert again(retry_failed=True) == dict(p01=1)
    assert again(retry_failed=True) == {} and said == []
    assert again(text='C') == dict.fromkeys(KEYS, 1)
    assert said == ["say: done again, and after it other; changed: text 'A' -> 'C'"]
    assert again(text='A') == {}  # what was done with the first text is still there


def test_pipeline__todo_is_a_look_that_changes_nothing(tmp_path: Path) -> None:
    pipeline = Pipeline([Say(), Twins()], tmp_path / 'stages')
    assert pipeline.todo(records()) == dict(say=10, twins=10)
    assert not (tmp_path / 'stages').exists()
    pipeline.run(records()[:4])
    assert pipeline.todo(records()[:4]) == dict(say=0, twins=0)
    assert pipeline.todo(records()) == dict(say=6, twins=10)
    assert Pipeline([Say(), Twins(), Box()], tmp_path / 'stages').todo(records()[:4]) == dict(say=0, twins=0, box=4)


def test_pipeline__no_records(tmp_path: Path) -> None:
    outcome = run(tmp_path, [Say(), Twins()], [], workers=2)
    assert list(outcome.records) == [] and outcome.lost == []


def test_pipeline__what_a_stage_must_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="stage 'say': expected a name of its own"):
        Pipeline([Say(), Say()], tmp_path)
    with pytest.raises(UserError, match='its settings are not plain'):
        Pipeline([Say(text=b'')], tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr(Say, 'run', lambda self, given: list(given)[1:])
    with pytest.raises(UserError, match=r"say: its results \['p01', 'p02'\] are not those of its 3 records"):
        run(tmp_path / 'a', [Say()])
    monkeypatch.setattr(Twins, 'run_all', lambda self, given: list(given)[1:])
    with pytest.raises(UserError, match='twins: 1 of 10 records did not come back'):
        run(tmp_path / 'b', [Twins()])
    monkeypatch.setattr(Twins, 'run_all', lambda self, given: [given[0], given[0]])
    with pytest.raises(UserError, match='twins: it gave p00, which'):
        run(tmp_path / 'c', [Twins()])


def test_pool__a_stage_with_in_process_stays_here() -> None:
    stage = Box()
    stage.in_process = True  # type: ignore[attr-defined]
    stage.held = threading.Lock()  # type: ignore[attr-defined]  # what cannot be sent
    with StagePool([stage], 2) as pool:
        assert len(list(pool.run(0, [records()]))) == 1 and pool._executor is None


# -- the whole process ends ----------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('images')
    for index, key in enumerate(KEYS):
        write_image(folder / f'{key}.jpg', size=(20 + index % 8, 30), seed=index)
    return folder


def program(images: Path, out: Path, workers: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, fake_stages.__file__, str(images), str(out), str(workers), str(seconds)]
    return subprocess.Popen(command, env=os.environ | dict(PYTHONPATH=str(ROOT)), start_new_session=True)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def wait_for_start(process: subprocess.Popen[bytes], out: Path) -> None:
    """Until the first stage has kept something."""
    while not list(out.glob('stages/images-*/each/part-*')) and process.poll() is None:
        time.sleep(0.01)


def assert_all_end(process: subprocess.Popen[bytes]) -> None:
    """No worker outlives the program by more than a few seconds."""
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


@pytest.fixture(scope='module')
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The files of a whole run, and the seconds that it worked."""
    out = tmp_path_factory.mktemp('whole') / 'out'
    process = program(images, out, 0, 0.02)
    wait_for_start(process, out)
    start = time.monotonic()
    assert process.wait() == 0
    return contents(out), time.monotonic() - start


def kill_and_go_on(images: Path, out: Path, workers: int, moment: float) -> bool:
    """Kill a run so many seconds after it began to work, and finish it; whether it was still running."""
    first = program(images, out, workers, 0.02)
    wait_for_start(first, out)
    try:
        first.wait(moment)
    except subprocess.TimeoutExpired:
        first.kill()
    killed = first.wait() != 0
    assert_all_end(first)
    assert program(images, out, workers, 0.0).wait() == 0
    return killed


@pytest.mark.parametrize('workers', [0, 2])
def test_pipeline__killed(
    images: Path, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path, workers: int
) -> None:
    files, seconds = undisturbed
    assert {'records.jsonl', 'failures.jsonl', 'dropped.jsonl', 'manifest.json'} < set(files)
    assert kill_and_go_on(images, tmp_path / 'out', workers, 0.4 * seconds)
    assert contents(tmp_path / 'out') == files


@pytest.mark.slow
def test_pipeline__killed_at_ten_moments(
    images: Path, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    files, seconds = undisturbed
    rng = random.Random(0)
    killed = 0
    for turn in range(10):
        out = tmp_path / str(turn)
        killed += kill_and_go_on(images, out, turn % 3, rng.uniform(0.0, 1.0) * seconds)
        assert contents(out) == files
    assert killed >= 5


def test_pipeline__interrupted_with_slow_workers(images: Path, tmp_path: Path) -> None:
    process = program(images, tmp_path / 'out', 2, 30.0)
    stage = tmp_path / 'out/stages'
    while not list(stage.glob('say-*')) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(15) != 0
    assert_all_end(process)


def test_pipeline__read_images_joins_in(images: Path, tmp_path: Path) -> None:
    listing = list_images(images, limit=3)
    outcome = run(tmp_path, [ReadImages(images)], listing.records)
    assert [(r.key, r.width, r.height) for r in outcome.records] == [(f'p0{i}', 20 + i, 30) for i in range(3)]
