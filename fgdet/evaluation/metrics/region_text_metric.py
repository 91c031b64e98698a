"""Retrieval, region and hard-negative scores of a pretraining run on a held-out set.

Axes: B images, R regions, K classes, M regions with hard negatives, L tokens, D embedding.
"""

import logging
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from fgdet.evaluation.functional.ranking import count_wrong_ahead, recall_at
from fgdet.evaluation.functional.region_text import retrieval_ranks, wins_over_negatives
from fgdet.evaluation.metrics.sample_arrays import own_array
from fgdet.registry import METRICS

Array = np.ndarray
#: Candidates that count as an answer.
RETRIEVAL_KS, REGION_KS = (1, 5, 10), (1, 5)


@METRICS.register_module()
class RegionTextMetric(BaseMetric):
    """How well images, captions, regions and phrases of a held-out set find each other.

    Scores, all in 0..1 and better where greater, so that ``save_best`` takes any of them with ``rule='greater'``:

    - ``retrieval/long_i2t_r1``, ``_r5``, ``_r10``: an image's long caption is among its 1, 5, 10 nearest distinct ones;
      ``long_t2i``: the image of a long caption; ``short_i2t``, ``short_t2i``: the same for short captions;
      ``retrieval/mean_r1``: the mean of the four R@1.
    - ``region/top1``, ``region/top5``: a region's phrase is among its nearest ones, of all distinct phrases of the set,
      or of a class list where a :class:`~fgdet.engine.hooks.class_texts.ClassTextsHook` gives one; then only regions
      whose phrase is in the list count.
    - ``hard_negative/top1``: a region is nearer to its phrase than to each of its hard negatives.

    Texts of equal tokens are one answer, and each image or region they belong to is right. A tie with a wrong answer
    counts against the right one. Scores of which the set holds no case are left out, with a line in the log.

    Takes the samples of :meth:`fgdet.FGCLIPPretrainer.predict`. Only features are kept: about 25 kB an image of four
    regions at D 512. Each sample gives one result, so a loader for several processes may pad the last batches.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the names in a log; None for nothing.
    """

    default_prefix = ''

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.class_keys: list[bytes] = []
        self.class_features: Array | None = None

    def set_classes(self, token_ids: Tensor, features: Tensor) -> None:
        """Tell regions apart by these classes from now on: token rows (K, L) and L2-normalised features (K, D)."""
        self.class_keys = _text_keys(token_ids)
        self.class_features = own_array(features)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's features; ``data_batch`` is not looked at."""
        for sample in data_samples:
            regions = own_array(sample['region_features'])  # (R, D)
            hard = (regions[own_array(sample['hard_regions'])], own_array(sample['hard_features']))
            self.results.append(
                dict(
                    image=own_array(sample['image_feature']),
                    long=own_array(sample['long_feature']),
                    short=own_array(sample['short_feature']),
                    long_key=_text_keys(sample['long_ids'][None])[0],
                    short_key=_text_keys(sample['short_ids'][None])[0],
                    regions=regions,
                    phrases=own_array(sample['phrase_features']),
                    phrase_keys=_text_keys(sample['region_ids']),
                    wins=wins_over_negatives(*hard, own_array(sample['hard_sizes'])),
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores by name; the results of all processes, image by image."""
        wins = np.concatenate([r['wins'] for r in results])  # (M,)
        scores = {**_retrieval_scores(results), **self._region_scores(results)}
        if len(wins):
            scores['hard_negative/top1'] = float(wins.mean())
        for group in ('region', 'hard_negative'):
            if f'{group}/top1' not in scores:
                print_log(f'{group} scores are left out: no case in the set', 'current', logging.WARNING)
        return scores

    def _region_scores(self, results: list[dict[str, Any]]) -> dict[str, float]:
        keys = [key for r in results for key in r['phrase_keys']]
        if not keys:
            return {}
        regions = np.concatenate([r['regions'] for r in results])  # (R, D)
        if self.class_features is None:
            labels, candidate_labels, first = _number(keys)
            candidates = np.concatenate([r['phrases'] for r in results])[first]
        else:
            row = {key: i for i, key in enumerate(self.class_keys)}
            known = [i for i, key in enumerate(keys) if key in row]
            regions, labels = regions[known], np.array([row[keys[i]] for i in known], dtype=np.int64)
            candidates, candidate_labels = self.class_features, np.array([row[key] for key in self.class_keys])
            if len(known) < len(keys):
                print_log(f'{len(keys) - len(known)} of {len(keys)} regions are of no class of the list', 'current')
            if not known:
                return {}
        ahead = count_wrong_ahead(regions, candidates, labels, candidate_labels)
        return {f'region/top{k}': share for k, share in zip(REGION_KS, recall_at(ahead, REGION_KS), strict=True)}


def _retrieval_scores(results: list[dict[str, Any]]) -> dict[str, float]:
    images = np.stack([r['image'] for r in results])  # (B, D)
    scores: dict[str, float] = {}
    for kind in ('long', 'short'):
        texts = np.stack([r[kind] for r in results])  # (B, D)
        labels, _, _ = _number([r[f'{kind}_key'] for r in results])
        ranks = retrieval_ranks(images, texts, labels)
        for name, ahead in (('i2t', ranks['image_to_text']), ('t2i', ranks['text_to_image'])):
            for k, share in zip(RETRIEVAL_KS, recall_at(ahead, RETRIEVAL_KS), strict=True):
                scores[f'retrieval/{kind}_{name}_r{k}'] = share
    scores['retrieval/mean_r1'] = float(np.mean([value for name, value in scores.items() if name.endswith('_r1')]))
    return scores


def _number(keys: Sequence[bytes]) -> tuple[Array, Array, list[int]]:
    """Number keys by first occurrence: the number of each, the numbers, and where each occurs first."""
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    number = {key: n for n, key in enumerate(first)}
    return np.array([number[key] for key in keys]), np.arange(len(first)), list(first.values())


def _text_keys(token_ids: Iterable[Any]) -> list[bytes]:
    """A digest for each token row of (N, L), the same for equal texts whatever the padding at their end."""
    keys = []
    for row in own_array(token_ids):
        changes = np.flatnonzero(row != row[-1])
        used = row[: changes[-1] + 2] if len(changes) else row[:1]
        keys.append(blake2b(np.ascontiguousarray(used, dtype=np.int64).tobytes(), digest_size=16).digest())
    return keys
