"""Image-text retrieval in an mmengine run.

Axes: D embedding, n captions of an image.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from fgdet.evaluation.functional.retrieval import caption_ranks, caption_recalls
from fgdet.evaluation.metrics.sample_arrays import own_array
from fgdet.registry import METRICS


@METRICS.register_module()
class RetrievalMetric(BaseMetric):
    """Recall at 1, 5 and 10 from images to captions and back, by :mod:`fgdet.evaluation.functional.retrieval`.

    Scores in 0..1: ``retrieval/i2t_r1``, ``_r5``, ``_r10`` and ``retrieval/t2i_r1`` ...; of several fields each has its
    name before them: ``retrieval/long_feature_i2t_r1``. Equal captions of different images are different answers, as
    in the protocol of COCO; :class:`~fgdet.evaluation.metrics.region_text_metric.RegionTextMetric` takes them for one.

    Takes samples with ``image_feature`` (D,) and, in each field, the image's captions (n, D), or (D,) of one. All
    features are kept: 2 kB each at D 512.

    Args:
        fields: where the features of the captions are, such as ``long_feature`` and ``short_feature`` of
            :meth:`fgdet.FGCLIPPretrainer.predict`.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log.

    Raises:
        ValueError: no field is given.
    """

    default_prefix = 'retrieval'

    def __init__(
        self, fields: Sequence[str] = ('text_features',), collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not fields or isinstance(fields, str):
            raise ValueError(f'RetrievalMetric fields: expected a list of names, got {fields!r}')
        self.fields = tuple(fields)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's features; ``data_batch`` is not looked at."""
        for sample in data_samples:
            texts = [np.atleast_2d(own_array(sample[field])) for field in self.fields]  # (n, D) each
            self.results.append((own_array(sample['image_feature']), *texts))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores by name; the results of all processes, image by image."""
        images = np.stack([image for image, *_ in results])  # (B, D)
        scores: dict[str, float] = {}
        for place, field in enumerate(self.fields, 1):
            texts = [result[place] for result in results]
            owners = np.repeat(np.arange(len(texts)), [len(rows) for rows in texts])
            ranks = caption_ranks(images, np.concatenate(texts), owners)
            scores |= caption_recalls(ranks, f'{field}_' if len(self.fields) > 1 else '')
        return scores
