"""Training records from what others have annotated."""

from pathlib import Path

from fgdet.datasets.coco_records import records_from_coco
from fgdet.utils.files import write_json


def convert_coco(ann_file: str | Path, out: str | Path, num_negatives: int = 10, seed: int = 0) -> dict[str, int]:
    """Write region-text records of a COCO-form annotation file.

    Args:
        ann_file: the annotation file.
        out: the JSON file to write.
        num_negatives: hard negatives of each region.
        seed: seed of the choice of negatives.

    Returns:
        how many ``records`` and ``regions`` were written.

    Raises:
        UserError: the annotation file is missing or malformed.
    """
    records = records_from_coco(ann_file, num_negatives, seed=seed)
    write_json(out, records)
    return dict(records=len(records), regions=sum(len(record['bbox_info']) for record in records))
