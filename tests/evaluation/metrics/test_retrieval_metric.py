import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from fgdet.evaluation.functional.retrieval import caption_ranks, caption_recalls
from fgdet.registry import METRICS


def samples(num, captions, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num, 8, generator=generator)
    return [
        dict(
            image_feature=image.to(dtype),
            several=(image + torch.randn(captions + i % 2, 8, generator=generator)).to(dtype),
            one=(image + torch.randn(8, generator=generator)).to(dtype),
        )
        for i, image in enumerate(images)
    ]


def test_retrieval_metric__batches_of_samples_score_as_the_arrays_together():
    given = samples(11, 2, torch.bfloat16)
    evaluator = Evaluator(METRICS.build(dict(type='fgdet.RetrievalMetric', fields=['several', 'one'])))
    for start in range(0, 11, 4):
        evaluator.process(given[start : start + 4])
    scores = evaluator.evaluate(11)
    images = torch.stack([sample['image_feature'] for sample in given]).float().numpy()
    several = torch.cat([sample['several'] for sample in given]).float().numpy()
    owners = np.repeat(np.arange(11), [2 + i % 2 for i in range(11)])
    expected = caption_recalls(caption_ranks(images, several, owners), 'retrieval/several_')
    one = torch.stack([sample['one'] for sample in given]).float().numpy()
    expected |= caption_recalls(caption_ranks(images, one, np.arange(11)), 'retrieval/one_')
    assert scores == pytest.approx(expected)
    assert 0 < scores['retrieval/several_t2i_r1'] < 1


def test_retrieval_metric__fields_are_a_list():
    with pytest.raises(ValueError, match="list of names, got 'long'"):
        METRICS.build(dict(type='fgdet.RetrievalMetric', fields='long'))
