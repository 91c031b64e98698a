"""A second start on the embeddings that the first one left, and a checkpoint with another text tower."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fgdet.apis.detection import Detector
from tests.detector_builders import NAMES, write_detector


def detections(checkpoint: Path, names: list[str]) -> tuple[Detector, np.ndarray]:
    """A detector that has just started, and the scores that it gives."""
    detector = Detector.from_pretrained(checkpoint=checkpoint, device='cpu')
    detector.set_vocabulary(names)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return detector, detector.detect(image, 0.0)[0].scores


def test_load_detector__a_second_start_needs_no_text_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FGDET_CACHE', str(tmp_path / 'cache'))
    checkpoint = write_detector(tmp_path / 'a.pth')
    first, expected = detections(checkpoint, NAMES)
    second, scores = detections(checkpoint, NAMES)
    assert 'text' in dict(first.model.class_embeddings.named_children())
    assert not list(second.model.class_embeddings.parameters())  # the tower was not even built
    np.testing.assert_array_equal(scores, expected)
    monkeypatch.setenv('FGDET_CACHE', '')
    np.testing.assert_array_equal(detections(checkpoint, NAMES)[1], expected)


def test_load_detector__another_text_tower_never_meets_embeddings_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = write_detector(tmp_path / 'a.pth')
    content = torch.load(checkpoint, weights_only=False)
    for name, value in content['state_dict'].items():
        if name == 'class_embeddings.text.projection.weight':
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    torch.save(content, tmp_path / 'b.pth')
    expected = detections(tmp_path / 'b.pth', NAMES)[1]  # nothing on disk
    monkeypatch.setenv('FGDET_CACHE', str(tmp_path / 'cache'))
    _, of_first = detections(checkpoint, NAMES)
    np.testing.assert_array_equal(detections(tmp_path / 'b.pth', NAMES)[1], expected)
    assert not np.array_equal(of_first, expected)
