"""Columns and entries are the same detections."""

import numpy as np
import pytest

from fgdet.evaluation.result_table import ResultTable

ENTRIES = [
    {'image_id': 7, 'category_id': 3, 'bbox': [1.0, 2.5, 3.0, 4.0], 'score': 0.25},
    {'image_id': 2, 'category_id': 1, 'bbox': [0.1, 0.2, 0.3, 0.4], 'score': 0.5},
]
RUN_LENGTH = {'size': [2, 2], 'counts': '04'}


def test_from_entries__and_back_changes_nothing():
    masks = [entry | {'segmentation': RUN_LENGTH} for entry in ENTRIES]
    without_boxes = [{key: value for key, value in entry.items() if key != 'bbox'} for entry in masks]
    for entries in (ENTRIES, masks, without_boxes, []):
        assert list(ResultTable.from_entries(entries).to_entries()) == entries


def test_select__takes_masks_and_indices():
    table = ResultTable.from_entries([entry | {'segmentation': RUN_LENGTH} for entry in ENTRIES])
    assert next(iter(table.select(np.array([1, 0])).to_entries()))['image_id'] == 2
    assert table.select(np.array([True, False])).image_ids.tolist() == [7]
    assert len(table.select(np.array([], dtype=int))) == 0


def test_result_table__refuses_columns_of_other_lengths():
    table = ResultTable.from_entries(ENTRIES)
    with pytest.raises(ValueError, match=r'boxes \(2, 4\)'):
        ResultTable(table.image_ids, table.category_ids, table.boxes[:1], table.scores)
    with pytest.raises(ValueError, match='1 segmentations for 2'):
        ResultTable(table.image_ids, table.category_ids, table.boxes, table.scores, [RUN_LENGTH])
