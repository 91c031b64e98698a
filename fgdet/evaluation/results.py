"""COCO annotation files and COCO result lists: reading them, and saying what is wrong with them."""

import codecs
import gzip
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np

from fgdet.evaluation.annotation_checks import check_annotations
from fgdet.evaluation.result_columns import ResultColumns
from fgdet.evaluation.result_entries import is_id, is_run_length, problem_of_run
from fgdet.evaluation.result_files import is_shard, read_shards
from fgdet.evaluation.result_reading import add_entries, read_result_list
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import read_json

IOU_TYPES = ('bbox', 'segm')
_SHAPE_FIELDS = {'bbox': 'bbox', 'segm': 'segmentation'}


class _Box(TypedDict, total=False):
    """What counts of an object where boxes are compared."""

    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    area: Any
    iscrowd: Any
    ignore: Any


class _Boxes(TypedDict, total=False):
    images: Any
    categories: Any
    annotations: list[_Box]


def load_annotations(path: str | Path, masks: bool = True, or_images: bool = False) -> dict[str, Any]:
    """Read a COCO-form annotation file.

    Args:
        path: the file.
        masks: False keeps only images, categories and what boxes need of the objects: polygons take most of the memory.
        or_images: whether it may be the image-info file of a test set, without ``annotations``.

    Raises:
        UserError: no such file, not JSON, or see :func:`~fgdet.evaluation.annotation_checks.check_annotations`.
    """
    where = f'annotation file {path}'
    try:
        data = existing_file(path, 'annotation file').read_bytes().removeprefix(codecs.BOM_UTF8)
        annotations: Any = msgspec.json.decode(data, type=Any if masks else _Boxes)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # not quite JSON; this says why, or takes it
        annotations = read_json(path, 'annotation file')
    check_annotations(annotations, where, or_images)
    return annotations


def load_results(path: str | Path, lenient: bool = False) -> ResultTable:
    """Read predictions of any size in the memory that their columns take.

    Args:
        path: a COCO result list ``[{"image_id", "category_id", "bbox" [x, y, width, height], "score"}, ...]``, each
            entry with ``bbox``, ``segmentation`` or both; one entry a line will do, and so will a file packed by gzip
            whose name ends in ``.gz``, or a shard of :mod:`~fgdet.evaluation.result_files`.
        lenient: whether numbers may be null, NaN or infinite, and sizes negative, for a reader that looks at all of
            them itself; null becomes NaN.

    Returns:
        The detections in the order of the file. Fields are checked, ids are not: :func:`as_table` does that, once the
        annotations are known.

    Raises:
        UserError: no such file, not JSON, not a list, or an entry is malformed; the message has its position.
    """
    path = existing_file(path, 'prediction file')
    where = f'prediction file {path}'
    columns = ResultColumns()
    try:
        with path.open('rb') as stored:
            if is_shard(stored.peek()):
                return read_shards([path])[0]
            file = gzip.GzipFile(fileobj=stored) if path.suffix == '.gz' else stored
            read_result_list(file, columns, where, lenient)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f'{where}: not a whole gzip file ({error})') from error
    return columns.table()


def as_table(
    predictions: ResultTable | Sequence[Any],
    image_ids: Collection[int],
    category_ids: Collection[int],
    iou_type: str = 'bbox',
    where: str = 'predictions',
) -> ResultTable:
    """Return checked predictions as columns; a table comes back as it is.

    Args:
        predictions: a table or the entries of a COCO result list.
        image_ids: the ids that a prediction may name.
        category_ids: the same for categories.
        iou_type: ``'bbox'`` needs a box of every prediction, ``'segm'`` a segmentation.
        where: how an error names the predictions.

    Raises:
        UserError: the first prediction that misses a field, has a wrong value or names an unknown id.
    """
    check_iou_type(iou_type)
    if isinstance(predictions, ResultTable):
        _validate_table(predictions, image_ids, category_ids, iou_type, where)
        return predictions
    validate_results(predictions, image_ids, category_ids, iou_type, where)
    kept = ('image_id', 'category_id', 'score', 'bbox' if iou_type == 'bbox' else 'segmentation')
    columns = ResultColumns()
    add_entries(columns, [{field: entry[field] for field in kept} for entry in predictions])
    return columns.table()


def validate_results(
    results: Sequence[Any],
    image_ids: Collection[int],
    category_ids: Collection[int],
    iou_type: str = 'bbox',
    where: str = 'predictions',
) -> None:
    """Check every entry of a COCO result list; an empty list is fine.

    The arguments are those of :func:`as_table`.

    Raises:
        UserError: the first entry that misses a field, has a wrong value or names an unknown id.
    """
    check_iou_type(iou_type)
    known_images, known_categories = set(image_ids), set(category_ids)
    for position, entry in enumerate(results):
        problem = problem_of_run(entry, known_images, known_categories, _SHAPE_FIELDS[iou_type])
        if problem:
            raise UserError(f'{where}[{position}]: {problem}')


def check_iou_type(iou_type: str) -> None:
    """Raise UserError unless ``iou_type`` is one of ``IOU_TYPES``."""
    if iou_type not in IOU_TYPES:
        raise UserError(f'iou_type: expected one of {", ".join(IOU_TYPES)}, got {iou_type!r}')


def _validate_table(
    table: ResultTable, image_ids: Collection[int], category_ids: Collection[int], iou_type: str, where: str
) -> None:
    """Find the first wrong row with whole columns, and have its entry say what is wrong."""
    good = np.isfinite(table.scores)
    for column, known in ((table.image_ids, image_ids), (table.category_ids, category_ids)):
        good &= np.isin(column, np.array([number for number in known if is_id(number)], dtype=np.int64))
    if iou_type == 'bbox':
        good &= np.isfinite(table.boxes).all(axis=1) & (table.boxes[:, 2:] >= 0).all(axis=1)
    elif isinstance(table.segmentations, RunLengths):
        good &= table.segmentations.sizes[:, 0] >= 0
    else:
        masks: Sequence[Any] = table.segmentations or [None] * len(table)
        good &= np.fromiter((is_run_length(mask) for mask in masks), dtype=bool, count=len(table))
    if good.all():
        return
    position = int(good.argmin())
    entry = next(iter(table.select(np.array([position])).to_entries()))
    problem = problem_of_run(entry, set(image_ids), set(category_ids), _SHAPE_FIELDS[iou_type])
    raise UserError(f'{where}[{position}]: {problem}')
