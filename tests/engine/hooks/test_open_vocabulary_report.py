"""Base, novel and zero-shot together, before and after fine-tuning."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from fgdet.apis import training
from fgdet.datasets.shapes_world import ShapesWorld, write_coco
from fgdet.engine.hooks.open_vocabulary_report import OpenVocabularyReportHook, score_of, table
from fgdet.utils.checks import UserError
from tests.detector_builders import CONFIGS, detector_config


def own_config(tmp_path: Path) -> Config:
    """The shipped recipe on a few scenes, with a detector of milliseconds a step."""
    world = ShapesWorld()
    for part, indices in (('train', range(4)), ('val', range(4, 6))):
        write_coco(world, indices, tmp_path / part, tmp_path / f'annotations/{part}.json')
    config = Config.fromfile(CONFIGS / 'finetune/own_shapes_tiny.py')
    model = detector_config().model
    model.class_embeddings.cache_dir = None
    model.vocabulary = config.model.vocabulary
    config.model, config.load_from = model, None
    config.work_dir = str(tmp_path / 'run')
    zero_shot = config.custom_hooks[1].zero_shot
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader, zero_shot.dataloader):
        loader.dataset.data_root = str(tmp_path)
    for evaluator in (config.val_evaluator, config.test_evaluator, zero_shot.evaluator):
        evaluator.ann_file = str(tmp_path / 'annotations/val.json')
    config.train_dataloader.update(batch_size=2)
    config.train_cfg.update(max_iters=2, val_interval=1)
    config.param_scheduler = []
    config.default_hooks.checkpoint.update(interval=2, save_best='zero_shot', rule='greater')
    return config


def test_report__of_every_validation_and_test(tmp_path: Path) -> None:
    config = own_config(tmp_path)
    result = training.train(config)
    reports = json.loads((tmp_path / 'run/open_vocabulary.json').read_text())
    assert [report['iteration'] for report in reports] == [0, 1, 2]
    assert all({'base', 'novel', 'zero_shot'} < report.keys() for report in reports)
    assert all(0 <= report['zero_shot'] <= 1 for report in reports)
    (log,) = (tmp_path / 'run').rglob('*.log')
    text = log.read_text()
    assert text.count('open vocabulary') == 3
    assert list((tmp_path / 'run').glob('best_zero_shot_iter_*.pth'))
    scores = training.test(config, result['checkpoint'])
    assert scores['zero_shot'] == pytest.approx(reports[-1]['zero_shot'], abs=1e-6)


def test_table__percent_and_what_changed() -> None:
    nan = float('nan')
    rows = table(dict(base=0.1, novel=0.5, zero_shot=0.25), dict(base=0.8, novel=nan, zero_shot=0.2)).splitlines()[1:]
    assert [row.split() for row in rows] == [
        ['open', 'vocabulary', 'before', 'now', 'change'],
        ['base', '10.0', '80.0', '+70.0'],
        ['novel', '-', '-', '-'],
        ['zero-shot', '25.0', '20.0', '-5.0'],
    ]


def test_refuses__what_has_no_score() -> None:
    with pytest.raises(UserError, match="zero_shot: it has no 'score'"):
        OpenVocabularyReportHook(dict(dataloader={}, evaluator={}))
    with pytest.raises(UserError, match=r"zero_shot\.score: no score is named 'AP5'; there are AP, AP50"):
        score_of(dict(AP=0.1, AP50=0.2), 'AP5', 'zero_shot.score')
