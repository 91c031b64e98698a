"""From bytes to normalised pixels."""

import pytest
import torch

from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor
from tests.builders import region_batch


def test_preprocessor__hand_worked() -> None:
    preprocessor = RegionTextDataPreprocessor(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1)
    batch = preprocessor(dict(inputs=[image, image], data_samples=[]))
    # 0 / 255 = 0; (1 - 0.5) / 0.5 = 1; (0.2 - 1) / 0.25 = -3.2.
    torch.testing.assert_close(batch['inputs'], torch.tensor([0.0, 1.0, -3.2]).view(1, 3, 1, 1).expand(2, 3, 1, 1))


def test_preprocessor__stacked_images_give_the_same() -> None:
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    stacked, apart = (RegionTextDataPreprocessor()(dict(inputs=i, data_samples=[])) for i in (images, list(images)))
    assert torch.equal(stacked['inputs'], apart['inputs'])


def test_preprocessor__defaults_are_clips() -> None:
    grey = torch.full((3, 1, 1), 128, dtype=torch.uint8)
    pixels = RegionTextDataPreprocessor()(dict(inputs=[grey], data_samples=[]))['inputs'][0, :, 0, 0]
    expected = [
        (128 / 255 - m) / s
        for m, s in zip((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), strict=True)
    ]
    assert pixels.tolist() == pytest.approx(expected, abs=1e-6)


def test_preprocessor__leaves_the_samples_and_the_batch_alone() -> None:
    batch = region_batch((1,), (2, 0))
    out = RegionTextDataPreprocessor()(batch)
    assert [s.key for s in out['data_samples']] == ['sample0', 'sample1']
    assert batch['inputs'][0].dtype == torch.uint8
    assert not RegionTextDataPreprocessor().state_dict()  # constants do not travel in checkpoints


def test_preprocessor__images_of_different_sizes() -> None:
    images = [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 9, dtype=torch.uint8)]
    with pytest.raises(RuntimeError, match='equal size'):
        RegionTextDataPreprocessor()(dict(inputs=images, data_samples=[]))
