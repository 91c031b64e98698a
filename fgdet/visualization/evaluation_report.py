"""An evaluation as one page: scores, how they were made, curves, classes, and what went wrong, with pictures.

A part that a protocol does not have is left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.evaluation.class_scores import ClassRow, ordered, score_names
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional import detection_mistakes as kinds
from fgdet.visualization.report import Bars, Block, Figure, LinePlot, Section, Table, write_report
from fgdet.visualization.score_text import interval_text, limit_text, score_text

#: Bars of the worst classes: more are no longer looked at.
NUM_BARS = 30
#: What an interval is, and is not.
INTERVALS = (
    'Intervals: 95 % of bootstrap draws of the images, which repeat some and lack others; where classes have few '
    'objects, all of an interval may lie above or below its score.'
)
_RECALLS = np.linspace(0.0, 1.0, 101)
_KINDS = {
    kinds.WRONG_CLASS: 'overlaps an object of another class by 0.5 or more',
    kinds.POOR_OVERLAP: 'overlaps an object of its class by 0.1 to 0.5',
    kinds.DUPLICATE: 'overlaps an object of its class by 0.5 or more that a better detection has found',
    kinds.WRONG_CLASS_AND_OVERLAP: 'overlaps an object of another class by 0.1 to 0.5',
    kinds.BACKGROUND: 'overlaps no object by 0.1',
    kinds.MISSED: 'an object that no detection of its class overlaps by 0.5',
}


def write_evaluation_page(
    path: str | Path, evaluation: Evaluation, crops: Mapping[int, np.ndarray] | None = None, note: str = ''
) -> Path:
    """Write the page in one step.

    Args:
        path: the ``.html`` file.
        evaluation: what is shown.
        crops: pictures of the mistakes, by position in ``evaluation.mistakes``, (H, W, 3) uint8 RGB.
        note: said above the mistakes, such as which images were not found.

    Returns:
        The path.
    """
    sections = [
        Section('Scores', [evaluation.protocol, *_score_blocks(evaluation)]),
        Section('Precision and recall', _curve_blocks(evaluation)),
        Section('Scores as probabilities', _reliability_blocks(evaluation.details.get('bins', ()))),
        Section('Classes', _class_blocks(evaluation.classes)),
        Section('Mistakes', _mistake_blocks(evaluation.mistakes, crops or {}, note)),
        Section('How to make it again', [_inputs_table(evaluation)]),
    ]
    title = f'fgdet evaluate {evaluation.name}'
    return write_report(path, title, [section for section in sections if section.blocks])


def _score_blocks(evaluation: Evaluation) -> list[Block]:
    """Rows and columns as on a terminal; with intervals one score a row."""
    columns = list(dict.fromkeys(column for names in evaluation.columns.values() for column in names))
    rows: list[dict[str, str]] = []
    for row, names in evaluation.columns.items():
        if evaluation.intervals:
            for column, name in names.items():
                interval = evaluation.intervals.get(name)
                shown = {'score': f'{row} {column}'.strip(), 'value': score_text(evaluation.scores.get(name))}
                rows.append(shown | {'95 % interval': interval_text(interval)})
        else:
            rows.append({'': row} | {each: score_text(evaluation.scores.get(names.get(each, ''))) for each in columns})
    caption = 'Percent; counts as they are.'
    if evaluation.intervals:
        caption += f' {INTERVALS}'
    blocks: list[Block] = [Table(rows, caption, right=list(rows[0])[1:])] if rows else []
    shown_names = {name for names in evaluation.columns.values() for name in names.values()}
    rest = [
        {'': name, ' ': limit_text(value) if name == 'threshold' else score_text(value)}
        for name, value in evaluation.scores.items()
        if name not in shown_names
    ]
    return [*blocks, Table(rest, right=[' '], summary='All other numbers')] if rest else blocks


def _curve_blocks(evaluation: Evaluation) -> list[Block]:
    """Groups in one plot, classes in another."""
    classes = {f'{row["name"]} ({row.get("num_objects")})' for row in evaluation.classes}
    captions = {
        True: 'Mean over the classes, at an overlap of 0.5.',
        False: 'The lowest classes above 0, with their numbers of objects.',
    }
    blocks: list[Block] = []
    for is_group, caption in captions.items():
        curves = {
            name: (_RECALLS, np.asarray(y))
            for name, y in evaluation.curves.items()
            if (name not in classes) == is_group
        }
        if curves:
            blocks.append(LinePlot(curves, 'recall', 'precision', caption, y_range=(0.0, 1.02)))
    return blocks


def _reliability_blocks(bins: Sequence[Mapping[str, float]]) -> list[Block]:
    """Mean score of each bin and the share of its detections that are right."""
    if not bins:
        return []
    shares = ([each['confidence'] for each in bins], [each['accuracy'] for each in bins])
    curves = {'detections': shares, 'as they should be': ([0.0, 1.0], [0.0, 1.0])}
    table = [
        {'scores': f'{each["low"]:.2f}-{each["high"]:.2f}', 'detections': str(round(each['num_detections']))}
        | {'mean score': score_text(each['confidence']), 'right': score_text(each['accuracy'])}
        for each in bins
    ]
    caption = 'By bins of scores, at an overlap of 0.5.'
    return [
        LinePlot(curves, 'score', 'share that is right', caption, y_range=(0.0, 1.02)),
        Table(table, right=list(table[0]), summary=f'All {len(table)} bins'),
    ]


def _class_blocks(classes: Sequence[ClassRow]) -> list[Block]:
    names = score_names(classes)
    if not names:
        return []
    main = names[0]
    worst_first = ordered(classes, main)
    groups = sorted({str(row['group']) for row in worst_first if row.get('group')}) or ['all']
    curves = {}
    for group in groups:
        values = [row[main] for row in worst_first if group in ('all', str(row.get('group')))][::-1]
        curves[f'{group} ({len(values)})'] = (np.arange(1, len(values) + 1), 100 * np.array(values))
    unknown = len(classes) - len(worst_first)
    text = f'{len(worst_first)} classes have a score' + (
        f', {unknown} have none: no object is theirs.' if unknown else '.'
    )
    if zeros := sum(row[main] == 0 for row in worst_first):
        text += f' {zeros} are at 0.'
    bars = [(_class_label(row), row[main], score_text(row[main])) for row in worst_first[:NUM_BARS]]
    table = [_class_cells(row, names) for row in sorted(classes, key=lambda row: str(row['name']))]
    return [
        text,
        LinePlot(curves, 'classes, the best first', f'{main}, percent', f'{main} by class.', y_range=(0, 102)),
        Bars(bars, f'{main} of the {len(bars)} lowest classes, with their numbers of objects.'),
        Table(table, right=list(table[0]), summary=f'All {len(table)} classes'),
    ]


def _class_label(row: ClassRow) -> str:
    facts = [str(row[key]) for key in ('group', 'num_objects') if row.get(key) not in (None, '')]
    return f'{row["name"]} ({", ".join(facts)})' if facts else str(row['name'])


def _class_cells(row: ClassRow, names: Sequence[str]) -> dict[str, Any]:
    facts = {'group': 'group', 'num_objects': 'objects', 'num_missed': 'missed'}
    cells: dict[str, Any] = {'class': str(row['name'])}
    cells |= {title: row[key] for key, title in facts.items() if key in row}
    cells |= {name: score_text(row.get(name)) for name in names}
    if 'threshold' in row:
        cells['best threshold'] = limit_text(row['threshold'])
    return cells


def _mistake_blocks(mistakes: Sequence[Mapping[str, Any]], crops: Mapping[int, np.ndarray], note: str) -> list[Block]:
    if not mistakes:
        return []
    counts = Counter(str(each['kind']) for each in mistakes)
    of_detections = any('overlap' in each for each in mistakes)
    if of_detections:
        text = (
            f'The {len(mistakes) - counts[kinds.MISSED]} most confident detections that are wrong at an overlap of '
            '0.5, and the largest objects that were missed. Red: detected; green: the object it is judged by.'
        )
        table = [{'kind': kind, 'count': counts[kind], 'meaning': _KINDS[kind]} for kind in _KINDS if counts[kind]]
    else:
        text = f'{len(mistakes)} of the most confident mistakes.'
        table = [{'kind': kind, 'count': n} for kind, n in counts.items()]
    blocks: list[Block] = [text, Table(table)]
    if note:
        blocks.append(note)
    blocks += [Figure(crops[index], _mistake_text(mistakes[index]), is_photo=True) for index in sorted(crops)]
    rows = [
        {
            'kind': each['kind'],
            'detected': each.get('name') or '',
            'score': '' if each.get('score') is None else f'{each["score"]:.3f}',
            'truth': each.get('truth') or '',
            'image': each.get('file_name') or str(each['image_id']),
            'box': ', '.join(f'{value:.0f}' for value in each.get('bbox') or ()),
        }
        for each in mistakes
    ]
    return [*blocks, Table(rows, 'Boxes: x, y, width, height in pixels.', ['score'], f'All {len(rows)} as a list')]


def _mistake_text(mistake: Mapping[str, Any]) -> str:
    if mistake.get('score') is None:
        return f'{mistake["kind"]}: {mistake["truth"]}'
    truth = f'; it is {mistake["truth"]}' if mistake.get('truth') not in (None, mistake['name']) else ''
    return f'{mistake["kind"]}: {mistake["name"]} {mistake["score"]:.2f}{truth}'


def _inputs_table(evaluation: Evaluation) -> Table:
    rows = [{'option': key, 'value': str(value)} for key, value in evaluation.inputs.items() if value is not None]
    return Table(rows or [{'option': 'none', 'value': ''}])
