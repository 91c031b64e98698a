"""Comparing two runs from their files: the evaluations are made again, then compared image by image drawn."""

import inspect
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fgdet.apis.evaluation_report import Report, WatchedResampler
from fgdet.evaluation.class_scores import is_known
from fgdet.evaluation.comparison import Comparison, compare_evaluations
from fgdet.evaluation.evaluation import Evaluation
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import read_json, sha256_of
from fgdet.visualization.comparison_report import class_rows, score_rows, write_comparison_page
from fgdet.visualization.text_table import text_table

#: Where the api of each protocol is: ``module:function``, called with an evaluation's ``inputs``.
PROTOCOLS = {
    'ov-coco': 'fgdet.apis.evaluation:evaluate_ov_coco',
    'coco': 'fgdet.apis.evaluation:evaluate_coco',
    'lvis': 'fgdet.apis.evaluation:evaluate_lvis',
    'fg-ovd': 'fgdet.apis.fg_ovd:evaluate_fg_ovd',
    'box-classification': 'fgdet.apis.box_classification:evaluate_box_classification',
    'calibration': 'fgdet.apis.calibration_evaluation:evaluate_calibration',
    'retrieval': 'fgdet.apis.retrieval_evaluation:evaluate_retrieval',
    'zero-shot': 'fgdet.apis.zero_shot_evaluation:evaluate_zero_shot',
    'synonyms': 'fgdet.apis.synonym_evaluation:evaluate_synonyms',
}
_SAVED = ('pred', 'pred_synonyms', 'save_pred', 'save_pred_synonyms')
#: Inputs that are of a run; all others are of the measurement and must be equal.
RUN_INPUTS = frozenset(
    (*_SAVED, 'checkpoint', 'config', 'templates', 'variant', 'mode', 'image_size', 'images', 'device', 'batch_size')
)


def compare_files(
    first: str | Path,
    second: str | Path,
    protocol: str | None = None,
    options: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    report: Report = lambda share: None,
) -> Comparison:
    """Compare two runs on the same annotations.

    Args:
        first: what ``fgdet evaluate ... --json`` wrote, or a COCO result list.
        second: the same.
        protocol: of result lists, one of ``PROTOCOLS``.
        options: of result lists: the other arguments of the protocol's api, such as ``ann``.
        resamples: draws of the paired bootstrap.
        seed: of the draws.
        report: called with the share of the draws that is done.

    Raises:
        UserError: a file is missing or of another kind, the protocols or what is measured differ, or the files that an
            evaluation was made of have changed since.
    """
    runs = [evaluation_of(path, protocol, options or {}) for path in (first, second)]
    _check_same(runs[0], runs[1], f'{first} and {second}')
    if runs[0].resampler is not None:
        runs[0].resampler = WatchedResampler(runs[0].resampler, resamples + 1, report)
    comparison = compare_evaluations(runs[0], runs[1], resamples, seed)
    comparison.inputs = {'a': str(first), 'b': str(second), 'resamples': resamples, 'seed': seed}
    return comparison


def comparison_lines(comparison: Comparison, num_classes: int = 10) -> list[str]:
    """The protocol, the table of the scores, and the classes that changed most."""
    rows = score_rows(comparison)
    lines = (
        [comparison.first.protocol, *text_table([list(rows[0]), *(list(row.values()) for row in rows)])] if rows else []
    )
    changes = [each for each in comparison.classes if each['difference']][:num_classes]
    if changes:
        table = class_rows(changes)
        left = 2 if 'group' in table[0] else 1
        lines += ['', f'{comparison.class_score} of the classes that changed most:']
        lines += text_table([list(table[0]), *(list(row.values()) for row in table)], left)
    return lines


def write_page(path: str | Path, comparison: Comparison) -> None:
    """Write a comparison as one HTML file."""
    write_comparison_page(path, comparison)


def evaluation_of(path: str | Path, protocol: str | None, options: Mapping[str, Any]) -> Evaluation:
    """Make an evaluation again, or make that of a result list.

    Raises:
        UserError: see :func:`compare_files`.
    """
    if _is_list(path):
        if protocol is None or options.get('ann') is None:
            raise UserError(f'{path} is a result list: give --ann and --protocol; or compare what --json wrote')
        return protocol_api(protocol, options)(pred=str(path), **options)
    if protocol is not None or options:
        raise UserError(f'{path} is no result list: it says itself how it was made; leave out --ann, --protocol ...')
    record = read_json(path, 'evaluation')
    inputs = record.get('inputs') if isinstance(record, dict) else None
    if not isinstance(inputs, dict) or str(record.get('name')) not in PROTOCOLS:
        raise UserError(f'evaluation {path}: no name and inputs of a protocol; give what fgdet evaluate --json wrote')
    inputs = _of_saved_predictions(path, inputs, inspect.signature(protocol_api(record['name'], ())).parameters)
    api = protocol_api(record['name'], inputs)
    try:
        inspect.signature(api).bind(**inputs)
    except TypeError as error:
        raise UserError(f'evaluation {path}: inputs: {error}; evaluate again') from error
    evaluation = api(**inputs)
    for name, value in evaluation.scores.items():
        was = record.get(name)
        if is_known(value) != is_known(was) or (is_known(was) and abs(was - value) > 1e-9):
            raise UserError(
                f'evaluation {path}: {name} was {was}, but its files now give {value}; they have changed since: '
                'evaluate again'
            )
    return evaluation


def protocol_api(name: str, options: Collection[str]) -> Callable[..., Evaluation]:
    """Import the api of a protocol.

    Raises:
        UserError: no such protocol, or an option that it does not take.
    """
    if name not in PROTOCOLS:
        raise UserError(f'protocol {name!r}: expected one of {", ".join(PROTOCOLS)}')
    module, function = PROTOCOLS[name].split(':')
    api = getattr(import_module(module), function)
    known = inspect.signature(api).parameters
    for option in options:
        if option not in known:
            raise UserError(f'protocol {name}: it takes no {option!r}; it takes {", ".join(known)}')
    return api


def _of_saved_predictions(path: str | Path, inputs: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The inputs that make the evaluation again without running a model."""
    if inputs.get('pred'):
        return dict(inputs)
    if not inputs.get('save_pred'):
        raise UserError(f'evaluation {path}: the predictions of its model were not saved; run it with --save-pred')
    kept = {name: value for name, value in inputs.items() if name in known and name not in RUN_INPUTS}
    return kept | {name.removeprefix('save_'): inputs[name] for name in inputs if name.startswith('save_')}


def _is_list(path: str | Path) -> bool:
    with existing_file(path, 'evaluation').open('rb') as file:
        return file.read(64).removeprefix(b'\xef\xbb\xbf').lstrip()[:1] == b'['


def _check_same(first: Evaluation, second: Evaluation, where: str) -> None:
    if first.name != second.name:
        raise UserError(f'{where}: different protocols, {first.name} and {second.name}')
    for key in sorted({*first.inputs, *second.inputs} - RUN_INPUTS):
        values = first.inputs.get(key), second.inputs.get(key)
        if values[0] != values[1] and not _same_content(*values):
            raise UserError(f'{where}: different {key}, {values[0]} and {values[1]}; score both by the same')


def _same_content(first: Any, second: Any) -> bool:
    """Whether two paths, or two lists of them, are of files with the same bytes."""
    lists = [each if isinstance(each, list) else [each] for each in (first, second)]
    if len(lists[0]) != len(lists[1]):
        return False
    return all(_digest(one) == _digest(other) is not None for one, other in zip(*lists, strict=True))


def _digest(path: Any) -> str | None:
    return sha256_of(path) if isinstance(path, str) and Path(path).is_file() else None
