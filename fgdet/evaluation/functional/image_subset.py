"""Scoring a part of a data set's images: the ground truth and the predictions of some images alone."""

from collections.abc import Collection
from typing import Any

import numpy as np

from fgdet.evaluation.result_table import ResultTable
from fgdet.utils.checks import UserError


def annotated_image_ids(annotations: dict[str, Any], category_ids: Collection[int]) -> set[int]:
    """Return the ids of the images that have an object, or a crowd, of one of the categories."""
    wanted = set(category_ids)
    return {each['image_id'] for each in annotations['annotations'] if each['category_id'] in wanted}


def on_images(
    annotations: dict[str, Any], table: ResultTable, image_ids: Collection[int]
) -> tuple[dict[str, Any], ResultTable]:
    """Return the annotations and the predictions of these images alone.

    Args:
        annotations: a COCO-form dict. It is not changed.
        table: predictions.
        image_ids: ids of ``annotations``.

    Raises:
        UserError: an id that the annotations do not have.
    """
    kept = set(image_ids)
    images = [image for image in annotations['images'] if image['id'] in kept]
    unknown = kept - {image['id'] for image in images}
    if unknown:
        raise UserError(f'{len(unknown)} of {len(kept)} image ids are not in the annotations, such as {min(unknown)}')
    objects = [each for each in annotations['annotations'] if each['image_id'] in kept]
    of_images = np.isin(table.image_ids, np.fromiter(kept, dtype=np.int64, count=len(kept)))
    table = table if of_images.all() else table.select(of_images)
    return annotations | {'images': images, 'annotations': objects}, table
