"""Both scores of FG-OVD as metrics of an mmengine run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from fgdet.evaluation.functional.fg_ovd import (
    NUM_NEGATIVES,
    evaluate_fg_ovd_detection,
    rank_outcomes,
    vocabularies_of,
)
from fgdet.evaluation.metrics.sample_arrays import to_array
from fgdet.evaluation.result_columns import ResultColumns
from fgdet.evaluation.results import load_annotations
from fgdet.registry import METRICS
from fgdet.utils.checks import UserError


@METRICS.register_module()
class FGOVDRankMetric(BaseMetric):
    """Share of given boxes whose right caption scores highest, see
    :func:`~fgdet.evaluation.functional.fg_ovd.rank_outcomes`.

    Takes samples with ``scores``, (S,) of a box's captions, the right one first, and ``subset``, such as ``'hard'``.
    Gives for each subset its share, and as ``<subset>_strict`` the one where a tie counts as wrong.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log; None is ``fg_ovd``.
    """

    default_prefix = 'fg_ovd'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's outcomes; ``data_batch`` is not looked at."""
        for sample in data_samples:
            scores = to_array(sample['scores'])
            best, alone = rank_outcomes(scores, np.array([len(scores)]))
            self.results.append((sample['subset'], bool(best[0]), bool(alone[0])))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The shares of each subset."""
        shares = {}
        for subset in dict.fromkeys(name for name, *_ in results):
            outcomes = np.array([each for name, *each in results if name == subset])  # (M, 2)
            shares[subset], shares[f'{subset}_strict'] = outcomes.mean(axis=0).tolist()
        return shares


@METRICS.register_module()
class FGOVDDetectionMetric(BaseMetric):
    """The benchmark's detection mAP of one file, see
    :func:`~fgdet.evaluation.functional.fg_ovd.evaluate_fg_ovd_detection`.

    Takes one sample for each run of a detector: ``img_id``; ``category_id``, the right caption whose vocabulary was
    looked for; and ``pred_instances`` with ``bboxes`` (N, 4) xyxy in pixels of the original image, ``scores`` (N,) and
    ``labels`` (N,), 0 for the right caption and i for its i-th negative. Gives ``map``, ``map50`` and ``map75``.

    Args:
        ann_file: the COCO form of FG-OVD; all its captions with enough negatives count.
        num_negatives: wrong captions in a vocabulary.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log; None is ``fg_ovd``.

    Raises:
        UserError: the file is missing or malformed, or no caption has so many negatives.
    """

    default_prefix = 'fg_ovd'

    def __init__(
        self,
        ann_file: str,
        num_negatives: int = NUM_NEGATIVES,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.annotations = load_annotations(ann_file)
        for position, entry in enumerate(self.annotations['annotations']):
            if not isinstance(entry.get('neg_category_ids'), list):
                raise UserError(f"annotation file {ann_file}: annotations[{position}] has no list 'neg_category_ids'")
        self.num_negatives = num_negatives
        self.runs = vocabularies_of(self.annotations, num_negatives)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's detections as arrays; ``data_batch`` is not looked at."""
        for sample in data_samples:
            key = int(sample['img_id']), int(sample['category_id'])
            if key not in self.runs:
                raise UserError(f'FGOVDDetectionMetric: image {key[0]} has no vocabulary of caption {key[1]}')
            found = sample['pred_instances']
            boxes = to_array(found['bboxes']).astype(np.float64)
            boxes[:, 2:] -= boxes[:, :2]  # xywh
            captions = np.array(self.runs[key], dtype=np.int64)[to_array(found['labels'])]
            self.results.append((key, captions, boxes, to_array(found['scores'])))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The means over captions; a run that came twice counts once."""
        columns, vocabularies = ResultColumns(), [np.zeros(0, dtype=np.int64)]
        for (image_id, caption), captions, boxes, scores in {result[0]: result for result in results}.values():
            columns.add(np.full(len(scores), image_id), captions, boxes, scores)
            vocabularies.append(np.full(len(scores), caption))
        table = columns.table()
        return evaluate_fg_ovd_detection(
            self.annotations, table, np.concatenate(vocabularies), self.num_negatives
        ).means()
