"""Runs that are stopped and resumed, against one that never was."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from fgdet.datasets.region_text import RegionTextDataset
from fgdet.datasets.samplers import EpochIndexSampler, StreamSampler
from fgdet.datasets.shards import RegionTextShards
from fgdet.datasets.transforms import LoadRegionTextImage, PackRegionTextInputs, ResizeRegionTextImage
from fgdet.engine.hooks import DataPositionHook, IterationSeedHook
from fgdet.structures.region_text_sample import RegionTextSample
from fgdet.utils.checks import UserError
from tests.builders import record, shard_members, write_image, write_records, write_shard

ITERATIONS = 9
pytestmark = pytest.mark.filterwarnings('ignore:This DataLoader will create')


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    monkeypatch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.1)  # of workers that are waited for
    yield
    gc.collect()


class Names:
    """Stands for the tokenizer: keeps the caption as a name, and a random number."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        ids = dict.fromkeys(('short_ids', 'region_ids', 'hard_regions', 'hard_ids', 'hard_sizes'))
        draw = torch.tensor([results['rng'].random()], dtype=torch.float32)
        return results | ids | dict(sample_key=results['caption'], long_ids=draw)


PIPELINE = [LoadRegionTextImage(), ResizeRegionTextImage((2, 2)), Names(), PackRegionTextInputs()]


class Model(BaseModel):
    """Its weights remember every batch, in order, and draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(12))
        self.seen: list[str] = []

    def forward(self, inputs: list[Tensor], data_samples: list[RegionTextSample], mode: str) -> dict[str, Tensor]:
        self.seen += [sample.key for sample in data_samples]
        pixels = torch.stack(inputs).flatten(1).float() / 255
        target = nn.functional.dropout(pixels + torch.stack([s.long_ids for s in data_samples]), 0.3)
        return dict(loss=((self.weight - target) ** 2).mean())


class Stop(Hook):
    """Ends a run before an iteration, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == self.at:
            raise KeyboardInterrupt


def loader(folder: Path, kind: str, workers: int) -> dict[str, Any]:
    if kind == 'shards':
        for i in range(3):
            write_shard(folder / f'{i}.tar', shard_members((f'{i}-{j}' for j in range(5)), (2, 2)))
        dataset: Any = RegionTextShards(f'{folder}/{{0..2}}.tar', PIPELINE, shuffle_buffer=4)
        sampler: dict[str, Any] = dict(type=StreamSampler)
    else:
        for i in range(7):
            write_image(folder / f'{i}.png', (2, 2), i)
        records = write_records(folder / 'r.jsonl', [record(f'{i}.png', caption=str(i)) for i in range(7)])
        dataset = RegionTextDataset(str(records), str(folder), PIPELINE)
        sampler = dict(type=EpochIndexSampler)
    return dict(batch_size=2, num_workers=workers, persistent_workers=workers > 0, sampler=sampler, dataset=dataset)


def train(work_dir: Path, data: dict[str, Any], stop: int | None = None, resume: bool = False, **changes: Any) -> Model:
    settings = dict(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=data,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=ITERATIONS),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False), sampler_seed=None),
        custom_hooks=[DataPositionHook(), IterationSeedHook(), *([Stop(stop)] if stop is not None else [])],
        resume=resume,
        randomness=dict(seed=3),
        log_level='ERROR',
        experiment_name=f'{work_dir.name}-{stop}-{resume}-{id(data)}',
    )
    runner = Runner(**(settings | changes))
    if stop is None:
        runner.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    return runner.model


@pytest.mark.parametrize('workers', [0, 2, 3])
@pytest.mark.parametrize('kind', ['records', 'shards'])
def test_resume__same_as_never_stopped(tmp_path: Path, kind: str, workers: int) -> None:
    data = loader(tmp_path / 'data', kind, workers)
    whole = train(tmp_path / 'whole', data)
    assert len(set(whole.seen)) >= 7
    # Stopped twice; each time it goes on from the checkpoint before.
    train(tmp_path / 'parts', loader(tmp_path / 'data', kind, workers), stop=3)
    train(tmp_path / 'parts', loader(tmp_path / 'data', kind, workers), stop=7, resume=True)
    rest = train(tmp_path / 'parts', loader(tmp_path / 'data', kind, workers), resume=True)
    assert rest.seen == whole.seen[2 * 6 :]
    assert torch.equal(rest.weight, whole.weight)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(batch_size=3), 'resume: the checkpoint was written with batch_size 2, now 3'),
        (dict(num_workers=2), 'resume: the checkpoint was written with num_workers 1, now 2'),
    ],
)
def test_resume__shards_with_other_settings_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    data = loader(tmp_path / 'data', 'shards', 0)
    train(tmp_path / 'run', data, stop=2)
    with pytest.raises(UserError, match=message):
        train(tmp_path / 'run', data | changes, resume=True)


def test_resume__shards_from_a_checkpoint_without_a_place_are_refused(tmp_path: Path) -> None:
    data = loader(tmp_path / 'data', 'shards', 0)
    train(tmp_path / 'run', data, stop=2, custom_hooks=[Stop(2)])
    with pytest.raises(UserError, match='the checkpoint has no place in the data; shards go on'):
        train(tmp_path / 'run', data, resume=True)


def test_resume__records_with_other_workers_are_the_same_and_other_batches_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = loader(tmp_path / 'data', 'records', 0)
    whole = train(tmp_path / 'whole', data)
    train(tmp_path / 'run', data, stop=4)
    assert torch.equal(train(tmp_path / 'run', data | dict(num_workers=2), resume=True).weight, whole.weight)
    train(tmp_path / 'other', data, stop=4)
    capsys.readouterr()
    train(tmp_path / 'other', data | dict(batch_size=1), resume=True, log_level='WARNING')
    assert 'written with batch_size 2, now 1: the data goes on at an approximate place' in capsys.readouterr().out
