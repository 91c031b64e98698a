"""Scores of a pretrained FG-CLIP on generated scenes that no training sees."""

from pathlib import Path

import numpy as np

from fgdet.apis.pretraining import evaluate_alignment
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.models.fg_clip import FGCLIP

#: First scene of the held-out ones; training renders scenes from 0 on and never comes this far.
HELD_OUT = 10_000_000


def score_on_scenes(checkpoint: str | Path, world: ShapesWorld, num_scenes: int) -> dict[str, float]:
    """Score a checkpoint on the first held-out scenes of a world, with the world's names as classes.

    Args:
        checkpoint: what :meth:`FGCLIP.from_pretrained` reads.
        world: where the scenes come from.
        num_scenes: how many, at least 1.

    Returns:
        ``region_top1``, ``hard_negative_top1`` and ``retrieval_r1``; see :func:`evaluate_alignment`.
    """
    scenes = [world.scene(HELD_OUT + i) for i in range(num_scenes)]
    return evaluate_alignment(
        FGCLIP.from_pretrained(checkpoint),
        images=[scene.image for scene in scenes],
        captions=[scene.caption for scene in scenes],
        boxes=[np.stack([item.bbox_xyxy for item in scene.objects]) for scene in scenes],
        phrases=[[item.name for item in scene.objects] for scene in scenes],
        negatives=[[item.negatives for item in scene.objects] for scene in scenes],
        class_names=world.names,
    )
