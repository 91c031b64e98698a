"""What people see of an evaluation: lines for a terminal, a page; with intervals where they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.image_reading import load_image
from fgdet.evaluation.class_scores import ordered, score_names
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.detection_mistakes import MISSED
from fgdet.evaluation.resampling import Resampler, intervals
from fgdet.utils.checks import UserError
from fgdet.utils.image_paths import locate_image
from fgdet.visualization.evaluation_report import write_evaluation_page
from fgdet.visualization.mistake_picture import draw_mistake
from fgdet.visualization.score_text import score_text
from fgdet.visualization.text_table import text_table, text_width

#: How many pictures a page shows of wrong detections and of missed objects.
NUM_MISTAKES, NUM_MISSED = 36, 12
#: Called with the share done, 0 to 1.
Report = Callable[[float], None]


class WatchedResampler:
    """A resampler that says how far the draws have come.

    Args:
        resampler: what is watched.
        draws: how many calls are expected.
        report: called after each.
    """

    def __init__(self, resampler: Resampler, draws: int, report: Report) -> None:
        self.image_ids = resampler.image_ids
        self._resampler, self._draws, self._report, self._done = resampler, draws, report, 0

    def scores(self, weights: np.ndarray) -> dict[str, float]:
        """As of the resampler."""
        result = self._resampler.scores(weights)
        self._done += 1
        self._report(min(self._done / self._draws, 1.0))
        return result


def add_intervals(
    evaluation: Evaluation, resamples: int = 1000, seed: int = 0, report: Report = lambda share: None
) -> None:
    """Set ``evaluation.intervals``: 95 % bootstrap intervals over its images.

    Raises:
        UserError: the protocol has none, there is no image, or fewer than two resamples.
    """
    if evaluation.resampler is None:
        raise UserError(f'--ci: the scores of {evaluation.name} are of no images that could be drawn again')
    run = WatchedResampler(evaluation.resampler, resamples, report)
    evaluation.intervals = intervals(run, resamples, seed=seed)


def score_lines(evaluation: Evaluation, width: int = 120) -> list[str]:
    """The scores as a table of ``evaluation.columns``, a header first; one score a line where that is too wide.

    Args:
        evaluation: fractions are shown as percent with two decimals, whole numbers as they are, NaN as a dash;
            intervals follow in parentheses.
        width: columns of the terminal.
    """
    columns = list(dict.fromkeys(column for names in evaluation.columns.values() for column in names))
    rows = [['', *columns]]
    for row, names in evaluation.columns.items():
        rows.append([row, *(_text_of(evaluation, names.get(column)) for column in columns)])
    lines = text_table(rows)
    if max(map(text_width, lines)) <= width:
        return lines
    cells = ((row, column, name) for row, names in evaluation.columns.items() for column, name in names.items())
    return ['', *text_table([[f'{row} {column}'.strip(), _text_of(evaluation, name)] for row, column, name in cells])]


def worst_class_lines(evaluation: Evaluation, limit: int) -> list[str]:
    """The ``limit`` classes of the lowest scores as a table, a header first; empty where nothing is known by class."""
    names = score_names(evaluation.classes)
    if not names or limit < 1:
        return []
    facts = [key for key in ('group', 'num_objects') if any(key in row for row in evaluation.classes)]
    rows = [['class', *(key.replace('num_', '') for key in facts), *names]]
    for row in ordered(evaluation.classes, names[0])[:limit]:
        rows.append(
            [str(row['name']), *(str(row.get(key, '')) for key in facts), *(score_text(row.get(key)) for key in names)]
        )
    return text_table(rows, left=2 if 'group' in facts else 1)


def write_page(path: str | Path, evaluation: Evaluation, images: str | Path | None = None) -> None:
    """Write an evaluation as one HTML file, see :func:`~fgdet.visualization.evaluation_report.write_evaluation_page`.

    Args:
        path: the file.
        evaluation: what is shown.
        images: folder of the images, for crops of the mistakes.

    Raises:
        UserError: no such folder.
    """
    folder = _images_folder(images)
    if evaluation.add_details:
        evaluation.add_details()
    crops, note = mistake_crops(evaluation.mistakes, folder)
    write_evaluation_page(path, evaluation, crops, note)


def mistake_crops(mistakes: Sequence[Mapping[str, Any]], folder: Path | None) -> tuple[dict[int, np.ndarray], str]:
    """Pictures of the first mistakes and of the first missed objects, and a line on images that could not be read.

    Args:
        mistakes: of an evaluation.
        folder: of the images, looked for under ``file_name`` and the last part of it; None: no pictures.

    Returns:
        (h, w, 3) uint8 RGB by position in ``mistakes``, and the line, empty where all is well.
    """
    if folder is None:
        return {}, 'No pictures: give the folder of the images with --images.' if mistakes else ''
    is_missed = [each['kind'] == MISSED for each in mistakes]
    chosen = np.flatnonzero(~np.array(is_missed, dtype=bool))[:NUM_MISTAKES].tolist()
    chosen += np.flatnonzero(is_missed)[:NUM_MISSED].tolist()
    crops: dict[int, np.ndarray] = {}
    problems = []
    for index in chosen:
        mistake = mistakes[index]
        name = mistake.get('file_name') or f'{mistake["image_id"]:012d}.jpg'  # as COCO calls them
        try:
            image = load_image(locate_image(folder, name) or folder / name)
        except UserError as error:
            problems.append(str(error))
            continue
        missed = mistake['kind'] == MISSED
        truth = mistake['bbox'] if missed else mistake.get('truth_bbox')
        crops[index] = draw_mistake(image, None if missed else mistake.get('bbox'), truth)
    return crops, f'{len(problems)} of {len(chosen)} pictures are missing: {problems[0]}' if problems else ''


def _images_folder(images: str | Path | None) -> Path | None:
    """Return the folder of the images.

    Raises:
        UserError: it is none.
    """
    if images is not None and not Path(images).is_dir():
        raise UserError(f'--images {images}: no such folder')
    return None if images is None else Path(images)


def _text_of(evaluation: Evaluation, name: str | None) -> str:
    return score_text(evaluation.scores.get(name), evaluation.intervals.get(name)) if name else '-'
