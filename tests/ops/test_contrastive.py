"""The contrastive loss in tiles against the matrix of logits written out."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fgdet.ops.contrastive import contrastive_sum

LABELS = torch.tensor([0, 1, 0, 2, 3, 3, 0, 5, -(2**63)])


def plain(
    images: Tensor, texts: Tensor, scale: Tensor, labels: Tensor | None = None, own: slice | None = None
) -> Tensor:
    """The loss from one matrix of logits."""
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    if labels is not None:
        same = (labels[:, None] == labels[None]) & ~torch.eye(len(labels), dtype=torch.bool)
        logits = logits.masked_fill(same, float('-inf'))
    kept = own or slice(None)
    target = torch.arange(len(images))[kept]
    return (
        F.cross_entropy(logits[kept], target, reduction='sum')
        + F.cross_entropy(logits.T[kept], target, reduction='sum')
    ) / 2


def inputs(pairs: int, dim: int, scale: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    features = [torch.randn(pairs, dim, dtype=dtype, requires_grad=True) for _ in range(2)]
    return features[0], features[1], torch.tensor(scale, dtype=dtype, requires_grad=True)


def test_sum__hand_worked() -> None:
    images, texts = torch.eye(2), torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    # Scale 2. Image rows: logits (2, 2) and (0, 0), each log 2. Text rows: (2, 0) both, targets 0 and 1.
    expected = (2 * math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    for tile_size in (1, 2):
        assert contrastive_sum(images, texts, torch.tensor(2.0), tile_size=tile_size).item() == pytest.approx(expected)


@pytest.mark.parametrize('own', [None, slice(2, 5), slice(0, 3), slice(8, 9)])
@pytest.mark.parametrize('labels', [None, LABELS])
def test_sum__and_gradients_equal_the_plain_form(labels: Tensor | None, own: slice | None) -> None:
    features = inputs(9, 5, 20.0)
    expected = plain(*features, labels, own)
    expected_grads = torch.autograd.grad(expected, features)
    for tile_size in (1, 2, 4, 64):
        total = contrastive_sum(*features, labels, own, tile_size)
        grads = torch.autograd.grad(total, features)
        torch.testing.assert_close((total, *grads), (expected, *expected_grads), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(('labels', 'own'), [*product((None, LABELS[:5]), (None, slice(1, 3)))])
def test_sum__gradcheck(labels: Tensor | None, own: slice | None) -> None:
    assert torch.autograd.gradcheck(lambda *x: contrastive_sum(*x, labels, own, 2), inputs(5, 3, 5.0))


def test_sum__float32_at_the_largest_scale() -> None:
    features = inputs(300, 16, 100.0, torch.float32)
    exact = tuple(x.detach().double().requires_grad_() for x in features)
    labels = torch.arange(300) // 2
    results = []
    for form, args in (
        (lambda *x: contrastive_sum(*x, labels, tile_size=128), features),
        (lambda *x: plain(*x, labels), exact),
    ):
        loss = form(*args) / 300
        results.append([loss, *torch.autograd.grad(loss, args)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


def test_sum__logits_that_no_shared_shift_could_hold() -> None:
    """Row 0 has logits near -1000 only, row 1 near 1000: one maximum for a tile would lose row 0."""
    images = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    texts = torch.tensor([[1.0, 0.1], [1.0, 0.0]], requires_grad=True)
    scale = torch.tensor(1000.0, requires_grad=True)
    total = contrastive_sum(images, texts, scale)
    grads = torch.autograd.grad(total, (images, texts, scale))
    double = [x.detach().double().requires_grad_() for x in (images, texts, scale)]
    expected = plain(*double)
    expected_grads = torch.autograd.grad(expected, double)
    torch.testing.assert_close(total.double(), expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-3)


def test_sum__one_text_for_all_is_zero_with_zero_gradient() -> None:
    features = inputs(5, 4, 100.0, torch.float32)
    total = contrastive_sum(*features, torch.zeros(5, dtype=torch.int64), tile_size=2)
    assert total.item() == 0
    assert not any(grad.any() for grad in torch.autograd.grad(total, features))


def test_sum__without_pairs_is_zero_and_keeps_its_graph() -> None:
    features = inputs(0, 4, 2.0)
    total = contrastive_sum(*features, torch.zeros(0, dtype=torch.int64))
    grads = torch.autograd.grad(total, features)
    assert total.item() == 0 and grads[0].shape == (0, 4) and grads[2].item() == 0
    others = inputs(3, 4, 2.0)
    total = contrastive_sum(*others, own=slice(2, 2))
    assert total.item() == 0 and not any(grad.any() for grad in torch.autograd.grad(total, others))


def test_sum__zero_row_has_cosine_zero() -> None:
    images, texts, scale = inputs(3, 4, 2.0)
    images.data[1] = 0
    total = contrastive_sum(images, texts, scale, tile_size=2)
    torch.testing.assert_close(total, plain(images, texts, scale))
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(total, (images, texts, scale)))


def test_sum__half_precision_under_autocast_is_computed_in_float32() -> None:
    images, texts, scale = (x.detach().to(torch.bfloat16).requires_grad_() for x in inputs(6, 16, 96.0))
    expected = plain(images.double(), texts.double(), scale.double())
    with torch.autocast('cpu', torch.bfloat16):
        total = contrastive_sum(images, texts, scale, tile_size=4)
        total.backward()
    assert total.dtype == torch.float32 and images.grad is not None and images.grad.dtype == torch.bfloat16
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    expected_grad = torch.autograd.grad(expected, images)[0]
    torch.testing.assert_close(images.grad, expected_grad, rtol=1e-2, atol=1e-3 * expected_grad.abs().max().item())


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returned."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.numbers = max(self.numbers, value.numel())
        return result


def test_sum__the_matrix_of_logits_never_exists() -> None:
    features = inputs(200, 4, 10.0, torch.float32)
    with Largest() as seen:
        contrastive_sum(*features, torch.arange(200), tile_size=20).backward()
    assert seen.numbers == max(200 * 4, 2 * 20 * 20)  # features, or the two buffers of a tile; 40,000 logits


def test_sum__the_same_bits_on_every_run() -> None:
    features = inputs(100, 8, 30.0, torch.float32)
    runs = []
    for _ in range(2):
        total = contrastive_sum(*features, tile_size=32)
        runs.append([total, *torch.autograd.grad(total, features)])
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ('shapes', 'labels', 'tile_size', 'message'),
    [
        (((3, 4), (2, 4)), None, 8, r'one shape \(G, D\), got \(3, 4\) and \(2, 4\)'),
        (((4,), (4,)), None, 8, r'one shape \(G, D\)'),
        (((3, 4), (3, 4)), torch.zeros(2), 8, r'labels: expected shape \(3,\), got \(2,\)'),
        (((3, 4), (3, 4)), None, 0, 'tile_size: expected at least 1, got 0'),
    ],
)
def test_sum__bad_input(
    shapes: tuple[tuple[int, ...], ...], labels: Tensor | None, tile_size: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        contrastive_sum(torch.ones(shapes[0]), torch.ones(shapes[1]), torch.tensor(1.0), labels, tile_size=tile_size)
