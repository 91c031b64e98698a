"""Second stages of small detectors, and what goes into them."""

from typing import Any

import torch
from mmengine.structures import InstanceData

from tests.detector_builders import tiny_detector

FORMS = ['fvit_tiny', 'fvit_cascade_tiny']
METAS = [
    dict(img_shape=(48, 60), batch_input_shape=(48, 64), scale_factor=(2.0, 0.5)),
    dict(img_shape=(40, 64), batch_input_shape=(48, 64), scale_factor=(1.0, 1.0)),
]


def second_stage(form: str, **test_cfg: Any) -> Any:
    """The second stage of a random detector."""
    detector = tiny_detector(form=form)
    for head in detector.heads():  # all stages move the boxes
        torch.nn.init.normal_(head.fc_reg.weight, std=0.5)
    detector.use(detector.vocabulary)
    detector.roi_head.test_cfg.update(test_cfg)
    return detector.roi_head


def keeping_all(form: str, alpha: float, beta: float) -> Any:
    """Keeps every pair of a region and a class."""
    weights = dict(alpha=alpha, beta=beta, temperature=0.1)
    nms = dict(type='nms', iou_threshold=1.0)
    return second_stage(form, score_thr=-1.0, max_per_img=1000, nms=nms, score_ensemble=weights)


def features() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    pyramid = [torch.randn(2, 16, 48 // stride, 64 // stride) for stride in (4, 8, 16)]
    return (*pyramid, torch.randn(2, 16, 6, 8))


def proposals(*counts: int) -> list[InstanceData]:
    torch.manual_seed(1)
    corners = [torch.rand(count, 2) * 30 for count in counts]
    return [InstanceData(bboxes=torch.cat([each, each + 4 + torch.rand(each.shape) * 20], 1)) for each in corners]
