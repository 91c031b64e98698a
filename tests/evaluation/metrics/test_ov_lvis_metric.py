import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.structures import InstanceData

from fgdet.registry import METRICS
from fgdet.utils.checks import UserError

NAMES = ['cab_(taxi)', 'aerosol_can', 'speaker_(stero_equipment)']
CLASSES = ('speaker (stereo equipment)', 'cab (taxi)', 'aerosol can')  # as prompts have them, in another order


def lvis_file(tmp_path: Path) -> Path:
    square = [[10, 10, 50, 10, 50, 50, 10, 50]]
    content = dict(
        images=[dict(id=7, height=64, width=64, neg_category_ids=[3], not_exhaustive_category_ids=[])],
        categories=[dict(id=n, name=name, frequency='rcf'[n - 1]) for n, name in enumerate(NAMES, 1)],
        annotations=[
            dict(id=n, image_id=7, category_id=n, bbox=[10, 10, 40, 40], area=1600, segmentation=square) for n in (1, 2)
        ],
    )
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(content))
    return path


def sample(masks: np.ndarray) -> dict[str, Any]:
    boxes = np.array([[10, 10, 50, 50]] * 3, dtype=np.float32)
    instances = InstanceData(bboxes=boxes, scores=np.array([0.9, 0.8, 0.7]), labels=np.array([0, 1, 2]), masks=masks)
    return dict(img_id=7, pred_instances=instances)


def test_metric__boxes_and_masks_by_name(tmp_path: Path) -> None:
    masks = np.zeros((3, 64, 64), dtype=bool)
    masks[:, 10:50, 10:50] = True
    masks[2, 10:50, 10:30] = False  # half of the mask: an overlap of 0.5 is a hit at the first threshold only
    metric = METRICS.build(
        dict(type='fgdet.OVLvisMetric', ann_file=str(lvis_file(tmp_path)), iou_types=('bbox', 'segm'))
    )
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, [sample(masks)])
    scores = metric.evaluate(size=1)
    names = ('bbox_AP', 'bbox_novel_ap', 'bbox_base_ap', 'segm_APr', 'segm_base_ap')
    assert [scores[f'ov_lvis/{name}'] for name in names] == pytest.approx([1, 1, 1, 1, 0.1])
    assert np.isnan(scores['ov_lvis/bbox_APf'])  # the speaker is not in the image


def test_metric__refuses_other_names(tmp_path: Path) -> None:
    metric = METRICS.build(dict(type='fgdet.OVLvisMetric', ann_file=str(lvis_file(tmp_path))))
    metric.dataset_meta = dict(classes=('owl',))
    with pytest.raises(UserError, match="1 of 1 class names have no category: 'owl'"):
        metric.process({}, [sample(np.zeros((3, 64, 64), dtype=bool))])
