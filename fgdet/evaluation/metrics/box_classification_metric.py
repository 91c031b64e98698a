"""Classification of annotated boxes in an mmengine run.

Axes: N boxes of one image, K classes, D embedding, k best classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from fgdet.evaluation.functional.box_classification import NEVER, BoxRanks, GivenBoxes, best_classes, category_groups
from fgdet.evaluation.metrics.sample_arrays import to_array
from fgdet.evaluation.results import load_annotations
from fgdet.registry import METRICS
from fgdet.utils.checks import UserError


@METRICS.register_module()
class BoxClassificationMetric(BaseMetric):
    """Top-1 and top-5 of annotated boxes that are told apart by the texts of classes, over boxes and over classes.

    Scores in 0..1, as :meth:`~fgdet.evaluation.functional.box_classification.BoxRanks.scores` names them; boxes that no
    sample came for count as wrong.

    Takes samples with ``annotation_ids`` (N,), the ids of the boxes in the annotation file, and ``region_features``
    (N, D) of any length.

    Args:
        ann_file: COCO-form annotation file; boxes of no area are left out.
        class_features: (K, D) of length 1, in the order of the file's categories.
        crowd: whether boxes around crowds count.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log; None is ``box_classification``.

    Raises:
        UserError: the annotation file is missing or malformed.
    """

    default_prefix = 'box_classification'

    def __init__(
        self,
        ann_file: str,
        class_features: Any = None,
        crowd: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        annotations = load_annotations(ann_file)
        self.given = GivenBoxes.from_annotations(annotations, crowd=crowd)
        self.groups = category_groups(annotations['categories'])
        self.class_features = None if class_features is None else np.asarray(class_features, dtype=np.float32)

    def set_classes(self, token_ids: Any, features: Any) -> None:
        """Take these class features (K, D), as a :class:`~fgdet.engine.hooks.class_texts.ClassTextsHook` gives them."""
        self.class_features = to_array(features)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the best classes of one batch's boxes; ``data_batch`` is not looked at.

        Raises:
            UserError: there are no class features, or not one for each category of the file.
        """
        num_classes, found = len(self.given.category_ids), self.class_features
        if found is None or len(found) != num_classes:
            got = 'none' if found is None else len(found)
            raise UserError(
                f'BoxClassificationMetric class_features: expected {num_classes}, one a category, got {got}'
            )
        for sample in data_samples:
            best, _ = best_classes(to_array(sample['region_features']), found)
            self.results.append((to_array(sample['annotation_ids']), best))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores by name; the results of all processes, image by image."""
        best_of = {number: best for ids, rows in results for number, best in zip(ids.tolist(), rows, strict=True)}
        ranks = np.full(len(self.given), NEVER)
        for row, (number, label) in enumerate(zip(self.given.annotation_ids.tolist(), self.given.classes, strict=True)):
            place = np.flatnonzero(best_of.get(number, np.zeros(0)) == label)
            if len(place):
                ranks[row] = place[0]
        given = self.given
        run = BoxRanks(given.image_ids, given.images, given.classes, ranks, len(given.category_ids), self.groups)
        return run.scores()
