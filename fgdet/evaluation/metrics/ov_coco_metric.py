"""OV-COCO's base, novel and all AP50 as a metric of an mmengine run."""

from collections.abc import Sequence

from mmengine.logging import MMLogger

from fgdet.evaluation.functional.coco_detection import category_ids_of, evaluate_ov_coco
from fgdet.evaluation.functional.image_subset import annotated_image_ids, on_images
from fgdet.evaluation.metrics.coco_results_metric import CocoResultsMetric
from fgdet.evaluation.result_table import ResultTable
from fgdet.registry import METRICS
from fgdet.structures.coco_split import OV_COCO_BASE, OV_COCO_NOVEL
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


@METRICS.register_module()
class OVCocoMetric(CocoResultsMetric):
    """Average precision on base, novel and all classes; see :func:`~fgdet.evaluation.functional.evaluate_ov_coco`.

    All names compete in one run, so these are OV-COCO's generalised numbers, those that papers give: ``all`` is over 65
    classes. What predictions must hold is said in :class:`CocoResultsMetric`.

    Args:
        ann_file: COCO-form annotation file; all its images count, also those that no prediction came for.
        base: base class names; with ``novel`` also None, OV-COCO's 48 and 17.
        novel: novel class names; empty for a run that looks at base classes only.
        iou_type: ``'bbox'`` or ``'segm'``; a list of both scores boxes and masks, the latter as ``segm_base_ap50`` and
            so on.
        annotated_images_only: count only images that have an object of the split, as the protocol's own file of 4,836
            images does (Zareian et al., CVPR 2021); what was found on the others is left out.
        outfile: where to write the COCO result list, a ``.json`` file; None writes none.
        collect_device: as every metric of mmengine has it; predictions go through files, whatever it is.
        prefix: what goes before the metric names in a log; None is ``ov_coco``.
        results_folder: where the processes write until there are scores; see :class:`CocoResultsMetric`.

    Raises:
        UserError: the annotation file is missing or malformed, or a class name is not in it.
    """

    default_prefix = 'ov_coco'

    def __init__(
        self,
        ann_file: str,
        base: Sequence[str] | None = None,
        novel: Sequence[str] | None = None,
        iou_type: str | Sequence[str] = 'bbox',
        annotated_images_only: bool = False,
        outfile: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        results_folder: str | None = None,
    ) -> None:
        iou_types = (iou_type,) if isinstance(iou_type, str) else iou_type
        super().__init__(ann_file, iou_types, outfile, collect_device, prefix, results_folder)
        if base is None and novel is None:
            base, novel = OV_COCO_BASE, OV_COCO_NOVEL
        base, novel = tuple(base or ()), tuple(novel or ())
        self.vocabulary = Vocabulary([*base, *(name for name in novel if name not in base)], base=base, novel=novel)
        self.annotated_images_only = annotated_images_only

    def score(self, predictions: ResultTable) -> dict[str, float]:
        """Return six fractions of each type, and log the AP50 of base, novel and all classes as percentages."""
        annotations = self.annotations
        if self.annotated_images_only:
            category_ids = category_ids_of(self.vocabulary.names, annotations['categories'])
            kept = annotated_image_ids(annotations, category_ids)
            annotations, predictions = on_images(annotations, predictions, kept)
        scores: dict[str, float] = {}
        for iou_type in self.iou_types:
            of_type = evaluate_ov_coco(annotations, predictions, self.vocabulary, iou_type)
            MMLogger.get_current_instance().info(
                'OV-COCO AP50 (%s): base %.2f, novel %.2f, all %.2f',
                iou_type,
                *(100 * of_type[f'{group}_ap50'] for group in ('base', 'novel', 'all')),
            )
            start = f'{iou_type}_' if scores else ''
            scores |= {f'{start}{key}': value for key, value in of_type.items() if not key.endswith('_with_gt')}
        return scores

    def classes(self) -> Sequence[str]:
        """Return the names that labels index.

        Raises:
            UserError: the data set has none, or not all names of the split: their score would silently be zero.
        """
        classes = super().classes()
        missing = [name for name in self.vocabulary.names if name not in set(classes)]
        if missing:
            shown = ', '.join(missing[:5]) + (' ...' if len(missing) > 5 else '')
            raise UserError(
                f"OVCocoMetric: {len(missing)} of the split's names are not classes of the data set: {shown}"
            )
        return classes
