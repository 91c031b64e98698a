"""COCO's average precisions over all categories of any COCO-form file: for data that a detector was not trained on."""

from collections.abc import Sequence

from mmengine.logging import MMLogger

from fgdet.evaluation.functional.coco_detection import category_ids_of, evaluate_coco
from fgdet.evaluation.metrics.coco_results_metric import CocoResultsMetric
from fgdet.evaluation.result_table import ResultTable
from fgdet.registry import METRICS


@METRICS.register_module()
class CocoFormMetric(CocoResultsMetric):
    """AP, AP50, AP75 and AP of small, medium and large objects, over the classes of the data set.

    What predictions must hold is said in :class:`CocoResultsMetric`.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for.
        iou_type: ``'bbox'`` or ``'segm'``.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: as every metric of mmengine has it; predictions go through files, whatever it is.
        prefix: what goes before the metric names in a log; None is ``coco_form``.
        results_folder: where the processes write until there are scores; see :class:`CocoResultsMetric`.

    Raises:
        UserError: the annotation file is missing or malformed, or a class of the data set is not in it.
    """

    default_prefix = 'coco_form'

    def __init__(
        self,
        ann_file: str,
        iou_type: str = 'bbox',
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        results_folder: str | None = None,
    ) -> None:
        super().__init__(ann_file, (iou_type,), outfile, collect_device, prefix, results_folder)

    def score(self, predictions: ResultTable) -> dict[str, float]:
        """Return the six fractions, and log AP and AP50 as percentages."""
        classes: Sequence[str] = self.classes()
        category_ids = category_ids_of(classes, self.annotations['categories'])
        scores = evaluate_coco(self.annotations, predictions, category_ids, self.iou_types[0])
        MMLogger.get_current_instance().info(
            'AP (%s) of %d classes: %.2f, AP50 %.2f',
            self.iou_types[0],
            len(classes),
            100 * scores['AP'],
            100 * scores['AP50'],
        )
        return scores
