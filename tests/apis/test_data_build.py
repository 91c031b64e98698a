"""A folder of images to training data: the embedded chain, the same bytes, configs, what a user gets wrong."""

import fcntl
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgdet.apis.data_build import STAGES, Build, BuildPlan
from fgdet.apis.data_samples import Samples
from fgdet.apis.data_verify import verify
from fgdet.utils.checks import UserError

NAMES = ('dog', 'cat', 'cup')


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder of six noisy pictures, and annotations: two boxes in each but the last."""
    folder = tmp_path_factory.mktemp('data')
    (folder / 'images').mkdir()
    images, boxes = [], []
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((160, 120), Image.Resampling.NEAREST).save(folder / f'images/p{i}.jpg')
        images.append(dict(id=i, file_name=f'p{i}.jpg', width=160, height=120, license=1))
        if i < 5:
            boxes.append(dict(image_id=i, category_id=i % 3, bbox=[5, 10, 50, 60]))
            boxes.append(dict(image_id=i, category_id=(i + 1) % 3, bbox=[90, 20 + i, 50, 70]))
    content = dict(
        images=images, annotations=boxes, licenses=[dict(id=1, name='CC BY')],
        categories=[dict(id=i, name=name) for i, name in enumerate(NAMES)],
    )  # fmt: skip
    (folder / 'ann.json').write_text(json.dumps(content))
    return str(folder / 'images'), str(folder / 'ann.json')


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def config(folder: Path, text: str) -> str:
    path = folder / 'config.py'
    path.write_text(text)
    return str(path)


def test_build__embedded_chain_same_bytes_whatever_the_processes(tmp_path: Path, data: tuple[str, str]) -> None:
    images, annotations = data
    manifest = Build(images, tmp_path / 'a', BuildPlan(annotations)).run()
    found = verify(Samples(str(tmp_path / 'a')))
    assert (found.usable, found.num_errors) == (5, 0)
    assert manifest['counts']['records'] == 5 and manifest['counts']['regions'] >= 5
    assert manifest['counts']['negatives'] > 0 and manifest['licence'] == dict(of_images={'CC BY': 6})
    assert str(tmp_path) not in (tmp_path / 'a/manifest.json').read_text()
    Build(images, tmp_path / 'b', BuildPlan(annotations, workers=1)).run()
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    again = Build(images, tmp_path / 'a', BuildPlan(annotations)).run()
    assert all(stage['records'] == stage['before'] for stage in again['stages_run'])
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_build__config_limit_stages_todo_and_retry(tmp_path: Path, data: tuple[str, str]) -> None:
    said, parts = list[str](), list[str]()
    mended = tmp_path / 'mended'
    text = f"""
stages = [
    dict(type='tests.data_engine.fake_stages:Say', fail=['p01', 'p1'], mended={str(mended)!r}),
    dict(type='tests.data_engine.fake_stages:Box'),
]
write = dict(shard_samples=2, prefix='mine')
licence = dict(images='CC0')
"""
    plan = BuildPlan(config=config(tmp_path, text), limit=4)

    def build(**changes: Any) -> Build:
        on_progress = lambda name, done, line: parts.append(name)  # noqa: E731
        return Build(data[0], tmp_path / 'out', plan._replace(**changes), on_progress, said.append)

    assert build().todo() == dict(images=4, say=4, box=4) and not (tmp_path / 'out').exists()
    manifest = build().run()
    assert manifest['counts']['records'] == 3 and manifest['counts']['failed'] == dict(say=1)
    assert manifest['licence'] == dict(images='CC0') and list(dict.fromkeys(parts)) == build().parts
    assert {'mine-000000.tar', 'mine-000001.tar'} < set(contents(tmp_path / 'out'))
    mended.touch()
    assert build(limit=None).run()['counts']['records'] == 5
    manifest = build(retry_failed=True, limit=None).run()
    assert (
        manifest['counts']['records'] == 6 and manifest['counts']['regions'] == 6 and not manifest['counts']['failed']
    )
    assert build(stages=['say']).run()['counts']['regions'] == 0
    with pytest.raises(UserError, match='stages blur: no such stage; choose from say, box'):
        build(stages=['say', 'blur'])


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('x = 1', r'expected stages = \[dict'),
        ("stages = [dict(type='Nothing')]", 'stage Nothing: no such type; choose from AnnotationCaptioner'),
        ("stages = [dict(type='nothing:Nothing')]", 'cannot be imported'),
        ("stages = [dict(type='LexiconNegatives', colour=1)]", 'LexiconNegatives: .*colour'),
        ('stages = []\nwrite = dict(size=1)', 'write has size; choose from prefix'),
        ("stages = []\nwrite = dict(prefix='a/b')", "write.prefix 'a/b'"),
    ],
)
def test_build__wrong_config(tmp_path: Path, data: tuple[str, str], text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        Build(data[0], tmp_path / 'out', BuildPlan(config=config(tmp_path, text)))


def test_build__one_at_a_time_in_a_folder(tmp_path: Path, data: tuple[str, str]) -> None:
    (tmp_path / 'stages').mkdir()
    with open(tmp_path / 'stages/.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match='another build is at work'):
            Build(data[0], tmp_path, BuildPlan(data[1])).run()


def test_build__full_disk_and_on_from_there(tmp_path: Path, data: tuple[str, str]) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            Build(data[0], tmp_path / 'a', BuildPlan(data[1])).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    Build(data[0], tmp_path / 'a', BuildPlan(data[1])).run()
    Build(data[0], tmp_path / 'b', BuildPlan(data[1])).run()
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_stages__names_are_their_classes() -> None:
    assert all(name == kind.__name__ and {'run', 'settings'} <= set(dir(kind)) for name, kind in STAGES.items())
