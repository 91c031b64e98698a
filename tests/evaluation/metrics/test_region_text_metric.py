"""Scores of a held-out set against loops over single pairs, alone and from two processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from torch.nn.functional import normalize

from fgdet.evaluation.metrics.region_text_metric import RegionTextMetric
from fgdet.structures.region_text_sample import RegionTextSample

EOS, DIM = 9, 6


def texts(words: list[list[int]], length: int = 8) -> torch.Tensor:
    """(N, length) token rows of the words, padded with the end mark."""
    return torch.tensor([[8, *row] + [EOS] * (length - 1 - len(row)) for row in words]).reshape(-1, length)


def held_out(images: int = 9, seed: int = 0) -> list[RegionTextSample]:
    """Samples with features drawn at random, near their texts; captions 0 and 3 and many phrases are equal."""
    generator = torch.Generator().manual_seed(seed)
    table = {n: normalize(torch.randn(DIM, generator=generator), dim=0) for n in range(40)}
    near = lambda n: normalize(table[n] + 0.8 * torch.randn(DIM, generator=generator), dim=0)  # noqa: E731
    samples = []
    for i in range(images):
        caption = 0 if i == 3 else i
        phrases = [(i + j) % 5 for j in range(i % 4)]
        groups = [[phrase, 5, 6] for phrase in phrases[1:]]
        sample = RegionTextSample(metainfo=dict(key=str(i)))
        sample.long_ids, sample.short_ids = texts([[caption, 1]], 12)[0], texts([[caption]])[0]
        sample.region_ids = texts([[phrase] for phrase in phrases])
        sample.hard_regions = torch.arange(1, max(1, len(phrases)))
        sample.hard_sizes = torch.full((len(groups),), 3)
        sample.image_feature = near(20 + caption)
        sample.long_feature = table[20 + caption]
        sample.short_feature = normalize(table[20 + caption] + table[30 + caption], dim=0)
        stack = lambda rows: torch.stack(rows) if rows else torch.empty(0, DIM)  # noqa: E731
        sample.region_features = stack([near(phrase) for phrase in phrases])
        sample.phrase_features = stack([table[phrase] for phrase in phrases])
        sample.hard_features = stack([table[n] for group in groups for n in group])
        samples.append(sample)
    return samples


def evaluate(samples: list[RegionTextSample], metric: RegionTextMetric | None = None, batch: int = 2) -> dict[str, Any]:
    evaluator = Evaluator(metric or RegionTextMetric())
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch])
    return evaluator.evaluate(len(samples))


def naive_recall(queries: list, candidates: list, k: int) -> float:
    """Share of (feature, text) queries with fewer than k candidates of other texts at least as near as the best own."""
    hits = []
    for feature, text in queries:
        own = max(float(feature @ other) for other, name in candidates if name == text)
        hits.append(sum(float(feature @ other) >= own for other, name in candidates if name != text) < k)
    return float(np.mean(hits))


def test_metric__equals_naive_loops() -> None:
    samples = held_out()
    expected: dict[str, Any] = {}
    for kind in ('long', 'short'):
        names = [tuple(s.get(f'{kind}_ids').tolist()) for s in samples]
        images = [(s.image_feature, name) for s, name in zip(samples, names, strict=True)]
        captions = [(s.get(f'{kind}_feature'), name) for s, name in zip(samples, names, strict=True)]
        distinct = list({name: (text, name) for text, name in captions}.values())
        for k in (1, 5, 10):
            expected[f'retrieval/{kind}_i2t_r{k}'] = naive_recall(images, distinct, k)
            expected[f'retrieval/{kind}_t2i_r{k}'] = naive_recall(captions, images, k)
    expected['retrieval/mean_r1'] = np.mean([value for name, value in expected.items() if name.endswith('r1')])
    names = [tuple(row.tolist()) for s in samples for row in s.region_ids]
    regions = list(zip(torch.cat([s.region_features for s in samples]), names, strict=True))
    phrases = {name: f for f, name in zip(torch.cat([s.phrase_features for s in samples]), names, strict=True)}
    classes = [(feature, name) for name, feature in phrases.items()]
    expected |= {f'region/top{k}': naive_recall(regions, classes, k) for k in (1, 5)}
    wins = [
        all(float(region @ text) < float(region @ group[0]) for text in group[1:])
        for s in samples
        for region, group in zip(s.region_features[s.hard_regions], s.hard_features.reshape(-1, 3, DIM), strict=True)
    ]
    expected['hard_negative/top1'] = np.mean(wins)
    scores = evaluate(samples)
    assert scores == pytest.approx(expected)
    assert 0.2 < scores['region/top1'] < 1 and 0.2 < scores['hard_negative/top1'] < 1  # a case that tells apart
    assert scores['retrieval/long_i2t_r1'] < scores['retrieval/long_i2t_r10']


def test_metric__class_list_of_other_padding_leaves_out_the_regions_of_no_class() -> None:
    samples = held_out()
    metric = RegionTextMetric()
    phrases = [(s.region_ids[:, 1].tolist(), s.phrase_features) for s in samples]
    features = {name: feature for pair in phrases for name, feature in zip(*pair, strict=True)}
    metric.set_classes(texts([[3], [7], [1]], 5), torch.stack([features[3], torch.eye(DIM)[0], features[1]]))
    scores = evaluate(samples, metric)
    rows = [(f, n) for s in samples for f, n in zip(s.region_features, s.region_ids[:, 1].tolist(), strict=True)]
    classes = [(features[3], 3), (torch.eye(DIM)[0], 7), (features[1], 1)]
    assert scores['region/top1'] == pytest.approx(naive_recall([r for r in rows if r[1] in (1, 3)], classes, 1))


def test_metric__a_set_without_regions_has_no_region_scores() -> None:
    scores = evaluate([s for s in held_out() if not len(s.region_ids)])
    assert set(scores) == {
        'retrieval/mean_r1',
        *(f'retrieval/{kind}_{way}_r{k}' for kind in ('long', 'short') for way in ('i2t', 't2i') for k in (1, 5, 10)),
    }


def test_metric__keeps_no_negatives_and_half_precision_counts_as_it_is() -> None:
    metric, sample = RegionTextMetric(prefix='own'), held_out()[3]
    for name in ('image_feature', 'long_feature', 'short_feature', 'region_features', 'phrase_features'):
        setattr(sample, name, sample.get(name).bfloat16())
    sample.hard_features = sample.hard_features.bfloat16()
    assert 'own/region/top1' in evaluate([sample], metric)
    metric.process(None, [held_out()[3].to_dict()])
    assert all(value.base is None for value in metric.results[0].values() if isinstance(value, np.ndarray))
    assert sum(value.nbytes for value in metric.results[0].values() if isinstance(value, np.ndarray)) <= 4 * DIM * 9 + 2


def work(process: int, folder: str) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=process, world_size=2)
    samples = held_out()
    mine = [*samples[process::2], samples[0]][:5]  # as mmengine's sampler deals them, the last one padded
    evaluator = Evaluator(RegionTextMetric())
    evaluator.process(mine)
    torch.save(evaluator.evaluate(len(samples)), f'{folder}/{process}.pt')
    dist.destroy_process_group()


def test_metric__two_processes_give_the_scores_of_one(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path),), nprocs=2)
    expected = evaluate(held_out())
    for process in range(2):
        assert torch.load(tmp_path / f'{process}.pt') == pytest.approx(expected)
