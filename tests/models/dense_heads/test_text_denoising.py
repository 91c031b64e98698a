"""What a denoising query holds: a learned vector and the projected embedding of a label that may be wrong."""

import torch
import torch.nn.functional as F

from fgdet.models.dense_heads.text_denoising import TextCdnQueryGenerator
from tests.detector_builders import batch

TRAINED = torch.tensor([True, False, True, False])


def generator(label_noise_scale: float) -> TextCdnQueryGenerator:
    torch.manual_seed(0)
    group_cfg = dict(dynamic=False, num_groups=2)
    queries = TextCdnQueryGenerator(5, 8, 3, label_noise_scale=label_noise_scale, group_cfg=group_cfg)
    queries.set_classes(F.normalize(torch.randn(4, 5), dim=1), TRAINED)
    return queries


def contents(queries: TextCdnQueryGenerator) -> torch.Tensor:
    return queries.label_embedding.weight + queries.class_embeddings @ queries.class_projection.weight.T  # (4, 8)


def test_content__learned_vector_and_projected_embedding_of_the_label() -> None:
    queries = generator(label_noise_scale=0.0)
    found = queries.generate_dn_label_query(torch.tensor([2, 0, 2]), 2)
    torch.testing.assert_close(found, contents(queries)[torch.tensor([2, 0, 2] * 4)])


def test_noise__half_the_scale_of_the_labels_and_trained_classes_alone() -> None:
    queries = generator(label_noise_scale=0.8)
    found = queries.generate_dn_label_query(torch.zeros(1000, dtype=torch.int64), 1)
    label = torch.cdist(found, contents(queries)).argmin(dim=1)
    counts = label.bincount(minlength=4)
    assert counts[1] == counts[3] == 0
    assert 340 < counts[2] < 460  # 2000 draws, 0.4 of them anew, half of those another class


def test_call__one_image_has_no_boxes() -> None:
    queries = generator(label_noise_scale=0.0)
    data = batch([[8.0, 8.0, 40.0, 40.0]], [], labels=[[2], []])['data_samples']
    content, boxes, mask, meta = queries(data)
    assert meta == dict(num_denoising_queries=4, num_denoising_groups=2) and mask.shape == (7, 7)
    torch.testing.assert_close(content[0], contents(queries)[[2]].expand(4, -1))
    assert not content[1].any() and not boxes[1].any()


def test_call__a_batch_without_boxes_keeps_all_weights_in_the_graph() -> None:
    queries = generator(label_noise_scale=0.5)
    content, _, _, meta = queries(batch([], [])['data_samples'])
    assert content.shape == (2, 0, 8) and meta['num_denoising_queries'] == 0
    content.sum().backward()
    for parameter in queries.parameters():  # else ranks with boxes would wait for this one
        assert parameter.grad is not None and not parameter.grad.any()
