"""Recall of image-text retrieval with several captions an image, by the protocol of COCO and Flickr30k.

An image has found a caption when any of its own is among the k nearest of all captions; a caption has found its image
when it is among the k nearest of all images (Karpathy and Fei-Fei, arXiv 1412.2306, section 4.2). A tie with a wrong
answer counts against the match, and so does a feature that is no number or has no length.

Axes: B images, T captions, D embedding.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fgdet.evaluation.functional.ranking import count_wrong_ahead_both_ways, recall_at
from fgdet.evaluation.resampling import MeanResampler
from fgdet.utils.checks import UserError

Array = np.ndarray
#: Candidates that count as an answer.
KS = (1, 5, 10)
#: How the two directions are called in the names of scores.
DIRECTIONS = ('i2t', 't2i')
NEVER = np.iinfo(np.int64).max


class CaptionRanks(NamedTuple):
    """Wrong answers ahead of the best right one; :data:`NEVER` where either has no direction."""

    image_to_text: Array  # (B,) int64
    text_to_image: Array  # (T,) int64
    text_images: Array  # (T,) int64, the image of each caption


def unit_rows(features: Array) -> Array:
    """(N, D) float32 rows of length 1; NaN where a row is zero or no number."""
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        lengths = np.sqrt(np.einsum('nd,nd->n', features, features, dtype=np.float64))
        rows = np.empty(features.shape, np.float32)  # divided in float64, without an array of it
        return np.divide(features, lengths[:, None], out=rows, casting='same_kind')


def caption_ranks(
    image_features: Array,
    text_features: Array,
    text_images: Array,
    report: Callable[[float], None] | None = None,
) -> CaptionRanks:
    """Let images look for their captions and captions for their image, in tiles: 100,000 x 500,000 is no problem.

    Args:
        image_features: (B, D); they are normalised here.
        text_features: (T, D); the same.
        text_images: (T,) int, the index of each caption's image; every image has at least one.
        report: called with the share that is done, 0..1.

    Raises:
        UserError: no image or no caption, features of different lengths, an index that is no image's, or an image
            without a caption.
    """
    text_images = np.asarray(text_images, dtype=np.int64)
    num_images, num_texts = len(image_features), len(text_features)
    if not num_images or not num_texts:
        raise UserError(f'retrieval: expected images and captions, got {num_images} and {num_texts}')
    if image_features.shape[1] != text_features.shape[1]:
        dims = f'{image_features.shape[1]} and {text_features.shape[1]}'
        raise UserError(f'retrieval: image and text features are of {dims} dimensions; take both from one checkpoint')
    if len(text_images) != num_texts or not 0 <= text_images.min() <= text_images.max() < num_images:
        raise UserError(
            f'retrieval: expected the index of an image, 0..{num_images - 1}, for each of {num_texts} texts'
        )
    bare = np.flatnonzero(np.bincount(text_images, minlength=num_images) == 0)
    if len(bare):
        raise UserError(f'retrieval: {len(bare)} images have no caption, the first at {bare[0]}; leave them out')
    images, texts = unit_rows(image_features), unit_rows(text_features)
    ranks = count_wrong_ahead_both_ways(images, texts, np.arange(num_images), text_images, report)
    for ahead, num_candidates in zip(ranks, (num_texts, num_images), strict=True):
        ahead[ahead >= num_candidates] = NEVER  # else found where there are no more than k
    return CaptionRanks(*ranks, text_images)


def caption_recalls(ranks: CaptionRanks, prefix: str = '') -> dict[str, float]:
    """``i2t_r1`` (image to text), ``i2t_r5``, ``i2t_r10``, ``t2i_r1`` ... in 0..1, with ``prefix`` before each."""
    ahead = dict(zip(DIRECTIONS, (ranks.image_to_text, ranks.text_to_image), strict=True))
    return {
        f'{prefix}{direction}_r{k}': share
        for direction in DIRECTIONS
        for k, share in zip(KS, recall_at(ahead[direction], KS), strict=True)
    }


def caption_resampler(ranks: dict[str, CaptionRanks], image_names: list[str]) -> MeanResampler:
    """Draws of images, each with its captions, for the names of :func:`caption_recalls`.

    The ranks stay those among all images: a draw changes who is asked, not what is looked through.

    Args:
        ranks: by prefix, all of the same images.
        image_names: (B,).
    """
    values: dict[str, Array] = {}
    num_images = len(image_names)
    lengths = [num_images, *(len(each.text_images) for each in ranks.values())]
    begins = np.cumsum([0, *lengths])
    for number, (prefix, each) in enumerate(ranks.items(), 1):
        for k in KS:
            for direction, place, ahead in (('i2t', 0, each.image_to_text), ('t2i', number, each.text_to_image)):
                column = np.full(begins[-1], np.nan)
                column[begins[place] : begins[place + 1]] = ahead < k
                values[f'{prefix}{direction}_r{k}'] = column
    owners = np.concatenate([np.arange(num_images), *(each.text_images for each in ranks.values())])
    return MeanResampler(np.array(image_names), values, owners)
