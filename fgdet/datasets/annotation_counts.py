"""How many images, boxes and classes the standard annotation files have: what tells a wrong file before training does.

Sources: COCO 2017 (cocodataset.org) has 118,287 images with 860,001 boxes for training and 5,000 with 36,781 for
validation, in 80 classes; COCO 2014 has 82,783 and 40,504 images. LVIS v1 (lvisdataset.org) has 100,170 images with
1,270,141 boxes and 19,809 with 244,707, in 1,203 classes. OV-COCO (Zareian et al., "Open-Vocabulary Object Detection
Using Captions", CVPR 2021, and the authors' repository alirezazareian/ovr-cnn) trains on the 107,761 images that have a
base box, crowds included, and tests on the 4,836 that have a box of any of its 65 classes.
"""

from collections.abc import Collection, Mapping
from typing import Any

from fgdet.utils.checks import UserError

#: What can be counted: of the file, and of its images those with a box of a base name or of any name.
COUNTS = ('images', 'boxes', 'classes', 'base_images', 'annotated_images')

_COCO_TRAIN = dict(images=118_287, boxes=860_001, classes=80)
_COCO_VAL = dict(images=5_000, boxes=36_781, classes=80)

#: Counts by the name that a config gives as ``expected_counts``.
PROTOCOLS: dict[str, dict[str, int]] = {
    'coco_train2017': _COCO_TRAIN,
    'coco_val2017': _COCO_VAL,
    'ov_coco_train': _COCO_TRAIN | dict(base_images=107_761),
    'ov_coco_val': _COCO_VAL | dict(annotated_images=4_836),
    'lvis_v1_train': dict(images=100_170, boxes=1_270_141, classes=1_203),
    'lvis_v1_val': dict(images=19_809, boxes=244_707, classes=1_203),
}

# Files that are taken for one another, by their numbers of images and classes.
_FILES = {
    (118_287, 80): 'COCO 2017 train, instances_train2017.json',
    (5_000, 80): 'COCO 2017 val, instances_val2017.json',
    (82_783, 80): 'COCO 2014 train, instances_train2014.json',
    (40_504, 80): 'COCO 2014 val, instances_val2014.json',
    (107_761, 80): "OV-COCO's training images alone",
    (107_761, 65): "OV-COCO's training images alone",
    (107_761, 48): "OV-COCO's training images alone",
    (4_836, 80): "OV-COCO's validation images alone",
    (4_836, 65): "OV-COCO's validation images alone",
    (100_170, 1_203): 'LVIS v1 train, lvis_v1_train.json',
    (19_809, 1_203): 'LVIS v1 val, lvis_v1_val.json',
    (57_263, 1_230): 'LVIS v0.5 train, lvis_v0.5_train.json',
    (5_000, 1_230): 'LVIS v0.5 val, lvis_v0.5_val.json',
}


def expected_of(expected: str | Mapping[str, int]) -> Mapping[str, int]:
    """The counts of a protocol's name, or those given.

    Raises:
        UserError: no such protocol, or no such count.
    """
    if isinstance(expected, str):
        if expected not in PROTOCOLS:
            raise UserError(f'expected_counts: expected one of {", ".join(PROTOCOLS)} or a dict, got {expected!r}')
        return PROTOCOLS[expected]
    unknown = [key for key in expected if key not in COUNTS]
    if unknown:
        raise UserError(f'expected_counts: it has no {", ".join(map(repr, unknown))}; it has {", ".join(COUNTS)}')
    return expected


def counts_of(
    annotations: Mapping[str, Any], base_ids: Collection[int], category_ids: Collection[int]
) -> dict[str, int]:
    """Count what is in a COCO-form file.

    Args:
        annotations: the file's dict.
        base_ids: category ids of the base names.
        category_ids: category ids of all names.

    Returns:
        a number for each of ``COUNTS``; crowd regions are boxes too.
    """
    base, wanted = set(base_ids), set(category_ids)
    objects = annotations['annotations']
    return {
        'images': len(annotations['images']),
        'boxes': len(objects),
        'classes': len(annotations['categories']),
        'base_images': len({each['image_id'] for each in objects if each['category_id'] in base}),
        'annotated_images': len({each['image_id'] for each in objects if each['category_id'] in wanted}),
    }


def check_counts(found: Mapping[str, int], expected: str | Mapping[str, int], ann_file: str) -> None:
    """Compare what a file has with what it must have.

    Args:
        found: a number for each of ``COUNTS``.
        expected: the name of a protocol, or numbers for some of ``COUNTS``.
        ann_file: how an error names the file.

    Raises:
        UserError: they differ; it gives both, says which file it seems to be and how to go on with a file of one's own.
    """
    numbers = expected_of(expected)
    wrong = [key for key in numbers if found[key] != numbers[key]]
    if not wrong:
        return
    having = ', '.join(f'{found[key]:,} {key}' for key in numbers)
    wanted = ', '.join(f'{numbers[key]:,} {key}' for key in numbers)
    known = _FILES.get((found['images'], found['classes']))
    right = _FILES.get((numbers.get('images', 0), numbers.get('classes', 0)))
    guess = f'; it looks like {known}' if known and known != right else ''
    fix = f'; give {right}' if right else ''
    name = f" of '{expected}'" if isinstance(expected, str) else ''
    raise UserError(
        f'annotation file {ann_file}: it has {having}, not the {wanted}{name}{guess}{fix}, or expected_counts=None for '
        'a file of your own'
    )
