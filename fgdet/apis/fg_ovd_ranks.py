"""FG-OVD's rank accuracy: FG-CLIP's similarities of given boxes with their captions, and what comes of them.

Axes: M lines, S captions of all of them, D embedding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fgdet.apis.fg_ovd_predictions import FGOVDPrediction
from fgdet.apis.region_encoding import RegionEncoder, Report
from fgdet.datasets.fg_ovd import FGOVDLine, FGOVDSubset
from fgdet.evaluation.functional.fg_ovd import rank_outcomes
from fgdet.utils.checks import UserError

#: The official evaluation's factor of the similarity; it changes no rank.
LOGIT_SCALE = 100.0

#: Wrong lines that a page may show of a subset.
MOST_MISTAKES = 50


class RankedLines(NamedTuple):
    """The lines of one subset that were scored."""

    lines: list[FGOVDLine]  # M
    scores: np.ndarray  # (S,) line after line, the right caption first
    group_sizes: np.ndarray  # (M,)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """(M,) correct, ties counted, and (M,) correct without; see ``rank_outcomes``."""
        return rank_outcomes(self.scores, self.group_sizes)

    def mistakes(self) -> list[dict[str, Any]]:
        """Lines on which a wrong caption wins, the widest apart first: ``MOST_MISTAKES`` at most, for a page."""
        found = []
        parts = np.split(self.scores, np.cumsum(self.group_sizes)[:-1])
        for index in np.flatnonzero(~self.outcomes()[0]):
            line, scores = self.lines[index], parts[index]
            best = int(scores.argmax())
            box = dict(image_id=line.image_id, file_name=line.file_name, bbox=list(line.bbox))
            words = dict(name=line.captions[best], truth=line.captions[0], kind='wrong caption')
            found.append((float(scores[best] - scores[0]), box | words | dict(score=float(scores[best]))))
        found.sort(key=lambda each: -each[0])
        return [mistake for _, mistake in found[:MOST_MISTAKES]]


def predict_ranks(
    subsets: Sequence[FGOVDSubset],
    encoder: RegionEncoder,
    files: Mapping[str, Path],
    report: Report | None = None,
) -> list[FGOVDPrediction]:
    """Similarities of every line's box with its captions; an image is encoded once for all lines of all subsets.

    Equal captions are encoded once, and products are summed in double precision in one order, so that equal captions
    of a line have equal scores to the last bit.

    Args:
        subsets: the lines.
        encoder: FG-CLIP; region features are not normalised, text features are, as in the official evaluation.
        files: of each ``file_name``; lines of other images are left out.
        report: told after each image.
    """
    by_image: dict[str, list[tuple[str, FGOVDLine]]] = {}
    for subset in subsets:
        for line in subset.lines:
            if line.file_name in files:
                by_image.setdefault(line.file_name, []).append((subset.name, line))
    captions = [caption for lines in by_image.values() for _, line in lines for caption in line.captions]
    row = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    texts = encoder.encode_texts(list(row))  # (distinct captions, D)
    boxes = [np.array([_xyxy(line) for _, line in lines]) for lines in by_image.values()]
    encoded = encoder.encode([files[name] for name in by_image], boxes, report)
    predictions = []
    for lines, regions in zip(by_image.values(), encoded, strict=True):
        for (name, line), region in zip(lines, regions.astype(np.float64), strict=True):
            rows = [row[caption] for caption in line.captions]
            scores = LOGIT_SCALE * (texts[rows].astype(np.float64) * region).sum(axis=1)
            for category_id, score in zip(line.category_ids, scores.tolist(), strict=True):
                predictions.append(
                    FGOVDPrediction(line.image_id, category_id, line.bbox, score, name, line=line.number)
                )
    return predictions


def ranked_lines(
    subsets: Sequence[FGOVDSubset],
    predictions: Sequence[FGOVDPrediction],
    skip_missing: bool = False,
    where: str = 'predictions',
) -> dict[str, RankedLines]:
    """The scores of each subset's lines in the order of the file; predictions of other subsets are not looked at.

    Args:
        subsets: the lines.
        predictions: one for each caption of a line.
        skip_missing: leave out lines that no prediction is of.
        where: how an error names the predictions.

    Raises:
        UserError: a prediction is of no line, of another image or box, of a caption that the line has not, or comes
            twice; or a line lacks one.
    """
    lines = {(subset.name, line.number): line for subset in subsets for line in subset.lines}
    names = {subset.name for subset in subsets}
    found: dict[tuple[str, int], dict[int, float]] = {}
    for position, entry in enumerate(predictions):
        if entry.subset not in names:
            continue
        assert entry.line is not None
        key = entry.subset, entry.line
        problem = _problem(entry, lines.get(key), found.get(key, {}))
        if problem:
            raise UserError(f'{where}[{position}]: {problem}')
        found.setdefault(key, {})[entry.category_id] = entry.score
    return {subset.name: _ranked(subset, found, skip_missing, where) for subset in subsets}


def _ranked(
    subset: FGOVDSubset, found: Mapping[tuple[str, int], Mapping[int, float]], skip_missing: bool, where: str
) -> RankedLines:
    kept = [line for line in subset.lines if not skip_missing or (subset.name, line.number) in found]
    for line in kept:
        of_line = found.get((subset.name, line.number), {})
        missing = [number for number in line.category_ids if number not in of_line]
        if missing:
            raise UserError(
                f'{where}: no score of caption {missing[0]} on line {line.number} of {subset.path} ({subset.name}); '
                'lines without any score can be left out with --skip-missing'
            )
    scores = [found[subset.name, line.number][number] for line in kept for number in line.category_ids]
    sizes = np.array([len(line.category_ids) for line in kept], dtype=np.int64)
    return RankedLines(kept, np.array(scores, dtype=np.float64), sizes)


def _problem(entry: FGOVDPrediction, line: FGOVDLine | None, of_line: Mapping[int, float]) -> str | None:
    if line is None:
        return f'{entry.subset} has no line {entry.line}'
    if (entry.image_id, entry.bbox) != (line.image_id, line.bbox):
        return (
            f'image {entry.image_id}, bbox {list(entry.bbox)}, but line {entry.line} of {entry.subset} is of image '
            f'{line.image_id}, bbox {list(line.bbox)}'
        )
    if entry.category_id not in line.category_ids:
        return f'category_id {entry.category_id} is no caption of line {entry.line} of {entry.subset}'
    return f'caption {entry.category_id} of line {entry.line} comes twice' if entry.category_id in of_line else None


def _xyxy(line: FGOVDLine) -> tuple[float, ...]:
    x, y, width, height = line.bbox
    return x, y, x + width, y + height
