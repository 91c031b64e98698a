"""The demo as a whole, with a few steps of each part."""

import json

import pytest

from fgdet.apis.demo import FULL, _pretraining_stages, run_demo
from fgdet.cli.demo import SHARES
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.utils.checks import UserError


def test_pretraining_stages__no_scene_comes_twice(tmp_path):
    stages = _pretraining_stages(tmp_path, FULL, seed=0)
    starts = [stage.options['train_dataloader.dataset.start'] for stage in stages]
    ends = [start + 48 * stage.iterations for start, stage in zip(starts, stages, strict=True)]
    assert starts == [0, *ends[:-1]]


def test_run_demo__deletes_nothing_that_no_demo_has_made(tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'mine.txt').write_text('dear')
    with pytest.raises(UserError, match='data is there, and no demo has made it'):
        run_demo(tmp_path, True, lambda part, done, line: None)
    assert (tmp_path / 'data' / 'mine.txt').read_text() == 'dear'
    with pytest.raises(UserError, match='comma'):
        run_demo(tmp_path / 'a,b', True, lambda part, done, line: None)


@pytest.mark.slow
def test_run_demo__quick(tmp_path):
    seen = {}
    metrics = run_demo(tmp_path / 'demo', True, lambda part, done, line: seen.__setitem__(part, done))
    assert list(seen) == list(SHARES)
    assert set(seen.values()) == {1.0}
    written = json.loads((tmp_path / 'demo' / 'metrics.json').read_text())
    assert written == json.loads(json.dumps(metrics))
    assert set(written['pretrain']) == {'region_top1', 'hard_negative_top1', 'retrieval_r1'}
    # A few steps teach a little: several times what guessing among the names, and among 11 phrases, would give.
    assert written['pretrain']['region_top1'] > 4 / len(ShapesWorld().names)
    assert written['pretrain']['retrieval_r1'] > 4 / 60
    assert all(0 <= written['detect'][f'ap50_{name}'] <= 1 for name in ('base', 'novel', 'all'))
    page = (tmp_path / 'demo' / 'report.html').read_text()
    assert page.count('data:image/png;base64,') == 6 + 3 + 4
    assert len(list((tmp_path / 'demo').glob('*.png'))) == 6 + 3
    training = json.loads((tmp_path / 'demo' / 'data' / 'annotations' / 'train.json').read_text())
    names = {category['id']: category['name'] for category in training['categories']}
    novel = set(ShapesWorld().novel_names)
    assert not any(names[annotation['category_id']] in novel for annotation in training['annotations'])
