"""The perceptron and its activation."""

import math

import pytest
import torch

from fgdet.models.layers.mlp import MLP, quick_gelu


@pytest.mark.parametrize('x', [-3.0, -0.5, 0.0, 1.0, 4.0])
def test_quick_gelu__equals_its_formula(x: float) -> None:
    assert quick_gelu(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(x / (1 + math.exp(-1.702 * x)))


def test_mlp__hand_worked() -> None:
    mlp = MLP(2, 3).double()
    with torch.no_grad():
        mlp.fc1.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]))
        mlp.fc1.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
        mlp.fc2.weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
        mlp.fc2.bias.copy_(torch.tensor([0.5, 0.0]))
    # Hidden values of (1, 1): 1, 2 and 0, of which the activation makes g(1), g(2) and 0.
    g = [x / (1 + math.exp(-1.702 * x)) for x in (1.0, 2.0)]
    output = mlp(torch.ones(1, 2, dtype=torch.float64))[0].tolist()
    assert output == pytest.approx([g[0] + 2 * g[1] + 0.5, 0.0])


def test_mlp__many_tokens_give_what_few_give() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(3, 5).double(), torch.randn(2, 4, 3).double()  # 8 tokens of 3 channels; one at a time below
    one_by_one = torch.stack([mlp(token[None])[0] for token in x.flatten(0, 1)]).view_as(x)
    torch.testing.assert_close(mlp(x), one_by_one, rtol=0, atol=1e-14)


def test_mlp__exact_gelu() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(2, 3, activation='gelu').double(), torch.randn(4, 2).double()
    hidden = mlp.fc1(x)
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(mlp(x), mlp.fc2(gelu))


def test_mlp__unknown_activation() -> None:
    with pytest.raises(ValueError, match="one of quick_gelu, gelu, got 'relu'"):
        MLP(2, 3, activation='relu')
