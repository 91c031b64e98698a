"""Hand-worked cosines, changing classes, gradients."""

import math

import pytest
import torch

from fgdet.models.classifiers.text_classifier import TextClassifier


def plain_classifier(temperature: float = 0.1) -> TextClassifier:
    """Two dimensions, the projection is the identity, the background embedding points to (1, 1)."""
    classifier = TextClassifier(in_features=2, embed_dim=2, temperature=temperature)
    with torch.no_grad():
        classifier.projection.weight.copy_(torch.eye(2))
        classifier.background_embedding.copy_(torch.tensor([3.0, 3.0]))
    return classifier


def test_forward__hand_worked() -> None:
    classifier = plain_classifier()
    classifier.set_classes(torch.eye(2))
    logits = classifier(torch.tensor([[3.0, 4.0], [0.0, -2.0]]))
    # (3, 4) / 5 has cosines 0.6 and 0.8 with the axes, and 1.4 / sqrt(2) with (1, 1).
    expected = torch.tensor([[6.0, 8.0, 14.0 / math.sqrt(2)], [0.0, -10.0, -10.0 / math.sqrt(2)]])
    torch.testing.assert_close(logits, expected)


def test_set_classes__another_number_of_them() -> None:
    classifier = plain_classifier()
    classifier.set_classes(torch.eye(2))
    before = classifier(torch.tensor([[3.0, 4.0]]))
    classifier.set_classes(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]))
    after = classifier(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(after[0, [1, 0, 3]], before[0])
    assert after[0, 2].item() == pytest.approx(-8.0)


def test_scale__is_bounded() -> None:
    classifier = plain_classifier(temperature=0.001)
    classifier.set_classes(torch.eye(2))
    assert classifier(torch.tensor([[1.0, 0.0]]))[0, 0].item() == pytest.approx(100.0)


def test_forward__no_regions() -> None:
    classifier = plain_classifier()
    classifier.set_classes(torch.eye(2))
    assert classifier(torch.zeros(0, 2)).shape == (0, 3)


def test_forward__full_precision_under_autocast() -> None:
    classifier = plain_classifier(temperature=0.01)
    classifier.set_classes(torch.eye(2))
    features = torch.tensor([[3.0, 4.0]])  # exact in bfloat16; 60.0 and 80.0 stay so, their cosines would not
    with torch.autocast('cpu', dtype=torch.bfloat16):
        logits = classifier(features)
    torch.testing.assert_close(logits, classifier(features))


def test_gradient__reaches_what_is_learned_and_nothing_is_saved_of_the_classes() -> None:
    classifier = plain_classifier()
    classifier.set_classes(torch.eye(2))
    classifier(torch.randn(5, 2)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())
    assert 'class_embeddings' not in classifier.state_dict()


def test_refuses__missing_and_misfitting_classes() -> None:
    classifier = plain_classifier()
    with pytest.raises(ValueError, match='no classes yet'):
        classifier(torch.randn(1, 2))
    for wrong in (torch.zeros(0, 2), torch.eye(3), torch.ones(2)):
        with pytest.raises(ValueError, match=r'expected \(K, 2\) with K of at least 1'):
            classifier.set_classes(wrong)
