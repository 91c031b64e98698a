"""What a sweep looks for in which image."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fgdet.apis.sweep_records import Recording
from fgdet.apis.sweep_scores import read_sweep_data
from fgdet.datasets.ov_lvis import OVLvisDataset


def test_read_sweep_data__names_as_lvis_writes_them(tmp_path: Path) -> None:
    categories = [dict(id=5, name='bat_(animal)'), dict(id=3, name='baseball_bat')]
    objects = [dict(image_id=2, category_id=each, bbox=[0, 0, 9, 9]) for each in (5, 5, 3)]
    images = [dict(id=1, neg_category_ids=[3]), dict(id=2, neg_category_ids=[])]
    content = dict(images=images, categories=categories, annotations=objects)
    (tmp_path / 'lvis.json').write_text(json.dumps(content))
    dataset: Any = SimpleNamespace(
        metainfo=dict(classes=('baseball bat', 'bat (animal)')), INDEX=OVLvisDataset.INDEX, vocabulary=None
    )
    recording = Recording(tmp_path, [2, 1], [0.1], np.array([True, False]), 0, {})
    data = read_sweep_data(tmp_path / 'lvis.json', dataset, recording)
    assert data.image_ids == [1, 2]
    assert data.num_objects.tolist() == [1, 2]
    assert [each.labels.tolist() for each in data.images] == [[], [1, 1, 0]]
    assert data.groups['novel'].tolist() == [False, True]
