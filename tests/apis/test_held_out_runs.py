"""Pretraining runs that are scored on held-out data, keep their best, and fine-tune through low-rank adapters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from fgdet.apis.pretraining import evaluate_alignment
from fgdet.apis.training import test as score
from fgdet.apis.training import train
from fgdet.datasets.shapes_world import ShapesWorld, write_records
from fgdet.models.fg_clip import FGCLIP
from tests.builders import ROOT

STAGE2 = ROOT / 'configs/pretrain/tiny_stage2_held_out.py'
LORA = ROOT / 'configs/pretrain/tiny_finetune_lora.py'
START, SCENES = 10_000_000, 7
#: A model and a run of seconds; the last batch of the held-out scenes is not full.
SMALL = {
    'model.clip.vision': dict(width=32, num_layers=2, num_heads=2, mlp_width=32, output_dim=16, patch_size=16),
    'model.clip.text': dict(width=32, num_layers=1, num_heads=2, mlp_width=32, output_dim=16),
    'train_dataloader.batch_size': 3,
    'train_cfg': dict(max_iters=4, val_interval=2),
    'val_dataloader': dict(batch_size=3, dataset=dict(num_scenes=SCENES)),
    'test_dataloader': dict(batch_size=3, dataset=dict(num_scenes=SCENES)),
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.logger.interval': 1,
}


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


def run(name: str, config: Path = STAGE2, resume: str | None = None, **changes: Any) -> Path:
    """Train into the folder ``name``; double underscores in the names of ``changes`` are dots. Gives the checkpoint."""
    options = SMALL | {key.replace('__', '.'): value for key, value in changes.items()}
    return Path(train(config, work_dir=name, cfg_options=options, resume=resume)['checkpoint'])


def logged(folder: str, name: str) -> dict[int, float]:
    """A logged number by step."""
    (file,) = Path(folder).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line['step']: line[name] for line in lines if name in line}


def test_run__best_of_any_score_is_kept_and_scores_the_same_again(tmp_path: Path) -> None:
    name = 'retrieval/mean_r1'
    run('out', default_hooks__checkpoint__save_best=name)
    history = logged('out', name)
    assert history.keys() == {2, 4}
    best = max(history, key=lambda step: (history[step], -step))
    checkpoint = Path(f'out/best_retrieval_mean_r1_iter_{best}.pth')
    assert [checkpoint] == list(Path('out').glob('best_*'))

    scores = score(STAGE2, checkpoint, work_dir='test', cfg_options=SMALL)
    expected = {key: logged('out', key)[best] for key in scores if '/' in key}
    assert len(expected) == 16
    assert scores == pytest.approx(expected)

    world = ShapesWorld()
    scenes = [world.scene(START + i) for i in range(SCENES)]
    alignment = evaluate_alignment(
        FGCLIP.from_pretrained(checkpoint),
        images=[scene.image for scene in scenes],
        captions=[scene.caption for scene in scenes],
        boxes=[np.stack([item.bbox_xyxy for item in scene.objects]) for scene in scenes],
        phrases=[[item.name for item in scene.objects] for scene in scenes],
        negatives=[[item.negatives for item in scene.objects] for scene in scenes],
        class_names=world.names,
    )
    assert alignment['region_top1'] == pytest.approx(scores['region/top1'])
    assert alignment['hard_negative_top1'] == pytest.approx(scores['hard_negative/top1'])
    both = (scores['retrieval/long_i2t_r1'] + scores['retrieval/long_t2i_r1']) / 2
    assert alignment['retrieval_r1'] == pytest.approx(both)

    records = write_records(world, range(START, START + SCENES), tmp_path / 'images', tmp_path / 'records.jsonl')
    config = Path('records.py')
    pipeline = [
        dict(type='fgdet.LoadRegionTextImage'),
        dict(type='fgdet.ResizeRegionTextImage', size_hw=(96, 96)),
        dict(type='fgdet.TokenizeRegionText', max_regions=8, long_share=0),
        dict(type='fgdet.PackRegionTextInputs'),
    ]
    places = dict(records=str(records), image_root=str(tmp_path / 'images'))
    dataset = dict(_delete_=True, type='fgdet.RegionTextDataset', **places, pipeline=pipeline)
    hook = dict(type='fgdet.ClassTextsHook', names=world.names)  # records have no classes of their own
    config.write_text(
        f'_base_ = [{str(STAGE2)!r}]\ntest_dataloader = dict(batch_size=4, dataset={dataset!r})\n'
        f'custom_hooks = [{hook!r}]\n'
    )
    options = {key: value for key, value in SMALL.items() if key != 'test_dataloader'}
    assert score(config, checkpoint, work_dir='records', cfg_options=options) == pytest.approx(scores)


def test_lora__trains_resumes_and_loads_as_plain_weights(tmp_path: Path) -> None:
    start = run('start', train_cfg=dict(max_iters=1, val_interval=5))
    changes = dict(model__clip__checkpoint=str(start), default_hooks__checkpoint__save_best='region/top1')
    whole = run('whole', LORA, **changes)
    run('parts', LORA, **changes, train_cfg=dict(max_iters=2, val_interval=2))
    parts = run('parts', LORA, **changes, resume='auto')
    states = [torch.load(path, weights_only=False)['state_dict'] for path in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    base, tuned = FGCLIP.from_pretrained(start), FGCLIP.from_pretrained(whole)
    moved = {name for name, value in tuned.state_dict().items() if not torch.equal(value, base.state_dict()[name])}
    assert 'visual.blocks.0.attention.qkv.weight' in moved
    assert all(name.endswith(('qkv.weight', 'out.weight', 'fc1.weight')) or 'logit_scale' in name for name in moved)
    tuned.save_pretrained('plain')
    again = FGCLIP.from_pretrained('plain').state_dict()
    assert all(torch.equal(value, again[name]) for name, value in tuned.state_dict().items())
    (best,) = Path('whole').glob('best_region_top1_iter_*.pth')
    assert FGCLIP.from_pretrained(best).state_dict().keys() == again.keys()
