"""Scores of saved predictions, from files: fgdet over pycocotools and lvis-api; memory up to the size of LVIS val."""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import evaluation_runs
from evaluation_data import Size, generate
from timing import Comparison, num_threads, record

#: COCO val has 5,000 images, 80 classes and 36,335 objects; LVIS v1 val about 20,000 images, 1,203 classes and 244,707
#: objects; a detector gives 100 and 300 detections an image.
COCO, LVIS = Size(5000, 80, 100, 7.3), Size(20_000, 1203, 300, 12.4, is_lvis=True)


class Case(NamedTuple):
    """A comparison with an official tool."""

    name: str
    size: Size
    iou_type: str = 'bbox'


#: Parts that the official tools finish in less than a minute.
CASES = (
    Case('LVIS boxes, 1,000 images', LVIS._replace(num_images=1000)),
    Case('COCO boxes, 1,000 images', COCO._replace(num_images=1000)),
    Case('COCO masks, 250 images', COCO._replace(num_images=250, has_masks=True), 'segm'),
)
#: By fgdet alone: the whole size, and parts of LVIS that show how memory grows.
LARGE = (COCO, *(LVIS._replace(num_images=num) for num in (5000, 10_000, 20_000)))


def run(
    repeats: int = 2,
    threads: int | None = None,
    cases: tuple[Case, ...] = CASES,
    large: tuple[Size, ...] = LARGE,
    num_streamed: int = 8000,
) -> dict[str, Any]:
    """Measure, each run in a process of its own, without its imports.

    Args:
        repeats: pairs of alternating runs for each case.
        threads: how many the evaluator and numpy compute with; None: their own choice. The official tools use one.
        cases: comparisons; the first is the headline.
        large: sizes that fgdet alone is measured on.
        num_streamed: images of 300 detections that a metric writes to disk.

    Returns:
        The headline's record with those of all cases as ``cases``. ``ratio`` is from files to scores,
        ``score_ratio`` without reading the files, ``ours_peak_mib`` and ``theirs_peak_mib`` the processes' largest
        memory, ``max_error`` the largest difference of a score. ``large`` has seconds and memory of the large sizes,
        ``streaming`` the memory of a process after each quarter of the images that its metric has seen.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= {'RAYON_NUM_THREADS': str(threads), 'OMP_NUM_THREADS': str(threads)}
    with num_threads(threads), tempfile.TemporaryDirectory() as folder:
        records = [_compare(case, repeats, Path(folder), environment) for case in cases]
        alone = [_measure(size, Path(folder), environment) for size in large]
        generate(cases[0].size._replace(num_images=10), Path(folder))
        streaming = _run(environment, 'ours_metric', f'{folder}/annotations.json', str(num_streamed), 'bbox')
    result = {**records[0], 'name': 'evaluate', 'cases': records, 'large': alone, 'streaming': streaming}
    return result | {'text': '\n'.join(_lines(result)) + '\n'}


def _compare(case: Case, repeats: int, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    files = [str(path) for path in generate(case.size, folder)]
    which = 'lvis' if case.size.is_lvis else 'coco'
    runs: dict[str, list[dict[str, Any]]] = {'ours': [], 'theirs': []}
    for _ in range(repeats):
        for side, results in runs.items():
            results.append(_run(environment, f'{side}_{which}', *files, case.iou_type))
    ours, theirs = runs.values()
    seconds = Comparison(*([each['load_seconds'] + each['score_seconds'] for each in side] for side in (ours, theirs)))
    scoring = Comparison(*([each['score_seconds'] for each in side] for side in (ours, theirs)))
    settings = {**case.size._asdict(), 'iou_type': case.iou_type, 'predictions_bytes': Path(files[1]).stat().st_size}
    return record(case.name, seconds, _difference(ours[0]['scores'], theirs[0]['scores']), settings) | {
        'score_ratio': median(scoring.ratios),
        'ours_peak_mib': max(each['peak_mib'] for each in ours),
        'theirs_peak_mib': max(each['peak_mib'] for each in theirs),
        'scores': ours[0]['scores'],
    }


def _measure(size: Size, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    files = [str(path) for path in generate(size, folder)]
    found = _run(environment, 'ours_lvis' if size.is_lvis else 'ours_coco', *files, 'bbox')
    return {**size._asdict(), 'predictions_bytes': Path(files[1]).stat().st_size, **found}


def _run(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    command = [sys.executable, evaluation_runs.__file__, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _difference(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """The largest difference of a score that both have; what one of them calls unknown (NaN, -1) both must."""
    differences = []
    for name, value in theirs.items():
        known = value >= 0, not math.isnan(ours[name])
        differences.append(abs(value - ours[name]) if all(known) else math.inf if any(known) else 0.0)
    return max(differences)


def _lines(result: dict[str, Any]) -> Iterable[str]:
    yield f'{"":<28}{"ratio":>8}{"scoring":>9}{"ours, s":>10}{"theirs, s":>11}{"MiB":>7}{"theirs":>8}{"max error":>11}'
    for each in result['cases']:
        yield (
            f'{each["name"]:<28}{each["ratio"]:>7.1f}x{each["score_ratio"]:>8.1f}x{each["ours_seconds"]:>10.2f}'
            f'{each["theirs_seconds"]:>11.2f}{each["ours_peak_mib"]:>7.0f}{each["theirs_peak_mib"]:>8.0f}'
            f'{each["max_error"]:>11.1e}'
        )
    for each in result['large']:
        seconds = each['load_seconds'] + each['score_seconds']
        yield (
            f'fgdet alone, {each["num_images"]:,} images of {each["num_classes"]:,} classes, {each["per_image"]} an '
            f'image: {each["load_seconds"]:.1f} s reading, {seconds:.1f} s in all, {each["peak_mib"]:.0f} MiB'
        )
    memory = ', '.join(f'{value:.0f} MiB after {num}' for num, value in result['streaming']['resident_mib'].items())
    yield f'a metric while it runs, 300 detections an image: {memory} images'
