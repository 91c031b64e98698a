"""What a detector's last step is given on a validation set, computed once and kept on disk."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from fgdet.apis.detector_files import load_detector
from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.models.post_processing.recorded_scores import RecordedScores, record_scores
from fgdet.models.post_processing.region_scores import ScoreEnsemble
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import read_json, sha256_of, write_bytes, write_json

#: Goes up when what is kept, or how, becomes another.
_FORMAT = 1
#: Images done and images in all.
Report = Callable[[int, int], None]


class Recording(NamedTuple):
    """A validation set's records on disk."""

    folder: Path
    image_ids: list[int]
    temperatures: list[float]
    is_trained: np.ndarray  # (K + M,) bool
    num_negatives: int
    test_cfg: dict[str, Any]  # of the head

    def load(self, image_id: int) -> RecordedScores:
        """One image's scores."""
        with np.load(self.folder / f'{image_id}.npz') as arrays:
            return RecordedScores(**{field: arrays[field] for field in RecordedScores._fields})


def record_run(
    cfg: Config,
    checkpoint: str | Path,
    dataset: Any,
    folder: Path,
    temperatures: Sequence[float],
    device: str,
    report: Report,
    max_images: int | None = None,
) -> Recording:
    """Run a detector on its validation set, or go on with a run that was broken off, or find all done.

    The records lie in a folder of ``folder`` whose name stands for the content of the checkpoint, the annotation file,
    the images' names, sizes and times, the config's model and data (without alpha, beta and the temperature), and
    ``temperatures``: with another of these they are computed anew.

    Args:
        cfg: the detector's config.
        checkpoint: its weights.
        dataset: ``val_dataloader.dataset``, built.
        folder: where the records go.
        temperatures: those that can be chosen afterwards.
        device: as for :func:`~fgdet.apis.detector_files.load_detector`.
        report: is told how far it has come.
        max_images: only the first so many images; None: all.

    Raises:
        UserError: a file is missing, the detector has no score ensemble, or weights and config do not fit.
    """
    count = min(len(dataset), max_images or len(dataset))
    infos = [dataset.get_data_info(index) for index in range(count)]
    image_ids = [int(info['img_id']) for info in infos]
    here = folder / _key(cfg, existing_file(checkpoint, 'checkpoint'), dataset, infos, temperatures)
    size = int(cfg.val_dataloader.get('batch_size', 1))
    chunks = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    missing = [chunk for chunk in chunks if not all((here / f'{image_ids[i]}.npz').is_file() for i in chunk)]
    if missing or not (here / 'meta.json').is_file():
        _run(cfg, checkpoint, dataset, here, image_ids, missing or chunks[:1], temperatures, device, report)
    meta = read_json(here / 'meta.json', 'record')
    is_trained = np.array(meta['is_trained'], dtype=bool)
    return Recording(here, image_ids, list(temperatures), is_trained, meta['num_negatives'], meta['test_cfg'])


def head_test_cfg(cfg: Config) -> dict[str, Any]:
    """The part of ``model.test_cfg`` that speaks of the last step.

    Raises:
        UserError: it has no score ensemble to be swept.
    """
    test_cfg = (cfg.get('model') or {}).get('test_cfg') or {}
    test_cfg = test_cfg.get('rcnn', test_cfg)
    if test_cfg.get('score_ensemble') is None:
        raise UserError(
            'detector config: model.test_cfg has no score_ensemble (alpha, beta, temperature): nothing to sweep'
        )
    if test_cfg.get('max_per_img', -1) < 0:
        raise UserError('detector config: max_per_img of model.test_cfg: a sweep needs a limit, such as 100')
    return test_cfg


@torch.no_grad()
def _run(
    cfg: Config,
    checkpoint: str | Path,
    dataset: Any,
    folder: Path,
    image_ids: Sequence[int],
    chunks: Sequence[list[int]],
    temperatures: Sequence[float],
    device: str,
    report: Report,
) -> None:
    expected = 'no detector whose classes are words such as fgdet.OpenVocabularyRCNN'
    model: Any = load_detector(cfg, checkpoint, device, OpenVocabularyMixin, expected).model
    model.set_vocabulary(getattr(dataset, 'vocabulary', None) or list(dataset.metainfo['classes']))
    steps = [module for module in model.modules() if isinstance(module, ScoreEnsemble)]
    if len(steps) != 1:
        raise UserError(f'detector config: expected a detector with one ScoreEnsemble, got {len(steps)}')
    given: list[tuple[Any, ...]] = []
    steps[0].register_forward_pre_hook(lambda _, args: given.append(args))
    workers = int(cfg.val_dataloader.get('num_workers', 0))
    loader = DataLoader(dataset, batch_sampler=chunks, collate_fn=pseudo_collate, num_workers=workers)
    done = len(image_ids) - sum(map(len, chunks))
    report(done, len(image_ids))
    for chunk, batch in zip(chunks, loader, strict=True):
        model.test_step(batch)
        regions, is_trained, num_negatives, test_cfg, metas, rescale = given.pop()
        for index, each, meta in zip(chunk, regions, metas, strict=True):
            record = record_scores(each, num_negatives, test_cfg, meta, rescale, temperatures)
            _write(folder / f'{image_ids[index]}.npz', record)
        if chunk is chunks[0]:
            about = dict(is_trained=is_trained.tolist(), num_negatives=num_negatives, test_cfg=_plain(test_cfg))
            write_json(folder / 'meta.json', about, indent=None)
        done += len(chunk)
        report(done, len(image_ids))


def _write(path: Path, record: RecordedScores) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **record._asdict())
    write_bytes(path, buffer.getvalue())


def _key(
    cfg: Config, checkpoint: Path, dataset: Any, infos: Sequence[dict[str, Any]], temperatures: Sequence[float]
) -> str:
    model, data = _plain(cfg.model), _plain(cfg.val_dataloader)
    test_cfg = model['test_cfg'].get('rcnn', model['test_cfg'])
    test_cfg['score_ensemble'] = sorted(test_cfg['score_ensemble'])  # which there are, not their values
    files = [Path(info['img_path']).stat() for info in infos]
    content = [
        _FORMAT,
        model,
        data,
        list(temperatures),
        sha256_of(checkpoint),
        sha256_of(dataset.ann_file),
        [(info['img_path'], stat.st_size, stat.st_mtime_ns) for info, stat in zip(infos, files, strict=True)],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _plain(settings: Any) -> Any:
    """A config's part as dicts and lists of its own."""
    if hasattr(settings, 'items'):
        return {str(key): _plain(value) for key, value in settings.items()}
    return [_plain(each) for each in settings] if isinstance(settings, list | tuple) else settings
