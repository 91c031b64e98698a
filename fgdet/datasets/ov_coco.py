"""Open-vocabulary detection data from the standard COCO annotation files."""

import os.path
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO

from fgdet.datasets.annotation_counts import check_counts, counts_of, expected_of
from fgdet.registry import DATASETS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError, existing_file

SPLITS = ('base', 'all')


class OrderedCOCO(COCO):
    """COCO's index with the category ids in the order of the names that ask for them.

    The original returns them in the order of the file, so that labels silently change their meaning where the class
    list has another order.

    Args:
        annotation_file: its path; None makes an empty index.
    """

    def __init__(self, annotation_file: str | None = None) -> None:
        self.path = annotation_file
        super().__init__(annotation_file)

    @staticmethod
    def prompt_name(name: str) -> str:
        """How a category of the file is called in a vocabulary."""
        return name

    def ids_by_name(self) -> dict[str, int]:
        """The category ids of the file by their names in a vocabulary."""
        return {self.prompt_name(category['name']): category['id'] for category in self.dataset['categories']}

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Sequence[int] = ()
    ) -> list[int]:
        """Ids of ``cat_names``; the other arguments are those of the original and must be left out.

        Raises:
            UserError: a name is not among the file's categories.
        """
        if sup_names or cat_ids:
            raise ValueError('get_cat_ids: only cat_names is supported')
        by_name = self.ids_by_name()
        missing = [name for name in cat_names if self.prompt_name(name) not in by_name]
        if missing:
            shown = ', '.join(missing[:5]) + (' ...' if len(missing) > 5 else '')
            known = ', '.join(list(by_name)[:5]) + (' ...' if len(by_name) > 5 else '')
            raise UserError(
                f'annotation file {self.path}: {len(missing)} class names are not in it: {shown}; '
                f'its categories: {known}'
            )
        return [by_name[self.prompt_name(name)] for name in cat_names]


@DATASETS.register_module()
class OVCocoDataset(CocoDataset):
    """Images and boxes of a COCO-form file, of which training sees the base classes only.

    Labels index the names of the vocabulary, in its order, in either split. ``split='base'`` gives boxes of base
    classes alone and, with mmdet's ``filter_cfg=dict(filter_empty_gt=True)``, leaves out images without any: the
    training protocol of OV-COCO (Zareian et al., CVPR 2021, section 4.1). An image that has novel objects beside base
    ones is trained on without their boxes. ``split='all'`` gives the boxes of all names, for testing.

    Args:
        ann_file: COCO-form annotation file.
        split: ``'base'`` or ``'all'``; there is no default, as the wrong one leaks novel boxes into training.
        vocabulary: what :meth:`~fgdet.structures.vocabulary.Vocabulary.build` takes, or ``'annotations'``: the names of
            the annotation file, by their ids and without a split. None means the data set's own: OV-COCO's 65 names.
        expected_counts: what the annotation file must have: the name of a protocol or a dict, see
            :mod:`fgdet.datasets.annotation_counts`. None, for files of one's own: anything.
        **options: mmdet's ``data_root``, ``data_prefix``, ``filter_cfg``, ``pipeline``, ``test_mode``, ``indices``,
            ``backend_args`` and the others of :class:`mmdet.datasets.BaseDetDataset`, which refuses unknown ones.

    Raises:
        UserError: the file is missing, is not the expected one, lacks a name of the vocabulary or leaves nothing to
            train on; the base split has no base names, or the split is unknown.
    """

    INDEX: ClassVar[type[OrderedCOCO]] = OrderedCOCO
    DEFAULT_VOCABULARY = 'ov_coco'

    def __init__(
        self,
        ann_file: str,
        split: str,
        vocabulary: Any = None,
        expected_counts: str | Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        if split not in SPLITS:
            raise UserError(f'{name} split: expected one of {", ".join(SPLITS)}, got {split!r}')
        self.split = split
        self.expected_counts = expected_counts
        if expected_counts is not None:
            expected_of(expected_counts)
        if vocabulary == 'annotations':
            self.vocabulary = Vocabulary.from_coco(os.path.join(options.get('data_root') or '', ann_file))
        else:
            self.vocabulary = Vocabulary.build(self.DEFAULT_VOCABULARY if vocabulary is None else vocabulary)
        if split == 'base' and not self.vocabulary.base:
            raise UserError(f'{name} vocabulary base: no names, so the base split would be empty')
        self._is_base = self.vocabulary.base_mask.tolist()
        metainfo = dict(
            classes=self.vocabulary.names, base_classes=self.vocabulary.base, novel_classes=self.vocabulary.novel
        )
        super().__init__(ann_file=ann_file, metainfo=metainfo, **options)

    def COCOAPI(self, path: str) -> OrderedCOCO:
        """Read and check the annotation file; mmdet calls it by this name."""
        index = self.INDEX(path)
        if self.expected_counts is not None:
            by_name = index.ids_by_name()
            base, names = self.vocabulary.base, self.vocabulary.names
            ids = ([by_name[name] for name in part if name in by_name] for part in (base, names))
            check_counts(counts_of(index.dataset, *ids), self.expected_counts, path)
        return index

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotation file; see the class for the errors."""
        existing_file(self.ann_file, 'annotation file')
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """One image's record; in the base split without the boxes of any other class."""
        record = super().parse_data_info(raw_data_info)
        if self.split == 'base':
            record['instances'] = [each for each in record['instances'] if self._is_base[each['bbox_label']]]
        return record

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave out images that are too small and, in training, those without a box that is no crowd."""
        records = super().filter_data()
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return records
        kept = [record for record in records if any(not each['ignore_flag'] for each in record['instances'])]
        if not kept:
            names = self.vocabulary.base if self.split == 'base' else self.vocabulary.names
            raise UserError(
                f'annotation file {self.ann_file}: none of its {len(self.data_list)} images has a box of the '
                f'{len(names)} names of split={self.split!r}: {", ".join(names[:5])}{" ..." if len(names) > 5 else ""}'
            )
        return kept
