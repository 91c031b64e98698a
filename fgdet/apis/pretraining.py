"""How well a pretrained FG-CLIP aligns images, regions and texts.

Axes: B images, N regions of an image, K class names, d embedding.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD
from fgdet.evaluation.functional.region_text import (
    classification_accuracy,
    hard_negative_accuracy,
    retrieval_recall,
)
from fgdet.models.fg_clip import FGCLIP
from fgdet.structures.preprocessing import check_preprocessing


def to_pixels(
    images: Sequence[np.ndarray], mean: Sequence[float] = IMAGE_MEAN, std: Sequence[float] = IMAGE_STD
) -> Tensor:
    """Images (H, W, 3) uint8 RGB of one size -> (B, 3, H, W) float32, normalised, by default as CLIP's."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@torch.no_grad()
def evaluate_alignment(
    model: FGCLIP,
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    boxes: Sequence[np.ndarray],
    phrases: Sequence[Sequence[str]],
    negatives: Sequence[Sequence[Sequence[str]]],
    class_names: Sequence[str],
    batch_size: int = 50,
    any_size: bool = False,
) -> dict[str, float]:
    """Score a model on described images.

    Args:
        model: in eval mode.
        images: B images (H, W, 3) uint8 RGB of the size that the weights want, ``model.preprocessing.image_size``.
        captions: a long caption for each.
        boxes: for each image (N, 4), xyxy in pixels.
        phrases: for each image the N class names of its boxes.
        negatives: for each image and box, phrases that do not fit.
        class_names: the K names that a region is told apart from.
        batch_size: images encoded at once.
        any_size: take images of another size, all of one.

    Returns:
        ``region_top1``: share of regions nearest to their own class name; ``hard_negative_top1``: share nearer to their
        phrase than to each negative; ``retrieval_r1``: mean of image-to-text and text-to-image R@1 over the B pairs,
        where equal captions are one. The same counts as :class:`fgdet.RegionTextMetric`'s.

    Raises:
        UserError: the images are of another size.
    """
    if not any_size:
        sizes = {image.shape[:2] for image in images}
        for size in sizes:
            check_preprocessing(model.preprocessing, 'resize them, or pass any_size=True', image_size=size)
    pooled, regions = [], []
    for start in range(0, len(images), batch_size):
        pixels = to_pixels(images[start : start + batch_size], model.preprocessing.mean, model.preprocessing.std)
        vision = model.visual.forward_intermediates(pixels, pooled=True)
        assert vision.pooled is not None and vision.dense is not None
        image_boxes = [torch.from_numpy(np.asarray(b, dtype=np.float32)) for b in boxes[start : start + batch_size]]
        pooled.append(F.normalize(vision.pooled, dim=-1))
        regions.append(F.normalize(model.pool_regions(vision.dense, image_boxes), dim=-1))
    image_features, region_features = torch.cat(pooled).numpy(), torch.cat(regions).numpy()

    flat_phrases = [phrase for names in phrases for phrase in names]
    groups = [
        [phrase, *others]
        for names, sets in zip(phrases, negatives, strict=True)
        for phrase, others in zip(names, sets, strict=True)
    ]
    class_features = _encode(model, class_names)
    group_features = _encode(model, [text for group in groups for text in group])
    position = {name: i for i, name in enumerate(class_names)}
    caption_labels = np.unique(captions, return_inverse=True)[1]
    recall = retrieval_recall(image_features, _encode(model, captions, long=True), text_labels=caption_labels)
    return dict(
        region_top1=classification_accuracy(
            region_features, class_features, np.array([position[phrase] for phrase in flat_phrases])
        ),
        hard_negative_top1=hard_negative_accuracy(
            region_features, group_features, np.array([len(group) for group in groups])
        ),
        retrieval_r1=(recall['image_to_text'] + recall['text_to_image']) / 2,
    )


def _encode(model: FGCLIP, texts: Sequence[str], long: bool = False, batch_size: int = 256) -> np.ndarray:
    """L2-normalised features of texts, equal ones encoded once, (len(texts), d)."""
    distinct = list(dict.fromkeys(texts))
    features = [
        model.encode_text(model.tokenize(distinct[i : i + batch_size], long=long), long=long, normalize=True)
        for i in range(0, len(distinct), batch_size)
    ]
    row = {text: i for i, text in enumerate(distinct)}
    return torch.cat(features).numpy()[[row[text] for text in texts]]
