"""Predictions to what a benchmark server takes: read, check, mend, write, read back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import check_iou_type, load_results
from fgdet.submission.archive import unpacked, write_archive
from fgdet.submission.benchmark import Benchmark
from fgdet.submission.candidates import Candidates
from fgdet.submission.coco import COCO
from fgdet.submission.image_info import ImageInfo, load_image_info
from fgdet.submission.lvis import LVIS
from fgdet.submission.mending import are_corners, mend
from fgdet.submission.rounding import lost_precision, rounded_scores
from fgdet.submission.submission import Submission, SubmissionError
from fgdet.submission.validation import find_problems
from fgdet.utils.checks import UserError
from fgdet.utils.files import check_files_differ, check_output_file, write_json

BENCHMARKS = {'coco': COCO, 'lvis': LVIS}

#: Told the part, the share of it that is done and a word about it.
OnProgress = Callable[[str, float, str], None]

#: The parts of :func:`submit` with their shares of the time.
PARTS = {'read': 3.0, 'check': 1.0, 'write': 3.0, 'read back': 2.0}


def submit(
    benchmark: str,
    predictions: str | Path,
    images: str | Path,
    out: str | Path,
    *,
    iou_type: str = 'bbox',
    algorithm: str | None = None,
    test_set: str | None = None,
    fix: bool = False,
    json_file: str | Path | None = None,
    on_progress: OnProgress = lambda part, done, line: None,
) -> Submission:
    """Write the file for a benchmark server from a COCO result list.

    Args:
        benchmark: ``'coco'`` or ``'lvis'``.
        predictions: the result list; a ``.zip`` archive of an earlier submission is read as well.
        images: the test set's image-info file.
        out: the file, ``.zip`` (or ``.json`` where the server takes it); a folder gets a file with the documented name.
        iou_type: ``'bbox'`` submits boxes, ``'segm'`` masks.
        algorithm: a part of the documented name; else as the name of ``out`` says, else ``fgdet``.
        test_set: the same for the test set; else the name of ``images`` tells.
        fix: whether to mend what can be mended without guessing, see :func:`fgdet.submission.mending.mend`.
        json_file: where to write what was found and done, also where that is an error.
        on_progress: told how far the parts of ``PARTS`` are.

    Raises:
        SubmissionError: the server would not take the detections; nothing was written.
        UserError: a file is missing or malformed, or a name or an option does not fit.
        OSError: the file cannot be written.
    """
    rules = _rules(benchmark)
    check_iou_type(iou_type)
    info = load_image_info(images)
    path, test_set, algorithm = _names(rules, Path(out), str(out), Path(images), test_set, algorithm)
    _check_files(json_file, [('prediction file', predictions), ('image-info file', images)], [('out', path)])
    with _reported(json_file):
        submission, candidates = _checked(benchmark, Path(predictions), info, iou_type, test_set, fix, on_progress)
    table = candidates.table
    table.scores, submission.scores = rounded_scores(table.scores)
    on_progress('check', 1.0, '')
    stem = rules.file_stem(test_set, algorithm)
    submission.num_bytes = write_archive(
        path,
        f'{stem}.json',
        table,
        candidates.masks,
        lambda share: on_progress('write', share, ''),
        lambda share: on_progress('read back', share, ''),
    )
    submission.archive, submission.num_written = str(path), len(table)
    submission.member = f'{stem}.json' if path.suffix == '.zip' else None
    if rules.named and path.stem != stem:
        submission.warnings.append(f'the server wants the name {stem}{path.suffix}: rename {path.name}')
    _warn_of_size(submission, rules)
    _report(submission, json_file)
    return submission


def check_submission(benchmark: str, images: str | Path, out: str | Path, iou_type: str = 'bbox') -> str:
    """Check what :func:`submit` needs beside predictions, before the hours in which they are made.

    Returns:
        the test set.

    Raises:
        UserError: the image-info file is missing or malformed, or a name or an option does not fit.
    """
    rules = _rules(benchmark)
    check_iou_type(iou_type)
    load_image_info(images)
    return _names(rules, Path(out), str(out), Path(images), None, None)[1]


def check_archive(
    archive: str | Path,
    images: str | Path,
    benchmark: str | None = None,
    iou_type: str | None = None,
    json_file: str | Path | None = None,
    on_progress: OnProgress = lambda part, done, line: None,
) -> Submission:
    """Check a file that is there as :func:`submit` checks what it writes.

    Args:
        archive: ``.zip`` or ``.json``.
        images: the test set's image-info file.
        benchmark: ``'coco'`` or ``'lvis'``; None tells it by the file's name.
        iou_type: ``'bbox'`` or ``'segm'``; None takes masks where the entries have some.
        json_file: where to write what was found, also where that is an error.
        on_progress: told how far the reading and the checks are.

    Raises:
        SubmissionError: the server would not take it.
        UserError: a file is missing or malformed, or an option does not fit.
    """
    path = Path(archive)
    if benchmark is None:
        benchmark = next((name for name, rules in BENCHMARKS.items() if rules.names_in(path)), None)
    if benchmark is None:
        raise UserError(f'archive {path}: its name tells no benchmark; give --benchmark {" or ".join(BENCHMARKS)}')
    rules = _rules(benchmark)
    if iou_type is not None:
        check_iou_type(iou_type)
    if path.suffix not in rules.suffixes:
        raise UserError(f'archive {path}: {rules.name} takes {" or ".join(rules.suffixes)}')
    names = rules.names_in(path)
    test_set = names[0] if names else rules.test_set_of(Path(images))
    info = load_image_info(images)
    _check_files(json_file, [('archive', path), ('image-info file', images)])
    with _reported(json_file):
        submission, candidates = _checked(benchmark, path, info, iou_type, test_set, False, on_progress)
    submission.archive, submission.num_written = str(path), len(candidates)
    submission.num_bytes = path.stat().st_size
    if rules.named and not names:
        stem = rules.file_stem(test_set, '[algorithm]')
        submission.warnings.append(f'the server wants the name {stem}{path.suffix}, not {path.name}')
    if rules.named and submission.member and Path(submission.member).stem != path.stem:
        submission.warnings.append(f'the file in it is {submission.member}; the server wants {path.stem}.json')
    _warn_of_size(submission, rules)
    _report(submission, json_file)
    return submission


def _check_files(
    json_file: str | Path | None,
    inputs: Sequence[tuple[str, str | Path]],
    outputs: Sequence[tuple[str, str | Path]] = (),
) -> None:
    """Refuse what cannot be written, or would take the place of a file that is read."""
    if json_file is not None:
        outputs = [*outputs, ('json file', check_output_file(json_file, 'json file'))]
    check_files_differ(outputs, inputs)


@contextmanager
def _reported(json_file: str | Path | None) -> Iterator[None]:
    """Write the file also where the detections are refused."""
    try:
        yield
    except SubmissionError as error:
        _report(error.submission, json_file)
        raise


def _report(submission: Submission, json_file: str | Path | None) -> None:
    if json_file is not None:
        write_json(json_file, submission.to_json())


def _rules(benchmark: str) -> Benchmark:
    if benchmark not in BENCHMARKS:
        raise UserError(f'benchmark {benchmark!r}: choose one of {", ".join(BENCHMARKS)}')
    return BENCHMARKS[benchmark]


def _names(
    rules: Benchmark, path: Path, given: str, images: Path, test_set: str | None, algorithm: str | None
) -> tuple[Path, str, str]:
    """Return the file to write, the test set and the algorithm."""
    is_folder = path.is_dir() or given.endswith('/')
    told = (None if is_folder else rules.names_in(path)) or (rules.test_set_of(images), 'fgdet')
    test_set, algorithm = test_set or told[0], algorithm or told[1]
    rules.check_names(test_set, algorithm)
    if is_folder:
        path = path / f'{rules.file_stem(test_set, algorithm)}{rules.suffixes[0]}'
    if path.suffix not in rules.suffixes:
        raise UserError(f'out {path}: {rules.name} takes a name that ends in {" or ".join(rules.suffixes)}')
    if path.exists() and not path.is_file():
        raise UserError(f'out {path}: no regular file; choose another name')
    return check_output_file(path, 'out'), test_set, algorithm


def _checked(
    benchmark: str, path: Path, info: ImageInfo, iou_type: str | None, test_set: str, fix: bool, on_progress: OnProgress
) -> tuple[Submission, Candidates]:
    """Read the detections, mend them where asked for, and raise where the server would not take them."""
    rules = BENCHMARKS[benchmark]
    on_progress('read', 0.0, '')
    member, table = _read(path)
    on_progress('read', 1.0, f'{len(table)} detections')
    on_progress('check', 0.0, '')
    has_masks, num_read = table.segmentations is not None, len(table)
    iou_type = iou_type or ('segm' if has_masks else 'bbox')
    submission = Submission(
        benchmark, iou_type, test_set, str(path), str(info.path), num_read, len(info.image_ids), member=member
    )
    if not num_read:
        raise UserError(f'{path}: no detection in it; the servers fail on an empty list')
    if iou_type == 'segm' and not has_masks:
        raise UserError(f"{path}: entries have no 'segmentation'; submit boxes with --iou-type bbox, or detect masks")
    candidates = Candidates.of(table, info, iou_type == 'segm')
    del table  # the columns of what is dropped need not stay
    given = find_problems(candidates, info, rules.max_per_image)
    submission.problems, advice = given, _advice(candidates, info, '--fix mends what is safe')
    if fix and given:
        candidates, submission.mended = mend(candidates, info, rules.max_per_image)
        submission.problems = find_problems(candidates, info, rules.max_per_image)
        advice = _advice(candidates, info, '--fix leaves these to you')
        if not len(candidates):
            raise UserError(f'{path}: --fix would leave nothing of {num_read} detections ({_done(submission)})')
    if submission.problems:
        raise SubmissionError(submission, advice)
    used = np.bincount(candidates.image_index, minlength=len(info.image_ids))
    submission.num_images_without = int(np.count_nonzero(used == 0))
    submission.warnings += _warnings(candidates.table, info, rules, submission)
    if iou_type == 'bbox' and has_masks:
        submission.warnings.append('the predictions have masks, and boxes are submitted; --iou-type segm takes masks')
    return submission, candidates


def _read(path: Path) -> tuple[str | None, ResultTable]:
    if path.suffix != '.zip':
        return None, load_results(path, lenient=True)
    with unpacked(path) as (member, plain):
        try:
            return member, load_results(plain, lenient=True)
        except UserError as error:
            raise UserError(str(error).replace(str(plain), f'{member} in {path}')) from error


def _advice(candidates: Candidates, info: ImageInfo, otherwise: str) -> str:
    """Return what may be behind the problems where they have a known look."""
    table = candidates.table
    if not candidates.known.any():
        return f'no image is of {info.path.name}: give the image-info file of the images that were run'
    if candidates.masks is None and are_corners(candidates, info):
        return 'the boxes read as corners x1, y1, x2, y2: COCO wants x, y, width, height'
    num = len(info.category_ids)
    unknown = ~np.isin(table.category_ids, info.category_ids)
    if unknown.any() and table.category_ids.min() >= 0 and table.category_ids.max() <= num:
        return f'the categories read as labels up to {num}: write the category ids of {info.path.name}'
    return otherwise


def _warnings(table: ResultTable, info: ImageInfo, rules: Benchmark, submission: Submission) -> list[str]:
    """Return what the server takes but may not be meant."""
    warnings = []
    expected = rules.test_sets[submission.test_set][1]
    if submission.num_images != expected:
        warnings.append(
            f'{info.path.name} has {submission.num_images} images, and {submission.test_set} has {expected}'
        )
    if info.num_annotations:
        warnings.append(
            f'{info.path.name} has {info.num_annotations} annotations: no image-info file of a test set; its scores '
            'come from fgdet evaluate without a server'
        )
    if submission.num_images_without:
        warnings.append(f'{submission.num_images_without} of {submission.num_images} images have no detection')
    return warnings + lost_precision(table, submission.iou_type == 'segm')


def _warn_of_size(submission: Submission, rules: Benchmark) -> None:
    if submission.num_bytes > rules.max_bytes:
        submission.warnings.append(f'{submission.archive} has {submission.num_bytes / 1e6:.0f} MB: {rules.size_note}')


def _done(submission: Submission) -> str:
    return ', '.join(f'{what}: {count}' for what, count in submission.mended.items())
