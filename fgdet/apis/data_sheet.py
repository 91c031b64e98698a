"""A sheet of random training samples with their boxes and captions."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fgdet.apis.data_samples import Sample, Samples
from fgdet.datasets.region_text import parse_record
from fgdet.datasets.transforms.image import LoadRegionTextImage
from fgdet.structures.detections import Detections
from fgdet.structures.region_text_sample import BadRecord
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes
from fgdet.visualization.sample_sheet import Cell, draw_sheet

#: Samples that are tried for each that is wanted.
_TRIES = 20


def write_sheet(samples: Samples, path: str | Path, count: int = 9, seed: int = 0) -> int:
    """Draw random samples that training can use, with boxes, phrases and both captions, into a PNG.

    A part (a shard, or a run of records) is drawn first, then a sample in it, so no sample is read in vain.

    Args:
        samples: what to draw from.
        path: the PNG file.
        count: pictures wanted.
        seed: of the choice.

    Returns:
        how many were drawn: fewer where the data have not as many.

    Raises:
        UserError: there are no images, or none that can be used.
    """
    if not samples.has_images:
        raise UserError('sheet: it shows images; give their folder by --images')
    rng = np.random.default_rng(seed)
    cells: dict[str, Cell] = {}
    for _ in range(_TRIES):
        for sample in _draw(samples, count - len(cells), rng):
            try:
                cells.setdefault(sample.source, _cell(sample))
            except BadRecord:
                continue
        if len(cells) >= count:
            break
    if not cells:
        raise UserError(f'sheet: no sample of {samples.data} can be used')
    picture = BytesIO()
    Image.fromarray(draw_sheet(list(cells.values()), columns=min(3, len(cells)))).save(picture, format='PNG')
    write_bytes(path, picture.getvalue())
    return len(cells)


def _draw(samples: Samples, count: int, rng: np.random.Generator) -> list[Sample]:
    """Up to ``count`` random samples, evenly over the parts, of each part with one pass (reservoir sampling)."""
    drawn = []
    for number, wanted in zip(*np.unique(rng.integers(0, samples.num_parts, count), return_counts=True), strict=True):
        kept: list[Sample] = []
        for index, sample in enumerate(samples.part(int(number))):
            place = index if index < wanted else int(rng.integers(0, index + 1))
            if place < len(kept):
                kept[place] = sample
            elif index < wanted:
                kept.append(sample)
        drawn += kept
    return drawn


def _cell(sample: Sample) -> Cell:
    if sample.content is None or sample.image is None:
        raise BadRecord(sample.error or sample.image_error or 'there is no image')
    record = parse_record(sample.content)
    is_file = isinstance(sample.image, Path)
    given = dict(img_path=str(sample.image)) if is_file else dict(img_path=sample.source, img_bytes=sample.image)
    image = np.asarray(LoadRegionTextImage()(given)['img'])
    sides = np.array([image.shape[1], image.shape[0]] * 2)
    regions = record['regions']
    boxes = np.array([region['bbox'] for region in regions]).reshape(-1, 4) * sides
    found = Detections(boxes, np.ones(len(boxes)), np.arange(len(boxes)), [region['short_expr'] for region in regions])
    texts = [f'Long: {record["caption"]}', f'Short: {record["short_caption"]}']
    title = f'{sample.source}  {sample.image_name}' if is_file else sample.source
    return Cell(image, found, title, texts)
