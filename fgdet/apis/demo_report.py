"""The demo's page and pictures: detections by free text, a similarity map, the scores, the curves, the versions."""

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from fgdet.apis.detection import Detector
from fgdet.apis.pretraining import to_pixels
from fgdet.apis.staged_run import read_scalars
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.models.fg_clip import FGCLIP
from fgdet.visualization.draw import draw_detections, draw_heatmap
from fgdet.visualization.report import Block, Figure, LinePlot, Section, Table, write_report

#: Scenes shown with their detections, and the side in pixels that they are drawn at.
NUM_PICTURES, PICTURE_SIDE = 6, 320
_STAGES = {
    'stage1': 'Stage 1: the global loss.',
    'stage2_region': 'Stage 2: regions added; weighted terms.',
    'stage2': 'Stage 2: hard negatives added; weighted terms.',
    'detector': 'The detector, all its losses.',
}
_LOSSES = {
    'loss_long': 'long captions',
    'loss_short': 'short captions',
    'loss_region': 'regions',
    'loss_hard_negative': 'hard negatives',
}


def write_demo_report(
    out: Path, metrics: dict[str, Any], model: FGCLIP, detector: Detector, world: ShapesWorld, first_scene: int
) -> Path:
    """Write ``report.html`` and the PNG pictures in it.

    Args:
        out: the demo's folder, with the logs of its runs.
        metrics: what ``metrics.json`` is going to hold.
        model: the pretrained FG-CLIP.
        detector: the trained detector.
        world: where the held-out scenes come from.
        first_scene: index of the first held-out scene.

    Returns:
        the page's path.
    """
    sections = [
        Section('Scores on held-out scenes', _score_blocks(metrics, world)),
        Section('Detections by free text', _detections(out, detector, world, first_scene)),
        Section('Where a phrase is', _similarity_maps(out, model, world, first_scene)),
        Section('What each loss adds', _stage_blocks(metrics)),
        Section('Loss curves', _curves(out)),
        Section(
            'Time and versions',
            [
                Table([{'part': part, 'seconds': value} for part, value in metrics['seconds'].items()]),
                Table([{'package': name, 'version': value} for name, value in metrics['versions'].items()]),
            ],
        ),
    ]
    return write_report(out / 'report.html', 'fgdet demo: open-vocabulary detection on generated scenes', sections)


def _score_blocks(metrics: dict[str, Any], world: ShapesWorld) -> list[Block]:
    detect = metrics['detect']
    text = (
        f'Objects have a colour, a pattern and a shape: {len(world.names)} compositions. The detector was trained with '
        f'boxes of {len(world.base_names)} of them (base); the other {len(world.novel_names)} (novel) it finds by name '
        'alone. Pretraining has seen regions and phrases of all, as that of FG-CLIP has of everything.'
    )
    if metrics['quick']:
        text += ' This was a quick run: it shows that every part works, and its scores say nothing.'
    rows = [
        {'classes': name, 'AP at IoU 0.5': detect[f'ap50_{name}'], 'names': count}
        for name, count in (
            ('base', len(world.base_names)),
            ('novel', len(world.novel_names)),
            ('all', len(world.names)),
        )
    ]
    return [text, Table(rows)]


def _stage_blocks(metrics: dict[str, Any]) -> list[Block]:
    labels = {
        'region_top1': f'region top-1 of {metrics["num_classes"]} names',
        'hard_negative_top1': 'right phrase among its hard negatives',
        'retrieval_r1': 'image and long caption, R@1',
    }
    rows = [
        {'trained so far': ' + '.join(list(metrics['alignment'])[: i + 1])}
        | {label: scores[key] for key, label in labels.items()}
        for i, scores in enumerate(metrics['alignment'].values())
    ]
    return [
        'Each part goes on from the weights of the one before and keeps its losses: stage 1 is the global loss alone, '
        'stage 2 adds regions and then hard negatives. A later part has also trained longer, so a row differs from the '
        'one above by more than its loss.',
        Table(rows),
    ]


def _detections(out: Path, detector: Detector, world: ShapesWorld, first_scene: int) -> list[Block]:
    """Each scene searched for the names of its objects and for as many that are not there."""
    blocks: list[Block] = [
        'The first held-out scenes with a novel object. Each was searched for the names of its objects and for three '
        'that are not in it; nothing was retrained.'
    ]
    rng = np.random.default_rng(0)
    scenes = (world.scene(index) for index in itertools.count(first_scene))
    with_novel = (scene for scene in scenes if any(item.name in world.novel_names for item in scene.objects))
    for i, scene in enumerate(itertools.islice(with_novel, NUM_PICTURES)):
        present = list(dict.fromkeys(item.name for item in scene.objects))
        absent = [str(name) for name in rng.permutation(world.names) if name not in present][:3]
        detector.set_vocabulary(present + absent)
        found = detector.detect(scene.image, score_threshold=0.3)[0]
        picture = draw_detections(_enlarged(scene.image), _scaled(found, PICTURE_SIDE / len(scene.image)))
        _write_png(out / f'detections_{i}.png', picture)
        novel = [name for name in present if name in world.novel_names]
        caption = f'Asked for: {", ".join(present + absent)}.' + (f' Novel: {", ".join(novel)}.' if novel else '')
        blocks.append(Figure(picture, caption))
    return blocks


def _similarity_maps(out: Path, model: FGCLIP, world: ShapesWorld, first_scene: int) -> list[Block]:
    blocks: list[Block] = ['Cosine similarity of each patch of the dense map with a phrase.']
    scene = world.scene(first_scene)
    with torch.no_grad():
        dense = model.encode_dense(to_pixels([scene.image]), normalize=True)[0]
        for i, item in enumerate(scene.objects[:3]):
            phrase = F.normalize(model.encode_text(model.tokenize(item.name)), dim=-1)[0]
            similarity = torch.einsum('dhw,d->hw', dense, phrase).numpy()
            picture = draw_heatmap(_enlarged(scene.image), similarity, title=item.name)
            _write_png(out / f'similarity_{i}.png', picture)
            blocks.append(Figure(picture, item.name))
    return blocks


def _curves(out: Path) -> list[Block]:
    blocks: list[Block] = []
    for stage, caption in _STAGES.items():
        steps = [step for step in read_scalars(out / 'runs' / stage) if 'loss' in step]
        names = {key: label for key, label in _LOSSES.items() if steps and key in steps[0]} or {'loss': 'sum'}
        x = [step['step'] for step in steps]
        curves = {label: (x, [step[key] for step in steps]) for key, label in names.items()}
        blocks.append(LinePlot(curves, x_label='step', y_label='loss', caption=caption))
    return blocks


def _enlarged(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_CUBIC)


def _scaled(detections: Any, factor: float) -> Any:
    return type(detections)(
        boxes=detections.boxes * factor,
        scores=detections.scores,
        labels=detections.labels,
        names=detections.names,
    )


def _write_png(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image[..., ::-1])
