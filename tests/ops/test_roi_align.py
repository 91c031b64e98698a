"""region_pool against torchvision's operator, hand-worked bins, gradcheck, and itself exported to ONNX."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from fgdet.ops.roi_align import MAX_SEPARABLE_CELLS, axis_weights, region_pool

TOLERANCE = 1e-5


def random_boxes(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Boxes inside and outside of the map, tiny to many times its size; a third on whole and half cells."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height])
    centre = (torch.rand(count, 2, generator=generator) * 1.6 - 0.3) * size
    extent = torch.rand(count, 2, generator=generator) ** 4 * 4 * size
    boxes = torch.cat([centre - extent / 2, centre + extent / 2], 1)
    boxes[::3] = (boxes[::3] * 2).round() / 2
    return boxes


def with_image_index(boxes: list[Tensor]) -> Tensor:
    return torch.cat([torch.cat([torch.full((len(b), 1), float(i)), b], 1) for i, b in enumerate(boxes)])


@pytest.mark.parametrize('output_size', [1, 2, 7, (3, 2), (1, 4)])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('size_hw', [(12, 12), (9, 14), (1, 5)])
def test_region_pool__equals_torchvision_forward_and_backward(output_size, aligned, size_hw):
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, 4, *size_hw, generator=generator, requires_grad=True)
    boxes = [random_boxes(30, *size_hw), torch.zeros(0, 4), random_boxes(17, *size_hw, seed=1)]
    for sampling_ratio, scale in itertools.product([-1, 0, 1, 2], [1.0, 0.25]):
        scaled = [b / scale for b in boxes]
        ours = region_pool(features, scaled, output_size, scale, sampling_ratio, aligned)
        theirs = roi_align(features, scaled, output_size, scale, sampling_ratio, aligned)
        assert (ours - theirs).abs().max() < TOLERANCE

        grad = torch.randn(theirs.shape, generator=generator)
        (our_grad,) = torch.autograd.grad(ours, features, grad)
        (their_grad,) = torch.autograd.grad(theirs, features, grad)
        assert (our_grad - their_grad).abs().max() < TOLERANCE * max(1, their_grad.abs().max())


def test_region_pool__indexed_boxes_in_any_order():
    features = torch.randn(3, 4, 8, 10)
    rois = with_image_index([random_boxes(20, 8, 10), random_boxes(1, 8, 10), random_boxes(9, 8, 10)])
    rois = rois[torch.randperm(len(rois), generator=torch.Generator().manual_seed(0))]
    for output_size in (1, 3):
        assert (
            region_pool(features, rois, output_size) - roi_align(features, rois, output_size, aligned=True)
        ).abs().max() < TOLERANCE


@pytest.mark.parametrize('counts', [(1, 1, 1), (5, 4, 6), (40, 0, 1, 0), (0, 0, 3), (0, 0)])
def test_region_pool__counts_equal_padded_skewed_empty(counts):
    features = torch.randn(len(counts), 4, 6, 6)
    boxes = [random_boxes(n, 6, 6, seed=i) for i, n in enumerate(counts)]
    one_by_one = [region_pool(f[None], [b], 2) for f, b in zip(features, boxes, strict=True)]
    torch.testing.assert_close(region_pool(features, boxes, 2), torch.cat(one_by_one))
    torch.testing.assert_close(region_pool(features, with_image_index(boxes), 2), torch.cat(one_by_one))


def test_region_pool__many_regions_in_several_strips(monkeypatch):
    features, boxes = torch.randn(2, 4, 6, 6), [random_boxes(9, 6, 6), random_boxes(7, 6, 6)]
    monkeypatch.setattr(
        'fgdet.ops.roi_align.MAX_STRIP_NUMBERS', 2 * 4 * 6 * 3 * 2
    )  # two regions of both images at once
    assert (region_pool(features, boxes, 3) - roi_align(features, boxes, 3, aligned=True)).abs().max() < TOLERANCE


@pytest.mark.parametrize('output_size', [1, 7])
def test_region_pool__no_boxes_keeps_the_graph(output_size):
    features = torch.randn(2, 3, 4, 4, requires_grad=True)
    for boxes in ([torch.zeros(0, 4)] * 2, torch.zeros(0, 5)):
        for implementation in ('separable', 'torchvision'):
            pooled = region_pool(features, boxes, output_size, implementation=implementation)
            assert pooled.shape == (0, 3, output_size, output_size)
        (grad,) = torch.autograd.grad(region_pool(features, boxes, output_size).sum(), features)
        assert torch.equal(grad, torch.zeros_like(features))
    assert region_pool(torch.zeros(0, 3, 4, 4), [], output_size).shape == (0, 3, output_size, output_size)


def test_region_pool__hand_worked():
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    boxes = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 4.0, 4.0], [0.75, 0.5, 1.25, 1.5], [-0.5, 1.0, 0.5, 2.0]])
    # The middle four cells: (5 + 6 + 9 + 10) / 4; all cells; one sample at (0.5, 0.5) from the first centre: the mean
    # of 0, 1, 4, 5; one sample half a cell outside on the left, clamped to the border, in row 1.
    assert region_pool(features, [boxes]).flatten().tolist() == [7.5, 7.5, 2.5, 4.0]


@pytest.mark.parametrize('sampling_ratio', [-1, 2])
def test_region_pool__linear_map_gives_the_box_centre(sampling_ratio):
    """Bilinear samples of a linear function average to its value at the centre, away from the border."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing='ij')
    features = torch.stack([rows, columns])[None] + 0.5  # cell centres
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(50, 2, generator=generator) * 12 + 1
    boxes = torch.cat([corner, corner + torch.rand(50, 2, generator=generator) * 14], 1)
    pooled = region_pool(features, [boxes], sampling_ratio=sampling_ratio).flatten(1)
    centre = (boxes[:, :2] + boxes[:, 2:]).flip(1) / 2
    torch.testing.assert_close(pooled, centre, atol=1e-5, rtol=0)


@pytest.mark.parametrize('implementation', ['separable', 'torchvision'])
@pytest.mark.parametrize('output_size', [1, 3])
def test_region_pool__boxes_that_torchvision_leaves_undefined(implementation, output_size):
    features = torch.randn(1, 2, 6, 6) + 3
    reversed_once = torch.tensor([[4.0, 1.0, 2.0, 5.0], [1.0, 5.0, 3.0, 2.0]])
    no_extent = torch.tensor([[1.0, 1.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0], [4.0, 4.0, 2.0, 2.0]])
    inf, nan = math.inf, math.nan
    not_finite = torch.tensor([[nan, 1, 2, 3], [1, 1, inf, 3], [-inf, 1, 3, 3], [1, -inf, 2, inf], [1, 1, 3, nan]])

    def pool(boxes: Tensor, **settings) -> Tensor:
        return region_pool(features, [boxes], output_size, implementation=implementation, **settings)

    assert not pool(torch.cat([reversed_once, no_extent])).any()
    for aligned, sampling_ratio in itertools.product([True, False], [-1, 2]):
        assert not pool(not_finite, aligned=aligned, sampling_ratio=sampling_ratio).any()
    with pytest.raises((ValueError, RuntimeError)):  # what this is about
        roi_align(features, [reversed_once], output_size, aligned=True)
    others = torch.cat([reversed_once, no_extent])
    for settings in ({'aligned': False}, {'aligned': True, 'sampling_ratio': 2}):
        assert (
            pool(others, **settings) - roi_align(features, [others], output_size, **settings)
        ).abs().max() < TOLERANCE


def test_region_pool__huge_box_is_the_border_clamped_mean():
    """A million cells along each side: the samples on the map are its cells, each counted once."""
    features = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    boxes = torch.tensor([[-5e5, -5e5, 5e5, 5e5]], dtype=torch.float64)
    # Sample rows are the whole numbers -1, 0 .. 4 off by half: ... -1, 0, 1, 2, 3, 4 after the shift; -1 and 4 clamp.
    per_cell = torch.tensor([2.0, 1.0, 1.0, 2.0], dtype=torch.float64) / 1e6
    expected = torch.einsum('bchw,h,w->bc', features, per_cell, per_cell)
    torch.testing.assert_close(region_pool(features, [boxes]).flatten(1), expected)


def test_region_pool__gradcheck_in_float64():
    features = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    boxes = [random_boxes(3, 4, 5).double(), random_boxes(2, 4, 5, seed=1).double()]
    for output_size, aligned in ((1, True), (2, False)):
        assert torch.autograd.gradcheck(lambda f: region_pool(f, boxes, output_size, aligned=aligned), features)  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda f: region_pool(f, boxes, output_size, aligned=aligned), features)  # noqa: B023


def test_region_pool__gradient_reaches_features_only():
    features = torch.randn(1, 2, 6, 6, requires_grad=True)
    boxes = random_boxes(4, 6, 6).requires_grad_()
    region_pool(features, [boxes]).sum().backward()
    assert boxes.grad is None
    assert features.grad is not None


@pytest.mark.parametrize('deterministic', [False, True])
def test_region_pool__same_bits_on_every_run(deterministic):
    features = torch.randn(3, 8, 16, 16, requires_grad=True)
    boxes = [random_boxes(n, 16, 16, seed=n) for n in (50, 40, 30)]

    def run(output_size: int) -> tuple[Tensor, Tensor]:
        pooled = region_pool(features, with_image_index(boxes), output_size)
        return pooled, torch.autograd.grad(pooled.square().sum(), features)[0]

    torch.use_deterministic_algorithms(deterministic)
    try:
        for output_size in (1, 7):
            first, second = run(output_size), run(output_size)
            assert torch.equal(first[0], second[0])
            assert torch.equal(first[1], second[1])
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_region_pool__half_precision_accumulates_in_float32(dtype):
    features = torch.randn(2, 4, 32, 32).to(dtype).requires_grad_()
    boxes = [random_boxes(8, 32, 32), random_boxes(8, 32, 32, seed=1)]
    pooled = region_pool(features, boxes)
    assert pooled.dtype == dtype
    assert torch.equal(pooled, region_pool(features.float(), boxes).to(dtype))
    pooled.float().sum().backward()
    assert features.grad.dtype == dtype


def test_region_pool__autocast_does_not_lower_the_precision():
    features, boxes = torch.randn(1, 4, 8, 8), [random_boxes(8, 8, 8)]
    expected = region_pool(features, boxes)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(region_pool(features, boxes), expected)


def test_region_pool__auto_leaves_several_bins_on_a_large_map_to_torchvision(monkeypatch):
    calls = []
    monkeypatch.setattr('torchvision.ops.roi_align', lambda *a: calls.append(a) or roi_align(*a))
    side = math.isqrt(MAX_SEPARABLE_CELLS) + 1
    features, boxes = torch.randn(1, 1, side, side), [random_boxes(3, 20, 20)]
    region_pool(features, boxes, 1)
    region_pool(features[:, :, :-1, :-1], boxes, 7)
    assert not calls
    pooled = region_pool(features, boxes, 7)
    assert len(calls) == 1
    torch.use_deterministic_algorithms(True)
    try:
        assert (region_pool(features, boxes, 7) - pooled).abs().max() < TOLERANCE
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(calls) == 1


def test_axis_weights__naive_loop():
    """Every sample of every bin, one after the other."""
    start, end = random_boxes(40, 7, 7)[:, 0::2].double().unbind(1)
    for bins, aligned, ratio in itertools.product([1, 3], [True, False], [-1, 2]):
        expected = torch.zeros(len(start), bins, 7, dtype=torch.float64)
        for region, (low, high) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
            extent = high - low if aligned else max(high - low, 1.0)
            count = ratio if ratio > 0 else math.ceil(extent / bins)
            for bin_index, sample in itertools.product(range(bins), range(count)):
                position = low + bin_index * (extent / bins) + (sample + 0.5) * (extent / bins) / count
                if -1 <= position <= 7:
                    position = min(max(position, 0.0), 6.0)
                    cell = min(int(position), 5)
                    expected[region, bin_index, cell] += (1 - (position - cell)) / count
                    expected[region, bin_index, cell + 1] += (position - cell) / count
        torch.testing.assert_close(axis_weights(start, end, bins, 7, ratio, aligned), expected)


MAP = torch.zeros(1, 3, 4, 4)


@pytest.mark.parametrize(
    ('features', 'boxes', 'settings', 'message'),
    [
        (torch.zeros(2, 3, 4), [], {}, 'features: expected'),
        (MAP.long(), [torch.zeros(1, 4)], {}, 'features: expected'),
        (MAP.repeat(2, 1, 1, 1), [torch.zeros(1, 4)], {}, 'one tensor for each of the 2 images, got 1'),
        (MAP, [torch.zeros(1, 5)], {}, r'list of \(N, 4\), got shapes \[\(1, 5\)\]'),
        (MAP, torch.zeros(1, 4), {}, r'expected \(K, 5\)'),
        (MAP, torch.tensor([[1.0, 0, 0, 1, 1]]), {}, r'image indices in 0..0 in column 0, got \[1\]'),
        (MAP, torch.tensor([[-1.0, 0, 0, 1, 1]]), {}, r'image indices in 0..0 in column 0, got \[-1\]'),
        (MAP, [torch.zeros(1, 4)], {'output_size': 0}, 'output_size: expected'),
        (MAP, [torch.zeros(1, 4)], {'output_size': (1, 2, 3)}, 'output_size: expected'),
        (MAP, [torch.zeros(1, 4)], {'implementation': 'fast'}, "implementation: expected one of .*'fast'"),
    ],
)
def test_region_pool__bad_arguments(features, boxes, settings, message):
    with pytest.raises(ValueError, match=message):
        region_pool(features, boxes, **settings)


class _Pool(torch.nn.Module):
    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, features, *boxes):
        boxes = boxes[0] if boxes[0].shape[1] == 5 else list(boxes)
        return region_pool(features, boxes, self.output_size)


@pytest.mark.parametrize('indexed', [False, True])
def test_region_pool__compiles_in_one_graph(indexed):
    features, boxes = torch.randn(2, 4, 6, 8), [random_boxes(9, 6, 8), random_boxes(4, 6, 8)]
    given = [with_image_index(boxes).flip(0)] if indexed else boxes
    compiled = torch.compile(_Pool(2), fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(features, *given), _Pool(2)(features, *given))


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(('num_images', 'indexed', 'output_size'), [(2, False, 1), (2, True, (3, 2))])
def test_region_pool__onnx_for_other_numbers_of_boxes(num_images, indexed, output_size):
    pytest.importorskip('onnxscript')
    onnxruntime = pytest.importorskip('onnxruntime')
    features = torch.randn(num_images, 4, 8, 8)

    def draw(counts):
        boxes = [torch.cat([torch.zeros(1, 4), random_boxes(n, 8, 8, seed=n)])[: max(n, 0)] for n in counts]
        return [with_image_index(boxes)] if indexed else boxes

    given = draw([5] * num_images)
    dynamic = {'features': None, 'boxes': tuple({0: torch.export.Dim.DYNAMIC} for _ in given)}
    exported = torch.onnx.export(
        _Pool(output_size), (features, *given), dynamo=True, dynamic_shapes=dynamic, verbose=False
    )
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    for counts in ([5, 5], [1, 7], [0, 2], [30, 3]):
        given = draw(counts[:num_images])
        feed = dict(zip(names, [tensor.numpy() for tensor in (features, *given)], strict=True))
        (pooled,) = session.run(None, feed)
        expected = _Pool(output_size)(features, *given)
        assert pooled.shape == tuple(expected.shape)
        if len(expected):
            assert (torch.from_numpy(pooled) - expected).abs().max() < TOLERANCE
