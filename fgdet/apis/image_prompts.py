"""A box on an example image as a class: what is in it is looked for in other images, beside names or alone.

The embedding of a region and that of a name lie in one space but, in CLIP, apart from each other (Liang et al., "Mind
the Gap", arXiv 2203.02053): a region is nearer to any other region than to the name of what it shows. Taken as it is, a
region's embedding would beat every name everywhere. It is therefore brought to where names lie, in one of two ways.

- Without reference images: the mean of the trained names' embeddings, each weighted with its probability for the region
  (a softmax of the cosines, as in the detector's region scores; Li et al., "DeCap", arXiv 2303.03032). What no mix of
  trained names can say of the example is lost.
- With reference images, some ten or more, such as those to be searched: the mean of the regions that the detector finds
  in them is taken away, and the mean of the trained names' embeddings added. All that makes the example special stays,
  and so does what is odd about the example alone.

Axes: K names, R regions, d dimension of an embedding.
"""

from collections.abc import Sequence

import numpy as np
import torch

from fgdet.apis.detection import Detector
from fgdet.apis.image_reading import ImageInput, load_image
from fgdet.utils.checks import UserError

#: Detections of a reference image that count as its regions, and how many there have to be in all.
REFERENCE_SCORE, FEWEST_REGIONS = 0.1, 8
#: CLIP's own temperature, for a detector without region scores.
DEFAULT_TEMPERATURE = 0.01


def image_prompt(
    detector: Detector,
    image: ImageInput,
    box_xyxy: Sequence[float],
    reference_images: Sequence[ImageInput] = (),
) -> np.ndarray:
    """The embedding of what is in a box, for ``Vocabulary(names, image_prompts={name: embedding})``.

    Args:
        detector: the one that is to look for it; embeddings of one model mean nothing to another.
        image: a path, an (H, W, 3) uint8 RGB array or a PIL image.
        box_xyxy: x1, y1, x2, y2 in pixels of the upright image; what is outside of the image is cut off.
        reference_images: images with several objects, see the module; without any the other way is taken.

    Returns:
        (d,) float32 of length 1.

    Raises:
        UserError: the image cannot be read; the box is not four numbers, has no area or lies outside of the image; or
            the detector finds too little in the reference images.
    """
    pixels = load_image(image)
    box = _checked_box(box_xyxy, pixels.shape[1], pixels.shape[0])
    region = detector.region_features(pixels, box[None])[0]  # (d,)
    model = detector.model
    names = model.class_embeddings(model.training_vocabulary)[: len(model.training_vocabulary)]  # (K, d)
    names = names.float().cpu().numpy()
    if len(reference_images):
        embedding = region - _mean_region(detector, reference_images) + names.mean(axis=0)
    else:
        cosines = torch.from_numpy(names @ region)
        embedding = (cosines / _temperature(detector)).softmax(dim=0).numpy() @ names
    return (embedding / np.linalg.norm(embedding)).astype(np.float32)


def _checked_box(box_xyxy: Sequence[float], width: int, height: int) -> np.ndarray:
    """The box inside of the image, (4,) float32."""
    try:
        box = np.asarray(box_xyxy, dtype=np.float32)
    except (TypeError, ValueError):
        box = np.zeros(0, dtype=np.float32)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise UserError(f'image prompt box: expected four numbers x1, y1, x2, y2 in pixels, got {box_xyxy!r}')
    x1, y1, x2, y2 = box.tolist()
    if x2 <= x1 or y2 <= y1:
        raise UserError(f'image prompt box: expected x1 < x2 and y1 < y2, got {x1:g}, {y1:g}, {x2:g}, {y2:g}')
    inside = box.clip(0, [width, height, width, height])
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        raise UserError(
            f'image prompt box {x1:g}, {y1:g}, {x2:g}, {y2:g}: less than a pixel of it is inside of the image of '
            f'{width} x {height} pixels'
        )
    return inside.astype(np.float32)


def _mean_region(detector: Detector, images: Sequence[ImageInput]) -> np.ndarray:
    """The mean of what the frozen tower sees in the detections of the trained names, (d,)."""
    asked, model = detector.vocabulary, detector.model
    model.set_vocabulary(model.training_vocabulary)
    try:
        found = []
        for image in images:
            pixels = load_image(image)
            boxes = detector.detect_array(pixels, REFERENCE_SCORE).boxes
            if len(boxes):
                found.append(detector.region_features(pixels, boxes))  # (R, d)
    finally:
        model.set_vocabulary(asked)
    number = sum(map(len, found))
    if number < FEWEST_REGIONS:
        raise UserError(
            f'image prompt: the detector finds {number} things in {len(images)} reference images, too few for a mean; '
            'give more images, or none'
        )
    return np.concatenate(found).mean(axis=0)


def _temperature(detector: Detector) -> float:
    head = getattr(detector.model, 'roi_head', None) or detector.model.bbox_head
    weights = (head.test_cfg or {}).get('score_ensemble')
    return weights['temperature'] if weights else DEFAULT_TEMPERATURE
