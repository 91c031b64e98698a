"""Open-vocabulary detection data from the standard COCO annotation files."""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO

from fgdet.registry import DATASETS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.structures.vocabulary_fields import composed
from fgdet.utils.checks import UserError, existing_file

SPLITS = ('base', 'all')


class OrderedCOCO(COCO):
    """COCO's index with the category ids in the order of the names that ask for them.

    The original returns them in the order of the file, so that labels silently change their meaning where the class
    list has another order.
    """

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Sequence[int] = ()
    ) -> list[int]:
        """Ids of ``cat_names``; the other arguments are those of the original and must be left out.

        Raises:
            UserError: a name is not among the file's categories.
        """
        if sup_names or cat_ids:
            raise ValueError('get_cat_ids: only cat_names is supported')
        by_name = {composed(category['name']): category['id'] for category in self.dataset['categories']}
        missing = [name for name in cat_names if name not in by_name]
        if missing:
            shown = ', '.join(missing[:5]) + (' ...' if len(missing) > 5 else '')
            known = ', '.join(list(by_name)[:5]) + (' ...' if len(by_name) > 5 else '')
            raise UserError(
                f'annotation file: {len(missing)} class names are not in it: {shown}; its categories: {known}'
            )
        return [by_name[name] for name in cat_names]


@DATASETS.register_module()
class OVCocoDataset(CocoDataset):
    """Images and boxes of a COCO-form file, of which training sees the base classes only.

    Labels index the names of the vocabulary, in its order, in either split. ``split='base'`` gives boxes of base
    classes alone and, with mmdet's ``filter_cfg=dict(filter_empty_gt=True)``, leaves out images without any: the
    training protocol of OV-COCO (Zareian et al., CVPR 2021, section 4.1). ``split='all'`` gives the boxes of all names,
    for testing.

    Args:
        ann_file: COCO-form annotation file.
        split: ``'base'`` or ``'all'``; there is no default, as the wrong one leaks novel boxes into training.
        vocabulary: what :meth:`Vocabulary.build <fgdet.structures.vocabulary.Vocabulary.build>` takes: arguments, a
            name or a file; None means OV-COCO's 65 names.
        **options: mmdet's ``data_root``, ``data_prefix``, ``filter_cfg``, ``pipeline``, ``test_mode``, ``indices``,
            ``backend_args`` and the others of :class:`mmdet.datasets.BaseDetDataset`, which refuses unknown ones.

    Raises:
        UserError: the file is missing, a name of the vocabulary is not in it, the base split has no base names, or the
            split is unknown.
    """

    COCOAPI = OrderedCOCO

    def __init__(
        self, ann_file: str, split: str, vocabulary: dict[str, Any] | str | None = None, **options: Any
    ) -> None:
        if split not in SPLITS:
            raise UserError(f'OVCocoDataset split: expected one of {", ".join(SPLITS)}, got {split!r}')
        self.split = split
        self.vocabulary = Vocabulary.build('ov_coco' if vocabulary is None else vocabulary)
        if split == 'base' and not self.vocabulary.base:
            raise UserError('OVCocoDataset vocabulary base: no names, so the base split would be empty')
        metainfo = dict(
            classes=self.vocabulary.names, base_classes=self.vocabulary.base, novel_classes=self.vocabulary.novel
        )
        super().__init__(ann_file=ann_file, metainfo=metainfo, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotation file; see the class for the errors."""
        existing_file(self.ann_file, 'annotation file')
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """One image's record; in the base split without the boxes of any other class."""
        record = super().parse_data_info(raw_data_info)
        if self.split == 'base':
            is_base = self.vocabulary.base_mask
            record['instances'] = [each for each in record['instances'] if is_base[each['bbox_label']]]
        return record

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out images that are too small and, in training, those without a box that is no crowd."""
        records = super().filter_data()
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return records
        return [record for record in records if any(not each['ignore_flag'] for each in record['instances'])]
