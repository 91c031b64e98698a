"""Alignment scores of a model against a loop that encodes one thing at a time."""

import numpy as np
import pytest
import torch

from fgdet.apis.pretraining import evaluate_alignment, to_pixels
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError


def tiny_model() -> FGCLIP:
    torch.manual_seed(0)
    return FGCLIP(
        vision=dict(image_size=96, patch_size=16, width=32, num_layers=2, num_heads=2, mlp_width=64, output_dim=16),
        text=dict(width=32, num_layers=2, num_heads=2, mlp_width=64, output_dim=16),
    ).eval()


@torch.no_grad()
def test_evaluate_alignment__equals_a_naive_loop():
    model, world = tiny_model(), ShapesWorld(seed=3)
    scenes = [world.scene(i) for i in range(5)]
    scores = evaluate_alignment(
        model,
        images=[scene.image for scene in scenes],
        captions=[scene.caption for scene in scenes],
        boxes=[np.stack([item.bbox_xyxy for item in scene.objects]) for scene in scenes],
        phrases=[[item.name for item in scene.objects] for scene in scenes],
        negatives=[[item.negatives for item in scene.objects] for scene in scenes],
        class_names=world.names,
        batch_size=2,
    )

    def text(words: str, long: bool = False) -> torch.Tensor:
        return model.encode_text(model.tokenize(words, long=long), long=long, normalize=True)[0]

    names = torch.stack([text(name) for name in world.names])
    region_hits, hard_hits = [], []
    for scene in scenes:
        for item in scene.objects:
            box = torch.tensor(item.bbox_xyxy, dtype=torch.float32)[None]
            region = model.encode_regions(to_pixels([scene.image]), [box], normalize=True)[0]
            region_hits.append(world.names[int((names @ region).argmax())] == item.name)
            group = torch.stack([text(phrase) for phrase in (item.name, *item.negatives)])
            hard_hits.append(int((group @ region).argmax()) == 0)
    images = torch.stack([model.encode_image(to_pixels([scene.image]), normalize=True)[0] for scene in scenes])
    similarity = images @ torch.stack([text(scene.caption, long=True) for scene in scenes]).T
    own = torch.arange(5)
    recall = ((similarity.argmax(1) == own).float().mean() + (similarity.argmax(0) == own).float().mean()) / 2
    assert scores['region_top1'] == np.mean(region_hits)
    assert scores['hard_negative_top1'] == np.mean(hard_hits)
    assert np.isclose(scores['retrieval_r1'], float(recall))


def test_to_pixels__hand_case():
    white = np.full((1, 1, 3), 255, np.uint8)
    expected = (1 - np.array([0.48145466, 0.4578275, 0.40821073])) / np.array([0.26862954, 0.26130258, 0.27577711])
    assert np.allclose(to_pixels([white])[0, :, 0, 0].numpy(), expected, atol=1e-6)


def test_evaluate_alignment__images_of_another_size_only_when_told():
    model, rest = tiny_model(), dict(captions=['a'], boxes=[np.array([[0, 0, 9, 9]])], phrases=[['b']])
    images, rest = [np.zeros((64, 64, 3), np.uint8)], rest | dict(negatives=[[['c']]], class_names=['b', 'd'])
    with pytest.raises(UserError, match=r'image_size: these weights want 96 x 96, got 64 x 64; .*any_size=True'):
        evaluate_alignment(model, images, **rest)
    assert evaluate_alignment(model, images, **rest, any_size=True)['retrieval_r1'] == 1
