"""Predictions that go through files: alone and among two processes, whose sampler fills the last batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from fgdet.evaluation.metrics.coco_form_metric import CocoFormMetric
from fgdet.utils.checks import UserError

CLASSES = ('cat', 'dog')
NUM_IMAGES = 5


def make_metric(folder: Path) -> CocoFormMetric:
    path = folder / 'ann.json'
    metric = CocoFormMetric(str(path), outfile=str(folder / 'out.json'), results_folder=str(folder / 'parts'))
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def write_truth(folder: Path) -> list[int]:
    """Return the images' ids; image i has i cats and a dog."""
    image_ids = list(range(11, 11 + NUM_IMAGES))
    boxes = [(n, 3, [20 * k, 0, 10 + i, 10]) for i, n in enumerate(image_ids) for k in range(i)]
    boxes += [(n, 7, [0, 40, 50, 50]) for n in image_ids]
    content = dict(
        images=[dict(id=n, height=100, width=100) for n in image_ids],
        categories=[dict(id=7, name='dog'), dict(id=3, name='cat')],
        annotations=[dict(id=i, image_id=n, category_id=k, bbox=box) for i, (n, k, box) in enumerate(boxes, 1)],
    )
    (folder / 'ann.json').write_text(json.dumps(content))
    return image_ids


def sample(image_id: int) -> dict[str, Any]:
    """What a detector finds; nothing in the third image."""
    generator = torch.Generator().manual_seed(image_id)
    count = 0 if image_id % 5 == 3 else 6
    corner = 20 * torch.randint(0, 5, (count, 2), generator=generator) * torch.tensor([1, 0])
    boxes = torch.cat([corner, corner + 8 + 4 * torch.rand(count, 2, generator=generator)], 1)
    labels = torch.randint(0, 2, (count,), generator=generator)
    scores = torch.rand(count, generator=generator)
    return dict(img_id=image_id, pred_instances=dict(bboxes=boxes, scores=scores, labels=labels))


def work(process: int, folder: str, image_ids: list[int]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=process, world_size=2)
    metric = make_metric(Path(folder))
    padded = [*image_ids, image_ids[0]]
    for _ in range(2):  # a second round knows nothing of the first one
        for image_id in padded[process::2]:
            metric.process({}, [sample(image_id)])
        scores = metric.evaluate(size=len(image_ids))
    left = len(list((Path(folder) / 'parts').iterdir()))
    dist.barrier()
    for image_id in padded[process::2]:
        metric.process({}, [sample(image_id)])
    if process == 1:  # as if it had a disk of its own
        assert metric._writer is not None
        metric._writer.path.unlink()
    try:
        metric.evaluate(size=len(image_ids))
        failure = ''
    except (UserError, RuntimeError) as error:
        failure = f'{type(error).__name__}: {error}'
    Path(f'{folder}/{process}.json').write_text(json.dumps([scores, left, failure]))
    dist.destroy_process_group()


def test_metric__two_processes_give_what_one_gives(tmp_path: Path) -> None:
    alone, together = tmp_path / 'alone', tmp_path / 'together'
    for folder in (alone, together):
        folder.mkdir()
        image_ids = write_truth(folder)
    metric = make_metric(alone)
    metric.process({}, [sample(image_id) for image_id in image_ids])
    expected = metric.evaluate(size=NUM_IMAGES)
    assert expected['coco_form/AP50'] > 0 and not list((alone / 'parts').iterdir())
    spawn(work, (str(together), image_ids), nprocs=2)
    first, second = (json.loads((together / f'{process}.json').read_text()) for process in range(2))
    np.testing.assert_equal([first[0], second[0]], [expected, expected])
    assert (together / 'out.json').read_text() == (alone / 'out.json').read_text()
    assert first[1] == 0 or second[1] == 0
    assert first[2].startswith('UserError: predictions of process 1: ') and 'all machines share' in first[2]
    assert second[2].startswith('RuntimeError: process 0 could not score the predictions: UserError: predictions of')
    assert len(list((together / 'parts').iterdir())) == 1  # that of process 0 is kept: there were no scores


def test_metric__failure_keeps_the_predictions(tmp_path: Path) -> None:
    image_ids = write_truth(tmp_path)
    metric = make_metric(tmp_path)
    metric.process({}, [sample(image_ids[0])])
    metric.process({}, [sample(77)])  # no image of the file
    with pytest.raises(UserError, match='image_id 77 is not among the 5 images'):
        metric.evaluate(size=2)
    (kept,) = (tmp_path / 'parts').iterdir()
    assert len(json.loads((tmp_path / 'out.json').read_text())) == 12 and kept.suffix == '.shard'


def test_metric__masks_are_asked_of_a_detector_of_boxes(tmp_path: Path) -> None:
    image_ids = write_truth(tmp_path)
    metric = CocoFormMetric(str(tmp_path / 'ann.json'), iou_type='segm', results_folder=str(tmp_path / 'parts'))
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match='iou_type segm: the detector gives boxes and no masks'):
        metric.process({}, [sample(image_ids[0])])
