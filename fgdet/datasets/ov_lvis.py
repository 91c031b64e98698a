"""Open-vocabulary detection data from LVIS's annotation files."""

from typing import Any, ClassVar

from fgdet.datasets.ov_coco import OrderedCOCO, OVCocoDataset
from fgdet.registry import DATASETS
from fgdet.structures.lvis_split import lvis_prompt_name
from fgdet.utils.image_paths import path_of_url


class OrderedLVIS(OrderedCOCO):
    """LVIS's index: names belong together where prompts have the same words for both."""

    @staticmethod
    def prompt_name(name: str) -> str:
        """How a category of the file is called in a vocabulary."""
        return lvis_prompt_name(name)


@DATASETS.register_module()
class OVLvisDataset(OVCocoDataset):
    """Images, boxes and masks of an LVIS file, of which training sees the common and frequent classes only.

    OV-LVIS (Gu et al., ICLR 2022, section 4.1): ``split='base'`` has the boxes of 866 classes, ``split='all'`` those of
    1,203. An image is looked for below ``data_prefix`` where its ``coco_url`` says: LVIS's images are COCO's, and a
    validation image may lie in ``train2017/``.

    LVIS does not name every object of an image. A record says which classes it was looked through for, by labels and in
    the base split without novel ones: ``neg_labels``, classes that are verified not to be there, and
    ``not_exhaustive_labels``, classes that may have more objects than boxes. A pipeline hands them on with
    ``PackDetInputs(meta_keys=(..., 'neg_labels', 'not_exhaustive_labels'))``.

    Args: see :class:`~fgdet.datasets.ov_coco.OVCocoDataset`; a ``vocabulary`` of None means LVIS v1's names.
    """

    INDEX: ClassVar[type[OrderedCOCO]] = OrderedLVIS
    DEFAULT_VOCABULARY = 'lvis_v1'

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> dict[str, Any]:
        """One image's record, with the classes that it was looked through for."""
        image = raw_data_info['raw_img_info']
        if 'coco_url' in image:
            image['file_name'] = path_of_url(image['coco_url'])
        record = super().parse_data_info(raw_data_info)
        for key, field in (
            ('neg_labels', 'neg_category_ids'),
            ('not_exhaustive_labels', 'not_exhaustive_category_ids'),
        ):
            labels = (self.cat2label[number] for number in image.get(field, ()) if number in self.cat2label)
            record[key] = [label for label in labels if self.split == 'all' or self._is_base[label]]
        return record
