"""What was predicted on FG-OVD, as COCO result lists that also say for which line or vocabulary."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import write_bytes


class FGOVDPrediction(msgspec.Struct, gc=False, omit_defaults=True):
    """One entry: how well a caption fits a box.

    Of the rank score there is one for each caption of a line, and ``bbox`` is the line's; of the detection score one
    for each detection.
    """

    image_id: int
    category_id: int  # of the caption
    bbox: tuple[float, float, float, float]  # x, y, width, height in pixels of the image
    score: float
    subset: str  # hard, medium, easy, trivial ...
    line: int | None = None  # rank: the line in its file, from 1
    vocabulary: int | None = None  # detection: the right caption of the vocabulary that was looked for


def read_predictions(path: str | Path, field: str) -> list[FGOVDPrediction]:
    """Read a saved list, all whose entries have a ``field``: ``line`` or ``vocabulary``.

    Raises:
        UserError: no such file, not JSON, an entry misses a field or has a wrong value, or the file is of the other
            protocol.
    """
    data = existing_file(path, 'prediction file').read_bytes()
    try:
        predictions = msgspec.json.decode(data, type=list[FGOVDPrediction])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f'prediction file {path}: {error}; give what --save-pred wrote') from error
    for position, entry in enumerate(predictions):
        if getattr(entry, field) is None:
            protocol = {'line': 'rank', 'vocabulary': 'detection'}[field]
            raise UserError(
                f'prediction file {path}[{position}]: no {field!r}; was it saved with --protocol {protocol}?'
            )
        if entry.bbox[2] < 0 or entry.bbox[3] < 0:
            raise UserError(f'prediction file {path}[{position}]: bbox: width and height below 0: {entry.bbox}')
    return predictions


def write_predictions(path: str | Path, predictions: Sequence[FGOVDPrediction]) -> None:
    """Write a list that :func:`read_predictions` gives back exactly."""
    write_bytes(path, msgspec.json.encode(predictions) + b'\n')
