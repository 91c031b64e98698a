"""A linear layer, its classes without training, and the names that it refuses."""

import pytest
import torch
import torch.nn.functional as F

from fgdet.models.classifiers.linear_classifier import LinearClassifier
from fgdet.utils.checks import UserError

EMBEDDINGS = F.normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=1)
TRAINED = torch.tensor([True, False, True])


@pytest.mark.parametrize('background', [True, False])
def test_forward__a_linear_layer_of_any_shape_whose_untrained_classes_have_no_probability(background: bool) -> None:
    classifier = LinearClassifier(4, num_classes=3, background=background, bias=-2.0)
    classifier.set_classes(EMBEDDINGS, TRAINED)
    features = torch.randn(2, 5, 4)
    logits = classifier(features)
    plain = features @ classifier.linear.weight.T - 2.0
    kept = [0, 2, 3] if background else [0, 2]
    assert logits.shape == (2, 5, 4 if background else 3)
    torch.testing.assert_close(logits[..., kept], plain[..., kept])
    assert torch.equal(logits.softmax(-1)[..., 1], torch.zeros(2, 5))
    assert torch.equal(logits.half().sigmoid()[..., 1], torch.zeros(2, 5).half())
    assert classifier(torch.zeros(0, 4)).shape[0] == 0


def test_gradient__none_for_classes_without_boxes_and_no_nan() -> None:
    classifier = LinearClassifier(4, num_classes=3, background=False)
    classifier.set_classes(EMBEDDINGS, TRAINED)
    F.binary_cross_entropy_with_logits(classifier(torch.randn(5, 4)), torch.zeros(5, 3)).backward()
    gradient = classifier.linear.weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert torch.equal(gradient.abs().sum(1) > 0, TRAINED)


def test_set_classes__refuses_another_number_and_other_names() -> None:
    classifier = LinearClassifier(4, num_classes=3)
    with pytest.raises(
        UserError, match='expected the 3 names of the training vocabulary and no negative prompts, got 2'
    ):
        classifier.set_classes(EMBEDDINGS[:2])
    classifier.set_classes(EMBEDDINGS)
    restored = LinearClassifier(4, num_classes=3)
    restored.load_state_dict(classifier.state_dict())
    restored.set_classes(EMBEDDINGS + 1e-5)
    with pytest.raises(UserError, match='2 of the 3 names differ from those of the training or stand in another order'):
        restored.set_classes(EMBEDDINGS[[1, 0, 2]])
