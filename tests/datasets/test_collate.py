"""Batches that went through a pickle, as between processes, against those that did not."""

import pickle

import torch
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from fgdet.datasets.collate import collate_region_text
from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor
from fgdet.structures.region_text_sample import RegionTextSample
from tests.builders import region_batch

BATCH = region_batch((2, 0, 3), (), (1,), seed=1)
SAMPLES = [dict(inputs=i, data_samples=s) for i, s in zip(BATCH['inputs'], BATCH['data_samples'], strict=True)]


def assert_same(ours: list[RegionTextSample], expected: list[RegionTextSample]) -> None:
    assert len(ours) == len(expected)
    for one, two in zip(ours, expected, strict=True):
        assert isinstance(one, RegionTextSample) and one.metainfo == two.metainfo
        assert set(one.keys()) == set(two.keys())
        for name in two.keys():  # noqa: SIM118 (a data element is no dict)
            assert one.get(name).dtype == two.get(name).dtype and torch.equal(one.get(name), two.get(name))


def test_collate__is_found_by_name_and_stacks_the_images() -> None:
    collate = FUNCTIONS.get('fgdet.collate_region_text')
    batch = collate(SAMPLES)
    assert torch.equal(batch['inputs'], torch.stack(BATCH['inputs']))
    assert_same(batch['data_samples'], BATCH['data_samples'])


def test_collate__pickled_and_sent_by_a_worker() -> None:
    copy = pickle.loads(pickle.dumps(collate_region_text(SAMPLES)))
    assert type(copy['data_samples']) is list
    assert_same(copy['data_samples'], BATCH['data_samples'])
    (sent,) = DataLoader(SAMPLES, 3, num_workers=1, collate_fn=collate_region_text)  # type: ignore[arg-type]
    assert_same(sent['data_samples'], BATCH['data_samples'])
    stores = {s.get(n).untyped_storage().data_ptr() for s in sent['data_samples'] for n in s.keys() if s.get(n).numel()}  # noqa: SIM118
    assert len(stores) == 2


def test_collate__preprocessed_as_before() -> None:
    preprocess = RegionTextDataPreprocessor()
    ours, theirs = preprocess(collate_region_text(SAMPLES)), preprocess(BATCH)
    assert torch.equal(ours['inputs'], theirs['inputs'])
    assert_same(ours['data_samples'], theirs['data_samples'])
