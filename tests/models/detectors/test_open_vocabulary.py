"""Vocabularies of one to 20,000 names on every kind of detector."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope

from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from tests.detector_builders import atss_config, batch, tiny_detector, tiny_dino


def tiny_atss() -> Any:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(atss_config().model).eval()


BUILDERS = [tiny_detector, tiny_dino, tiny_atss]
TEMPLATE = 'a photo of a {}.'


def found(detector: Any) -> Any:
    with torch.no_grad():
        return detector.test_step(batch([]))[0].pred_instances


def names(count: int) -> list[str]:
    """Names that have no word in common but those they are counted with."""
    return [f'{thing} {number}' for number in range(count // 4 + 1) for thing in ('cup', 'owl', 'bus', 'key')][:count]


@pytest.mark.parametrize('build', BUILDERS)
@pytest.mark.parametrize('count', [1, 80, 1203, pytest.param(20_000, marks=pytest.mark.slow)])
def test_set_vocabulary__of_any_number_of_names_and_back(build: Callable[[], Any], count: int) -> None:
    detector = build()
    before = found(detector)
    training = detector.vocabulary
    detector.set_vocabulary(names(count))
    many = found(detector)
    assert len(many.scores) and many.labels.max() < count
    for head in detector.heads():
        assert len(head.class_embeddings) == count
    last = detector.class_embeddings(Vocabulary(names(count)[-1:], templates=[TEMPLATE]))[0]
    torch.testing.assert_close(head.class_embeddings[-1], last)
    detector.set_vocabulary(training)
    again = found(detector)
    for field in ('bboxes', 'scores', 'labels'):
        assert torch.equal(again[field], before[field])


@pytest.mark.parametrize('build', BUILDERS)
def test_set_vocabulary__negatives_and_background_are_never_reported(build: Callable[[], Any]) -> None:
    detector = build()
    detector.set_vocabulary(Vocabulary(['cat', 'owl'], negatives=['dog', 'tree'], background=['a wall']))
    assert set(found(detector).labels.tolist()) <= {0, 1}
    assert all(len(head.class_embeddings) == 5 for head in detector.heads())
