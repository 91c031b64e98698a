"""LVIS's average precisions as a metric of an mmengine run: rare, common and frequent classes apart."""

from collections.abc import Sequence

from mmengine.logging import MMLogger

from fgdet.evaluation.functional.lvis_detection import evaluate_lvis
from fgdet.evaluation.metrics.coco_results_metric import CocoResultsMetric
from fgdet.evaluation.result_table import ResultTable
from fgdet.registry import METRICS
from fgdet.structures.lvis_split import lvis_prompt_name


@METRICS.register_module()
class OVLvisMetric(CocoResultsMetric):
    """LVIS's scores; see :func:`~fgdet.evaluation.functional.lvis_detection.evaluate_lvis`.

    What predictions must hold is said in :class:`CocoResultsMetric`; up to 300 an image count. A score is logged as
    ``bbox_AP``, ``segm_APr`` and so on. OV-LVIS's published number is ``segm_APr``, the same as ``segm_novel_ap``.

    Args:
        ann_file: LVIS annotation file, whose categories have a ``frequency``.
        iou_types: what is scored: ``'bbox'``, ``'segm'`` or both.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: as every metric of mmengine has it; predictions go through files, whatever it is.
        prefix: what goes before the metric names in a log; None is ``ov_lvis``.
        results_folder: where the processes write until there are scores; see :class:`CocoResultsMetric`.

    Raises:
        UserError: the annotation file is missing, malformed or without frequencies, or a class name is not in it.
    """

    default_prefix = 'ov_lvis'

    def __init__(
        self,
        ann_file: str,
        iou_types: Sequence[str] = ('bbox',),
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        results_folder: str | None = None,
    ) -> None:
        super().__init__(ann_file, iou_types, outfile, collect_device, prefix, results_folder)

    def name_of_category(self, name: str) -> str:
        """How a category of the file is called in the data set."""
        return lvis_prompt_name(name)

    def classes(self) -> Sequence[str]:
        """Return the names that labels index, as prompts have them."""
        return tuple(map(lvis_prompt_name, super().classes()))

    def score(self, predictions: ResultTable) -> dict[str, float]:
        """Return all fractions, and log the AP of base, novel and all classes as percentages."""
        scores: dict[str, float] = {}
        for iou_type in self.iou_types:
            of_type = evaluate_lvis(self.annotations, predictions, iou_type)
            MMLogger.get_current_instance().info(
                'OV-LVIS AP (%s): base %.2f (common %.2f, frequent %.2f), novel (rare) %.2f, all %.2f',
                iou_type,
                *(100 * of_type[key] for key in ('base_ap', 'APc', 'APf', 'novel_ap', 'AP')),
            )
            scores |= {f'{iou_type}_{key}': value for key, value in of_type.items()}
        return scores
