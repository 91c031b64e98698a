"""OV-COCO's base, novel and all AP50 as a metric of an mmengine run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from fgdet.evaluation.functional.coco_detection import category_ids_of, evaluate_ov_coco
from fgdet.evaluation.results import check_iou_type, load_annotations
from fgdet.registry import METRICS
from fgdet.structures.coco_split import OV_COCO_BASE, OV_COCO_NOVEL
from fgdet.structures.detections import Detections, encode_masks
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json


@METRICS.register_module()
class OVCocoMetric(BaseMetric):
    """Average precision on base, novel and all classes; see :func:`~fgdet.evaluation.functional.evaluate_ov_coco`.

    Takes what mmdet's detectors give: a data sample with ``img_id`` and ``pred_instances`` of ``bboxes`` (N, 4) xyxy
    in pixels of the original image, ``scores`` (N,), ``labels`` (N,) that index the data set's ``classes``, and
    ``masks`` (N, H, W) for ``iou_type='segm'``. Labels become category ids by their class *name*, so the data set and
    the annotation file may order their classes differently.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for.
        base: base class names; with ``novel`` also None, OV-COCO's 48 and 17.
        novel: novel class names; empty for a run that looks at base classes only.
        iou_type: ``'bbox'`` or ``'segm'``.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: ``'cpu'`` or ``'gpu'``: how the parts of several processes are joined.
        prefix: what goes before the metric names in a log; None is ``ov_coco``.

    Raises:
        UserError: the annotation file is missing or malformed, or a class name is not in it.
    """

    default_prefix = 'ov_coco'

    def __init__(
        self,
        ann_file: str,
        base: Sequence[str] | None = None,
        novel: Sequence[str] | None = None,
        iou_type: str = 'bbox',
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_iou_type(iou_type)
        if base is None and novel is None:
            base, novel = OV_COCO_BASE, OV_COCO_NOVEL
        if outfile is not None and Path(outfile).suffix != '.json':
            raise UserError(f'OVCocoMetric outfile: expected a name ending in .json, got {outfile!r}')
        base, novel = tuple(base or ()), tuple(novel or ())
        self.vocabulary = Vocabulary([*base, *(name for name in novel if name not in base)], base=base, novel=novel)
        self.iou_type = iou_type
        self.outfile = outfile
        self.annotations = load_annotations(ann_file)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one batch's predictions as arrays; ``data_batch`` is not looked at."""
        for sample in data_samples:
            instances = sample['pred_instances']
            arrays: dict[str, Any] = {key: _to_numpy(instances[key]) for key in ('bboxes', 'scores', 'labels')}
            if self.iou_type == 'segm':
                arrays['segmentations'] = encode_masks(_to_numpy(instances['masks']))
            self.results.append((int(sample['img_id']), arrays))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the six fractions, and log the AP50 of base, novel and all classes as percentages."""
        predictions = dict(results)  # an image that came twice counts once
        entries = self._coco_results(predictions)
        if self.outfile is not None:
            write_json(self.outfile, entries, indent=None)
        logger = MMLogger.get_current_instance()
        num_images = len(self.annotations['images'])
        if len(predictions) != num_images:
            logger.warning('OVCocoMetric: predictions for %d of the %d images', len(predictions), num_images)
        scores = evaluate_ov_coco(self.annotations, entries, self.vocabulary, self.iou_type)
        logger.info(
            'OV-COCO AP50 (%s): base %.2f, novel %.2f, all %.2f',
            self.iou_type,
            *(100 * scores[f'{group}_ap50'] for group in ('base', 'novel', 'all')),
        )
        return {key: value for key, value in scores.items() if not key.endswith('_with_gt')}

    def _coco_results(self, predictions: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """Return all predictions as one COCO result list."""
        classes = tuple(self._classes())
        category_ids = category_ids_of(classes, self.annotations['categories'])
        entries = []
        for image_id, arrays in predictions.items():
            names = [classes[label] for label in arrays['labels']]
            detections = Detections(arrays['bboxes'], arrays['scores'], arrays['labels'], names)
            of_image = detections.to_coco(image_id, category_ids)
            for entry, segmentation in zip(of_image, arrays.get('segmentations', ()), strict=False):
                entry['segmentation'] = segmentation
            entries += of_image
        return entries

    def _classes(self) -> Sequence[str]:
        """Return the names that labels index.

        Raises:
            UserError: the data set has none, or not all names of the split: their score would silently be zero.
        """
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise UserError("OVCocoMetric: the data set's metainfo has no 'classes', so labels have no names")
        missing = [name for name in self.vocabulary.names if name not in set(classes)]
        if missing:
            shown = ', '.join(missing[:5]) + (' ...' if len(missing) > 5 else '')
            raise UserError(
                f"OVCocoMetric: {len(missing)} of the split's names are not classes of the data set: {shown}"
            )
        return classes


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
