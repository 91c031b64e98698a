"""What the metrics over COCO-form annotation files share: predictions of a run become a COCO result list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.results import check_iou_type, load_annotations
from fgdet.structures.detections import Detections, encode_masks
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json


class CocoResultsMetric(BaseMetric):
    """Collects predictions; a subclass scores them in :meth:`score`.

    Takes what mmdet's detectors give: a data sample with ``img_id`` and ``pred_instances`` of ``bboxes`` (N, 4) xyxy
    in pixels of the original image, ``scores`` (N,), ``labels`` (N,) that index the data set's ``classes``, and
    ``masks`` (N, H, W) where masks are scored. Labels become category ids by their class *name*, so the data set and
    the annotation file may order their classes differently.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for.
        iou_types: what is scored: ``'bbox'``, ``'segm'`` or both.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the metric names in a log; None is the metric's own.

    Raises:
        UserError: the annotation file is missing or malformed, or the name of ``outfile`` does not end in ``.json``.
    """

    def __init__(
        self, ann_file: str, iou_types: Sequence[str], outfile: str | None, collect_device: str, prefix: str | None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        for iou_type in iou_types:
            check_iou_type(iou_type)
        if outfile is not None and Path(outfile).suffix != '.json':
            raise UserError(f'{type(self).__name__} outfile: expected a name ending in .json, got {outfile!r}')
        self.iou_types = tuple(iou_types)
        self.outfile = outfile
        self.annotations = load_annotations(ann_file)

    def score(self, entries: list[dict[str, Any]]) -> dict[str, float]:
        """Score a COCO result list of the whole run."""
        raise NotImplementedError

    def name_of_category(self, name: str) -> str:
        """How a category of the file is called in the data set."""
        return name

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's predictions as arrays; ``data_batch`` is not looked at."""
        for sample in data_samples:
            instances = sample['pred_instances']
            arrays: dict[str, Any] = {key: _to_numpy(instances[key]) for key in ('bboxes', 'scores', 'labels')}
            if 'segm' in self.iou_types:
                arrays['segmentations'] = encode_masks(_to_numpy(instances['masks']))
            self.results.append((int(sample['img_id']), arrays))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the result list where that is wanted, and return the scores."""
        predictions = dict(results)  # an image that came twice counts once
        entries = self._coco_results(predictions)
        if self.outfile is not None:
            write_json(self.outfile, entries, indent=None)
        num_images = len(self.annotations['images'])
        if len(predictions) != num_images:
            logger = MMLogger.get_current_instance()
            logger.warning('%s: predictions for %d of the %d images', type(self).__name__, len(predictions), num_images)
        return self.score(entries)

    def classes(self) -> Sequence[str]:
        """Return the names that labels index.

        Raises:
            UserError: the data set has none.
        """
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise UserError(f"{type(self).__name__}: the data set's metainfo has no 'classes', so labels have no names")
        return tuple(classes)

    def _coco_results(self, predictions: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """Return all predictions as one COCO result list."""
        classes = self.classes()
        categories = [each | {'name': self.name_of_category(each['name'])} for each in self.annotations['categories']]
        category_ids = category_ids_of(classes, categories)
        entries = []
        for image_id, arrays in predictions.items():
            names = [classes[label] for label in arrays['labels']]
            detections = Detections(arrays['bboxes'], arrays['scores'], arrays['labels'], names)
            of_image = detections.to_coco(image_id, category_ids)
            for entry, segmentation in zip(of_image, arrays.get('segmentations', ()), strict=False):
                entry['segmentation'] = segmentation
            entries += of_image
        return entries


def _to_numpy(values: Any) -> np.ndarray:
    """Return a tensor on any device, an array or a list as an array; mmdet's box and mask containers as well."""
    if hasattr(values, 'tensor'):
        values = values.tensor
    if hasattr(values, 'masks'):
        values = values.masks
    if hasattr(values, 'detach'):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)
