"""Zero-shot classification in an mmengine run.

Axes: K classes, D embedding.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from fgdet.evaluation.functional.zero_shot import ZeroShotScores, best_classes, wrong_ahead
from fgdet.evaluation.metrics.sample_arrays import to_array
from fgdet.registry import METRICS
from fgdet.utils.checks import UserError


@METRICS.register_module()
class ZeroShotMetric(BaseMetric):
    """Top-1, top-5 and mean per class of images that are told apart by the texts of classes.

    Scores in 0..1: ``zero_shot/top1``, ``zero_shot/top5``, ``zero_shot/mean_per_class``; ties count against, see
    :mod:`fgdet.evaluation.functional.zero_shot`.

    Takes samples with ``image_feature`` (D,) and ``gt_label``, an int or a tensor of one.

    Args:
        class_features: (K, D) of the classes, in the order of their labels.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log.
    """

    default_prefix = 'zero_shot'

    def __init__(self, class_features: Any = None, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.class_features = None if class_features is None else np.asarray(class_features, dtype=np.float32)

    def set_classes(self, token_ids: Any, features: Any) -> None:
        """Take these class features (K, D), as a :class:`~fgdet.engine.hooks.class_texts.ClassTextsHook` gives them."""
        self.class_features = to_array(features)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the ranks of one batch; ``data_batch`` is not looked at.

        Raises:
            UserError: there are no class features.
        """
        if self.class_features is None:
            raise UserError('ZeroShotMetric: no class_features; give them, or a ClassTextsHook')
        labels = np.array([int(sample['gt_label']) for sample in data_samples], dtype=np.int64)
        images = np.stack([to_array(sample['image_feature']) for sample in data_samples])
        ahead = wrong_ahead(best_classes(images, self.class_features), labels)
        self.results += list(zip(ahead.tolist(), labels.tolist(), strict=True))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores by name; the results of all processes, image by image."""
        assert self.class_features is not None
        ahead, labels = (np.array(column, dtype=np.int64) for column in zip(*results, strict=True))
        return ZeroShotScores(ahead, labels, len(self.class_features), [str(i) for i in range(len(ahead))]).scores()
