"""Each kind of detector as a function of tensors gives what the detector predicts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures import DetDataSample

from fgdet.apis.export_check import match
from fgdet.models.export.dino import ExportableDINO
from fgdet.models.export.one_stage import ExportableOneStage
from fgdet.models.export.two_stage import ExportableTwoStage
from fgdet.structures.vocabulary import Vocabulary
from tests.detector_builders import tiny_detector, tiny_dino, tiny_one_stage

KINDS: dict[str, tuple[Callable[[], Any], Any]] = {
    'two stages': (tiny_detector, ExportableTwoStage),
    'masks': (lambda: tiny_detector(form='fvit_mask_tiny'), ExportableTwoStage),
    'cascade': (lambda: tiny_detector(form='fvit_cascade_tiny'), ExportableTwoStage),
    'one stage': (tiny_one_stage, ExportableOneStage),
    'dino': (tiny_dino, ExportableDINO),
}


def prepared(kind: str) -> tuple[Any, Any, Any]:
    """A detector with random biases and a negative prompt, its last head and its exportable form."""
    make, exportable = KINDS[kind]
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.05 * torch.randn_like(parameter)
    head = getattr(model, 'roi_head', None) or model.bbox_head
    head.test_cfg.score_thr = 0.0  # the weights are random: the best of all are compared
    model.set_vocabulary(Vocabulary(['cat', 'owl', 'red mug'], negatives=['lamp']))
    model.use(model.vocabulary)
    return model, head, exportable(model)


def predicted(model: Any, pixels: torch.Tensor, size: torch.Tensor) -> Any:
    """Of one image (1, 3, H, W) that ends at a height and a width."""
    shape = tuple(size.tolist())
    meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), batch_input_shape=tuple(pixels.shape[-2:]))
    return model.predict(pixels, [DetDataSample(metainfo=meta)])[0].pred_instances


@torch.no_grad()
@pytest.mark.parametrize('kind', KINDS)
def test_exportable__equals_the_detector(kind: str) -> None:
    model, head, exportable = prepared(kind)
    for seed, size in enumerate([(32, 32), (64, 48), (48, 112)]):
        torch.manual_seed(seed)
        pixels = torch.randn(2, 3, *size)
        sizes = torch.tensor([size, (size[0] - 7, size[1] - 11)])  # one image fills the input, one is padded
        if seed == 2:
            head.test_cfg.update(nms=dict(type='nms', iou_threshold=0.4), class_agnostic_nms=True)
        boxes, scores, labels, *masks = exportable(pixels, sizes)
        for image in range(2):
            expected = predicted(model, pixels[image : image + 1], sizes[image])
            count = len(expected)
            assert count and int((scores[image] >= 0).sum()) == count
            found = boxes[image].numpy(), scores[image].numpy(), labels[image].numpy()
            difference = match(found, tuple(expected[name].numpy() for name in ('bboxes', 'scores', 'labels')))
            assert (difference.detections, difference.unmatched) == (count, 0)
            assert difference.box_error < 1e-3 and difference.score_error < 1e-5
            if masks:
                pasted, _ = _do_paste_mask(
                    masks[0][image, :count, None], boxes[image, :count], *sizes[image].tolist(), False
                )
                filled = pasted >= head.test_cfg.mask_thr_binary  # (count, H, W)
                assert (filled != expected.masks).float().mean() < 1e-3


@torch.no_grad()
def test_dino__more_queries_than_cells() -> None:
    model, _, exportable = prepared('dino')
    assert model.num_queries == 6
    pixels = torch.randn(1, 3, 8, 8)
    cells = sum(level[0, 0].numel() for level in model.extract_feat(pixels))
    assert cells < 6
    boxes, scores, _ = exportable(pixels, torch.tensor([[8, 8]]))
    expected = predicted(model, pixels, torch.tensor([8, 8]))
    assert int((scores >= 0).sum()) == len(expected) >= 1
    torch.testing.assert_close(scores[0, : len(expected)], expected.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(boxes[0, : len(expected)], expected.bboxes, atol=1e-3, rtol=0)
