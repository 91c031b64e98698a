"""Calibration of detections as a metric of an mmengine run, and thresholds for a vocabulary."""

from pathlib import Path

from mmengine.logging import MMLogger

from fgdet.evaluation.functional.calibration_error import NUM_BINS, measure_calibration, threshold_vocabulary
from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.functional.file_rules import match_by_file
from fgdet.evaluation.metrics.coco_results_metric import CocoResultsMetric
from fgdet.evaluation.result_table import ResultTable
from fgdet.registry import METRICS
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json


@METRICS.register_module()
class CalibrationMetric(CocoResultsMetric):
    """Whether scores are probabilities of being right, over the classes of the data set.

    The scores are those of :func:`~fgdet.evaluation.functional.calibration_error.measure_calibration`. What predictions
    must hold is said in :class:`CocoResultsMetric`; let the model keep weak ones.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for.
        iou_type: ``'bbox'`` or ``'segm'``.
        num_bins: of the scores.
        min_score: detections below are not looked at.
        min_objects: a class with fewer objects takes the threshold of all.
        thresholds_file: where to write names and thresholds, a ``.json`` file that ``fgdet detect --vocab`` takes; None
            writes none.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: as every metric of mmengine has it; predictions go through files, whatever it is.
        prefix: what goes before the metric names in a log; None is ``calibration``.
        results_folder: where the processes write until there are scores; see :class:`CocoResultsMetric`.

    Raises:
        UserError: the annotation file is missing or malformed, a class of the data set is not in it, or the name of
            ``thresholds_file`` does not end in ``.json``.
    """

    default_prefix = 'calibration'

    def __init__(
        self,
        ann_file: str,
        iou_type: str = 'bbox',
        num_bins: int = NUM_BINS,
        min_score: float = 0.0,
        min_objects: int = 10,
        thresholds_file: str | None = None,
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        results_folder: str | None = None,
    ) -> None:
        super().__init__(ann_file, (iou_type,), outfile, collect_device, prefix, results_folder)
        if thresholds_file is not None and Path(thresholds_file).suffix != '.json':
            raise UserError(f'CalibrationMetric thresholds_file: expected a name in .json, got {thresholds_file!r}')
        self.num_bins, self.min_score, self.min_objects = num_bins, min_score, min_objects
        self.thresholds_file = thresholds_file

    def score(self, predictions: ResultTable) -> dict[str, float]:
        """Return the scores, log the error and the threshold, and write the thresholds where that is wanted."""
        classes = self.classes()
        category_ids = category_ids_of(classes, self.annotations['categories'])
        matches = match_by_file(self.annotations, predictions, category_ids, self.iou_types[0])
        found = measure_calibration(matches, self.num_bins, self.min_score, self.min_objects)
        if self.thresholds_file is not None:
            limits = dict(zip(classes, found.limits.tolist(), strict=True))
            write_json(self.thresholds_file, threshold_vocabulary(limits))
        MMLogger.get_current_instance().info(
            'expected calibration error %.2f %%, best F1 %.2f %% at a score of %.3f',
            100 * found.scores['ece'],
            100 * found.scores['common_f1'],
            found.scores['threshold'],
        )
        return found.scores
