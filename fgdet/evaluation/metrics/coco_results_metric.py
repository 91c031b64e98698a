"""Detections of a whole run, on disk until they are scored: what metrics on COCO-form annotation files share.

Axis letters: N detections, H W image height and width.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.metrics.sample_arrays import to_array
from fgdet.evaluation.result_files import Shard, ShardWriter, check_shards, read_shards, write_result_list
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import check_iou_type, load_annotations
from fgdet.structures.detections import Detections, encode_masks
from fgdet.utils.checks import UserError
from fgdet.utils.dist import rank


class CocoResultsMetric(BaseMetric):
    """Collects predictions; a subclass scores them in :meth:`score`.

    Takes what mmdet's detectors give: a data sample with ``img_id`` and ``pred_instances`` of ``bboxes`` (N, 4) xyxy
    in pixels of the original image, ``scores`` (N,), ``labels`` (N,) that index the data set's ``classes``, and
    ``masks`` (N, H, W) where masks are scored. Labels become category ids by their class *name*, so the data set and
    the annotation file may order their classes differently.

    Each process appends its predictions to a file of its own and keeps none in memory; process 0 reads all of them.
    They are removed once there are scores; where scoring fails they stay, and the log says where.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for. With an
            ``outfile``, it may be the image-info file of a test set, which has no annotations: nothing is scored then.
        iou_types: what is scored: ``'bbox'``, ``'segm'`` or both.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: as every metric of mmengine has it; predictions go through files, whatever it is.
        prefix: what goes before the metric names in a log; None is the metric's own.
        results_folder: where the processes write, 64 bytes a detection and its mask; one that all machines share. None:
            the folder of ``outfile``, or else the system's for temporary files.

    Raises:
        UserError: the annotation file is missing or malformed, or the name of ``outfile`` does not end in ``.json``.
    """

    def __init__(
        self,
        ann_file: str,
        iou_types: Sequence[str],
        outfile: str | None,
        collect_device: str,
        prefix: str | None,
        results_folder: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        for iou_type in iou_types:
            check_iou_type(iou_type)
        if outfile is not None and Path(outfile).suffix != '.json':
            raise UserError(f'{type(self).__name__} outfile: expected a name ending in .json, got {outfile!r}')
        self.iou_types = tuple(iou_types)
        self.outfile = outfile
        self.annotations = load_annotations(ann_file, 'segm' in iou_types, or_images=outfile is not None)
        default = tempfile.gettempdir() if outfile is None else Path(outfile).parent
        self.results_folder = Path(default if results_folder is None else results_folder)
        self._writer: ShardWriter | None = None
        self._category_ids: np.ndarray = np.zeros(0, dtype=np.int64)

    def score(self, predictions: ResultTable) -> dict[str, float]:
        """Score the predictions of the whole run."""
        raise NotImplementedError

    def name_of_category(self, name: str) -> str:
        """How a category of the file is called in the data set."""
        return name

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write one batch's predictions to disk; ``data_batch`` is not looked at.

        Raises:
            UserError: the data set's classes are not in the annotation file, or masks are asked of a detector of boxes.
        """
        if 'segm' in self.iou_types and any('masks' not in sample['pred_instances'] for sample in data_samples):
            raise UserError('iou_type segm: the detector gives boxes and no masks; ask for bbox, or train a mask head')
        if self._writer is None:
            categories = [
                each | {'name': self.name_of_category(each['name'])} for each in self.annotations['categories']
            ]
            self._category_ids = np.asarray(category_ids_of(self.classes(), categories), dtype=np.int64)
            self._writer = ShardWriter(self.results_folder, rank())
        for sample in data_samples:
            instances = sample['pred_instances']
            boxes, scores, labels = (to_array(instances[key]) for key in ('bboxes', 'scores', 'labels'))
            found = Detections(boxes, scores, labels, [''] * len(labels))
            boxes = found.boxes.astype(np.float64)
            boxes[:, 2:] -= boxes[:, :2]  # xywh
            masks = encode_masks(to_array(instances['masks'])) if 'segm' in self.iou_types else None
            self._writer.add(int(sample['img_id']), self._category_ids[found.labels], boxes, found.scores, masks)
        self._writer.flush()

    def evaluate(self, size: int) -> dict[str, float]:
        """Score what all processes have written; ``size``, the images of the data set, is for mmengine only.

        Returns:
            The scores by name, the same on all processes, which all must call this.

        Raises:
            UserError: predictions or annotations do not fit, or process 0 cannot read what another one wrote.
            RuntimeError: on the other processes, where process 0 has failed.
        """
        writer, self._writer = self._writer, None
        shards = all_gather_object(None if writer is None else writer.finish())  # a path and two numbers each
        outcome: list[Any] = [None]
        failure: Exception | None = None
        if is_main_process():
            try:
                scores = self.compute_metrics([shard for shard in shards if shard is not None])
                outcome = [{f'{self.prefix}/{key}' if self.prefix else key: value for key, value in scores.items()}]
            except Exception as error:
                failure, outcome = error, [f'{type(error).__name__}: {error}']
        broadcast_object_list(outcome)
        if isinstance(outcome[0], dict):
            if writer is not None:
                writer.remove()
            return outcome[0]
        if writer is not None:
            writer.keep()
            message = f'no scores; the predictions of process {rank()} are kept in {writer.path}'
            print_log(message, logger='current', level=logging.ERROR)
        raise failure or RuntimeError(f'process 0 could not score the predictions: {outcome[0]}')

    def compute_metrics(self, results: list[Shard]) -> dict[str, float]:
        """Read the processes' shards, write the result list where that is wanted, and return the scores."""
        check_shards(results)
        predictions, num_predicted = read_shards([shard.path for shard in results])
        if self.outfile is not None:
            write_result_list(self.outfile, predictions)
        num_images = len(self.annotations['images'])
        if num_predicted != num_images:
            message = f'{type(self).__name__}: predictions for {num_predicted} of the {num_images} images'
            print_log(message, logger='current', level=logging.WARNING)
        return self.score(predictions) if 'annotations' in self.annotations else {'num_predictions': len(predictions)}

    def classes(self) -> Sequence[str]:
        """Return the names that labels index.

        Raises:
            UserError: the data set has none.
        """
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise UserError(f"{type(self).__name__}: the data set's metainfo has no 'classes', so labels have no names")
        return tuple(classes)
