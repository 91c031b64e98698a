"""Similarity maps against the tower and the text taken by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from fgdet.apis.detection import Detector
from fgdet.apis.heatmap import HeatmapModel, draw_panels, summary
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, write_small_clip
from tests.detector_builders import write_detector, write_picture


@torch.no_grad()
def by_hand(dense: torch.Tensor, text: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """(1, d, h, w) and (d,) -> cosines at each cell, those beyond the image left out."""
    cosine = torch.stack(
        [torch.stack([F.cosine_similarity(c, text, dim=0) for c in row.T]) for row in dense[0].unbind(1)]
    )
    return F.interpolate(cosine[None, None], scale_factor=8, mode='bilinear')[0, 0, : size_hw[0], : size_hw[1]]


def test_similarities__of_fg_clip_at_the_aspect_of_the_image(tmp_path: Path) -> None:
    model = write_small_clip(tmp_path / 'clip')
    pixels = write_picture(tmp_path / 'a.png', (60, 100))
    long_text = 'a red mug with a thin handle ' * 20  # more than 77 tokens
    maps = HeatmapModel(tmp_path / 'clip', 64, 'cpu').similarities(pixels, ['red mug', long_text])
    resized = Image.fromarray(pixels).resize((64, 40), Image.Resampling.BICUBIC)  # 38.4 to whole patches
    inputs = model.preprocessing.normalize(torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255)
    with torch.no_grad():
        dense = model.encode_dense(inputs[None])
        texts = (
            model.encode_text(model.tokenize(['red mug']))[0],
            model.encode_text(model.tokenize([long_text], True), True)[0],
        )
    for found, text in zip(maps, texts, strict=True):
        np.testing.assert_allclose(found, by_hand(dense, text, (40, 64)), atol=1e-5)


def test_similarities__of_a_detector_without_its_padding(tmp_path: Path) -> None:
    checkpoint = write_detector(tmp_path / 'detector.pth')
    pixels = write_picture(tmp_path / 'a.png', (60, 100))
    (found,) = HeatmapModel(checkpoint, device='cpu').similarities(pixels, ['red mug'])
    assert found.shape == (58, 96)
    detector = Detector.from_pretrained(checkpoint=checkpoint, device='cpu')
    inputs = detector.prepare(pixels)
    batch = detector.model.data_preprocessor(dict(inputs=[inputs['inputs']], data_samples=[inputs['data_samples']]))
    with torch.no_grad():
        dense = detector.model.backbone(batch['inputs'])[-1]
    text = detector.model.class_embeddings(Vocabulary(['red mug'], templates=['{}']))[0]
    np.testing.assert_allclose(found, by_hand(dense, text, (58, 96)), atol=1e-5)


def test_heatmap__refuses(tmp_path: Path) -> None:
    write_small_clip(tmp_path / 'clip')
    with pytest.raises(UserError, match='size: expected 8 to 1280 pixels, 1 to 160 patches of 8, got 4'):
        HeatmapModel(tmp_path / 'clip', 4, 'cpu')
    with pytest.raises(UserError, match='text: it is empty'):
        HeatmapModel(tmp_path / 'clip', 32, 'cpu').similarities(np.zeros((8, 8, 3), np.uint8), ['mug', ' '])
    with pytest.raises(UserError, match=r'none.pth'):
        HeatmapModel(tmp_path / 'none.pth')


def test_draw_panels__one_range_and_rows_of_three(tmp_path: Path) -> None:
    image = np.full((330, 400, 3), 90, np.uint8)
    low, high = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
    one = draw_panels(image, [low, high], ['a', 'b'])
    half = one.shape[1] // 2
    assert one[200, 100].astype(int).sum() < one[200, half + 100].astype(int).sum()  # darkest and brightest colour
    four = draw_panels(image, [low, high] * 2, list('abcd'))
    assert four.shape[0] == 2 * one.shape[0] and four.shape[1] == 3 * half
    assert (four[one.shape[0] :, half:] == 255).all()
    assert max(draw_panels(np.zeros((400, 9000, 3), np.uint8), [low], ['a']).shape) < 1800


def test_summary__the_peak_is_in_pixels_of_the_image() -> None:
    similarity = np.zeros((4, 8), np.float32)
    similarity[3, 2] = 0.5
    found = summary('mug', similarity, (40, 160))
    assert found == dict(text='mug', min=0.0, mean=0.5 / 32, max=0.5, peak=[50.0, 35.0])


def test_official__weights_load(tmp_path: Path) -> None:
    assert HeatmapModel(OFFICIAL, device='cpu')
