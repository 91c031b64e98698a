"""Recall with several captions an image, against loops over pairs and cases worked by hand."""

import numpy as np
import pytest

from fgdet.evaluation.functional import ranking
from fgdet.evaluation.functional.retrieval import (
    NEVER,
    caption_ranks,
    caption_recalls,
    caption_resampler,
    unit_rows,
)
from fgdet.utils.checks import UserError


def naive_recalls(images, texts, owners):
    """Sort all captions for each image, and all images for each caption; no ties in the features."""
    images, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    scores = {}
    for k in (1, 5, 10):
        found = [bool(set(np.argsort(-(texts @ image))[:k]) & set(np.flatnonzero(owners == i))) for i, image in
                 enumerate(images)]  # fmt: skip
        scores[f'i2t_r{k}'] = np.mean(found)
        scores[f't2i_r{k}'] = np.mean(
            [owner in np.argsort(-(images @ text))[:k] for text, owner in zip(texts, owners, strict=True)]
        )
    return scores


@pytest.fixture
def captions():
    """23 images of one to five captions in mixed order, as (images, texts, owners), not normalised."""
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.repeat(np.arange(23), 1 + np.arange(23) % 5))
    images = rng.standard_normal((23, 12)) * rng.uniform(0.5, 3, (23, 1))
    texts = images[owners] + 1.5 * rng.standard_normal((len(owners), 12))
    return images.astype(np.float32), texts.astype(np.float32), owners


@pytest.mark.parametrize('tile', [(5, 7), (1024, 4096)], ids=str)
def test_caption_recalls__equal_sorting_everything(captions, tile, monkeypatch):
    monkeypatch.setattr(ranking, 'TILE', tile)
    scores = caption_recalls(caption_ranks(*captions))
    assert scores == pytest.approx(naive_recalls(*captions), abs=1e-12)
    assert 0 < scores['t2i_r1'] < scores['t2i_r5'] < 1


def test_caption_ranks__any_caption_of_an_image_is_right_and_a_tie_is_not():
    # Image 0's second caption is its best; caption 0 lies between the images, so both tie for it.
    images = np.eye(2)
    texts = np.array([[1.0, 1.0], [1.0, 0.1], [0.0, 1.0]])
    ranks = caption_ranks(images, texts, np.array([0, 0, 1]))
    assert ranks.image_to_text.tolist() == [0, 0]
    assert ranks.text_to_image.tolist() == [1, 0, 0]
    same_text = caption_ranks(images, np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0, 1]))
    assert same_text.image_to_text.tolist() == [1, 1]


def test_caption_ranks__no_feature_is_never_found():
    images, texts = np.eye(3), np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [np.nan, 0.0, 1.0], [0.0, 0.0, 1.0]])
    images[1] = 0
    ranks = caption_ranks(images, texts, np.array([0, 1, 2, 2]))
    assert ranks.image_to_text.tolist() == [NEVER, NEVER, NEVER]  # a caption that is none could be anywhere
    assert ranks.text_to_image.tolist() == [NEVER, NEVER, NEVER, 1]
    assert caption_recalls(ranks)['t2i_r10'] == pytest.approx(1 / 4)


def test_caption_resampler__draws_images_with_their_captions(captions):
    ranks = caption_ranks(*captions)
    names = [f'{i}.jpg' for i in range(23)]
    resampler = caption_resampler({'long_': ranks, 'short_': caption_ranks(*captions)}, names)
    plain = caption_recalls(ranks, 'long_') | caption_recalls(ranks, 'short_')
    assert resampler.scores(np.ones(23)) == pytest.approx(plain)
    weights = np.random.default_rng(1).integers(0, 3, 23)
    drawn = resampler.scores(weights)
    hits = np.repeat(ranks.image_to_text < 5, weights)
    assert drawn['short_i2t_r5'] == pytest.approx(hits.mean())
    hits = np.repeat(ranks.text_to_image < 1, weights[captions[2]])
    assert drawn['long_t2i_r1'] == pytest.approx(hits.mean())


def test_unit_rows__what_has_no_direction_is_no_number():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [np.inf, 1.0]]))
    assert rows[0].tolist() == pytest.approx([0.6, 0.8])
    assert np.isnan(rows[1:]).any(axis=1).all()


@pytest.mark.parametrize(
    ('images', 'texts', 'owners', 'message'),
    [
        (np.empty((0, 2)), np.eye(2), [0, 1], 'got 0 and 2'),
        (np.eye(2), np.eye(3), [0, 1, 1], '2 and 3 dimensions; take both from one checkpoint'),
        (np.eye(2), np.eye(2), [0, 2], r'index of an image, 0\.\.1'),
        (np.eye(2), np.eye(2), [0, 0], '1 images have no caption, the first at 1'),
    ],
)
def test_caption_ranks__what_does_not_fit_is_refused(images, texts, owners, message):
    with pytest.raises(UserError, match=message):
        caption_ranks(images, texts, np.array(owners))
