"""Features of given boxes: against the official evaluation written out, one box after the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.ops import roi_align

from fgdet.apis.region_encoding import RegionEncoder
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, official_model, write_image, write_small_clip

# Pixels of the files: a box of no area, one that reaches out, one half a pixel wide, one of the whole image; an image
# without any.
BOXES = [
    np.array([[3.0, 2.5, 60, 41], [10, 10, 10, 30], [-9, 20, 30, 55.5]]),
    np.zeros((0, 4)),
    np.array([[0, 0, 33, 21], [5.2, 5.2, 5.7, 9]]),
    np.array([[1, 1, 20.0, 20]]),
]


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp('images')
    sizes = [(64, 48), (20, 20), (33, 21), (100, 70)]
    return [write_image(folder / f'{i}.png', size, seed=i) for i, size in enumerate(sizes)]


def squashed(model: FGCLIP, image: Image.Image, side: int) -> torch.Tensor:
    pixels = np.asarray(image.convert('RGB').resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    mean, std = np.array(model.preprocessing.mean, np.float32), np.array(model.preprocessing.std, np.float32)
    return torch.from_numpy((pixels - mean) / std).permute(2, 0, 1)[None]


@torch.no_grad()
def once_per_box(model: FGCLIP, path: Path, boxes: np.ndarray, side: int) -> np.ndarray:
    """Reads, resizes and encodes the image again for each box, as the official evaluation does."""
    rows = [np.zeros((0, model.visual.output_dim), np.float32)]
    for box in boxes:
        image = Image.open(path)
        dense = model.encode_dense(squashed(model, image, side))
        width, height = image.size
        cells = torch.tensor(box / [width, height, width, height] * (side // model.patch_size)).float()
        rows.append(roi_align(dense, [cells[None]], 1, 1.0, -1, True)[:, :, 0, 0].numpy())
    return np.concatenate(rows)


@pytest.mark.parametrize('settings', [dict(), dict(batch_size=2, workers=0), dict(image_size=96, batch_size=3)])
def test_encode__official_model_equals_one_pass_for_each_box(files: list[Path], settings: dict[str, Any]) -> None:
    told = []
    encoder = RegionEncoder(OFFICIAL, 'cpu', **settings)
    found = list(encoder.encode(files, BOXES, lambda done, total: told.append((done, total))))
    model = official_model()
    for path, boxes, features in zip(files, BOXES, found, strict=True):
        assert features.dtype == np.float32
        np.testing.assert_allclose(
            features, once_per_box(model, path, boxes, settings.get('image_size', 64)), atol=5e-6
        )
    assert not found[0][1].any() and told == [(i, 4) for i in (1, 2, 3, 4)]


@torch.no_grad()
def test_encode__crops_are_seen_as_images(files: list[Path]) -> None:
    model = official_model()
    found = list(RegionEncoder(OFFICIAL, 'cpu', batch_size=2, mode='crop').encode(files, BOXES))
    # Outward to whole pixels and no further than the image.
    crops: list[list[Any]] = [
        [(3, 2, 60, 41), None, (0, 20, 30, 48)],
        [],
        [(0, 0, 33, 21), (5, 5, 6, 9)],
        [(1, 1, 20, 20)],
    ]
    for path, windows, features in zip(files, crops, found, strict=True):
        assert len(features) == len(windows)
        for window, feature in zip(windows, features, strict=True):
            if window is None:
                assert not feature.any()
            else:
                expected = model.encode_image(squashed(model, Image.open(path).crop(window), 64))[0]
                np.testing.assert_allclose(feature, expected, atol=5e-6)


@torch.no_grad()
def test_encode_images__each_file(files: list[Path]) -> None:
    model = official_model()
    found = list(RegionEncoder(model, 'cpu', batch_size=3).encode_images(files))
    for path, feature in zip(files, found, strict=True):
        np.testing.assert_allclose(feature, model.encode_image(squashed(model, Image.open(path), 64))[0], atol=5e-6)


@torch.no_grad()
def test_encode_texts__short_long_and_ensembles(tmp_path: Path) -> None:
    model = write_small_clip(tmp_path)
    encoder = RegionEncoder(tmp_path, 'cpu')
    texts = ['red mug', 'a cat', 'red mug', '']
    for long in (False, True):
        expected = F.normalize(model.encode_text(model.tokenize(texts, long), long), dim=1)
        np.testing.assert_allclose(encoder.encode_texts(texts, long), expected, atol=2e-6)
    templates, names = ['a {}.', '{} or {}'], ['cat', 'red mug', 'tree']
    for name, row in zip(names, encoder.encode_class_texts(names, templates), strict=True):
        prompts = model.tokenize([f'a {name}.', f'{name} or {name}'])
        mean = F.normalize(model.encode_text(prompts), dim=1).mean(0)
        np.testing.assert_allclose(row, mean / mean.norm(), atol=2e-6)
    assert encoder.encode_texts([]).shape == encoder.encode_class_texts([], templates).shape == (0, 16)


def test_encode__names_the_file_that_is_no_image(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / 'broken.jpg').write_text('no image')
    for mode in ('roi', 'crop'):
        found = RegionEncoder(OFFICIAL, 'cpu', 1, mode).encode(
            [files[0], tmp_path / 'broken.jpg'], [BOXES[0], BOXES[3]]
        )
        assert len(next(found)) == 3
        with pytest.raises(UserError, match=r'image .*broken.jpg: it cannot be read'):
            next(found)


@pytest.mark.parametrize('mode', ['roi', 'crop'])
def test_encode__collects_what_is_no_image_and_goes_on(files: list[Path], tmp_path: Path, mode: str) -> None:
    broken, failures = tmp_path / 'broken.jpg', dict[str, str]()
    broken.write_text('text')
    encoder = RegionEncoder(OFFICIAL, 'cpu', mode=mode)
    paths = [files[0], broken, files[2]]
    found = list(encoder.encode(paths, [BOXES[0], BOXES[3], BOXES[2]], failures=failures))
    alone = list(encoder.encode(files[2:3], BOXES[2:3]))
    np.testing.assert_allclose(found[2], alone[0], atol=2e-5)
    assert len(found[1]) == 1
    assert list(failures) == [str(broken)]
    assert 'it cannot be read as an image' in failures[str(broken)]
    failures.clear()
    images = list(encoder.encode_images(paths, failures=failures))
    np.testing.assert_allclose(images[2], next(encoder.encode_images(files[2:3])), atol=2e-5)
    assert list(failures) == [str(broken)]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(mode='both'), "mode: expected one of roi, crop, got 'both'"),
        (dict(image_size=70), 'image_size: expected a multiple of the patch of 16 pixels, got 70'),
        (dict(batch_size=0), 'batch_size'),
    ],
)
def test_encoder__settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RegionEncoder(OFFICIAL, 'cpu', **settings)
    with pytest.raises(ValueError, match=r'boxes: expected \(N, 4\) for each of 1 files'):
        next(RegionEncoder(OFFICIAL, 'cpu').encode(['a.png'], [np.zeros((2, 5))]))
