"""Small files of FG-OVD for the tests of several parts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES = {1: (64, 48), 2: (40, 56), 3: (50, 50)}


def fg_ovd_row(image_id: int, bbox: Sequence[float], caption: int, negatives: Sequence[int], **fields: Any) -> dict:
    """A line as FG-CLIP has them; caption n is called ``'a mug of kind n.'``."""
    width, height = SIZES[image_id]
    return (
        dict(
            img_path=f'val2017/{image_id}.png',
            bbox=list(bbox),
            pos_expression=[f'a mug of kind {caption}.'],
            neg_expression=[f'a mug of kind {number}.' for number in negatives],
            category_id=caption,
            neg_category_ids=list(negatives),
            width=width,
            height=height,
            image_id=image_id,
            sent_id=7,
            test_type='1_attributes',
        )
        | fields
    )


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """JSON lines; text is written as it is."""
    path.write_text(''.join((row if isinstance(row, str) else json.dumps(row)) + '\n' for row in rows))
    return path


def coco_form(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same lines in the benchmark's own form."""
    images = {row['image_id']: row for row in rows}
    names: dict[int, str] = {}
    for row in rows:
        numbers, captions = (
            [row['category_id'], *row['neg_category_ids']],
            row['pos_expression'] + row['neg_expression'],
        )
        names.update(zip(numbers, captions, strict=True))
    keys = ('image_id', 'bbox', 'category_id', 'neg_category_ids')
    return {
        'images': [
            {'id': key, 'file_name': row['img_path'], 'width': row['width'], 'height': row['height']}
            for key, row in images.items()
        ],
        'categories': [{'id': key, 'name': name} for key, name in names.items()],
        'annotations': [{'id': i} | {key: row[key] for key in keys} for i, row in enumerate(rows)],
    }
