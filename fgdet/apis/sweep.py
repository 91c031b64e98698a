"""Which alpha, beta and temperature suit a detector: its validation set is run once, then all are tried without it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from fgdet.apis.sweep_records import Recording, head_test_cfg, record_run
from fgdet.apis.sweep_scores import Setting, SweepData, outcomes_of, read_sweep_data, score_settings
from fgdet.apis.training import load_config
from fgdet.evaluation.functional.calibration_error import expected_calibration_error
from fgdet.models.post_processing.calibration import calibrate, fit_calibration
from fgdet.registry import DATASETS
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json, write_text
from fgdet.utils.imports import import_quietly
from fgdet.visualization.sweep_plot import write_sweep_plot

#: What the best setting has most of.
CRITERIA = {
    'harmonic': 'harmonic mean of base and novel AP50',
    'novel_ap50': 'novel AP50',
    'base_ap50': 'base AP50',
    'all_ap50': 'AP50',
}
#: Temperatures that are tried, as multiples of the config's.
TEMPERATURE_FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)

#: Is told what is being done, and what share of it is done.
Report = Callable[[str, float], None]


class Grid(NamedTuple):
    """Settings to try, all with all."""

    alphas: Sequence[float]  # weights of the frozen tower for base classes, 0..1
    betas: Sequence[float]  # the same for novel ones
    temperatures: Sequence[float] | None = None  # above 0; None: TEMPERATURE_FACTORS times the config's


def sweep(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    grid: Grid,
    *,
    criterion: str = 'harmonic',
    max_images: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    device: str = 'auto',
    report: Report = lambda what, share: None,
) -> dict[str, Any]:
    """Try settings of a detector's score ensemble on its validation set, and write the best into a config.

    What is found is what the detector would find with each setting. Suppression and matching are done once for each
    value of alpha and each of beta, as base and novel classes meet in an image's limit of detections only; with
    negative prompts or suppression across classes, once for each pair of values. Memory: 9 bytes for each image,
    detection of an image (``max_per_img``), and value of alpha and beta. Disk: 12 bytes and 4 for each temperature, for
    each pair of a region and a class that can be above ``score_thr``.

    Args:
        config: the detector's config file, with ``val_dataloader`` and ``val_evaluator``.
        checkpoint: its weights.
        out: folder for ``sweep.json``, ``sweep.png``, ``best_config.py`` and the records, with which a second sweep
            needs no run. ``best_config.py`` inherits the config, and has the calibration of the scores.
        grid: what to try; the config's own setting is looked at too.
        criterion: one of ``CRITERIA``.
        max_images: only the first so many images; None: all.
        cfg_options: dotted keys and their values, merged into the config; ``best_config.py`` names, but does not have
            them.
        device: as for :func:`~fgdet.apis.detector_files.load_detector`.
        report: is told how far it has come.

    Returns:
        what is in ``sweep.json``: ``table``, for each setting ``alpha, beta, temperature, base_ap50, novel_ap50,
        all_ap50, harmonic``; ``best`` of it, and ``config``, that of the config; ``criterion``; ``annotation_file``, on
        which it was chosen, and ``images``, how many; ``calibration``: ``scale, bias, error_before, error_after``
        (expected calibration error), or None where it cannot be fitted; ``records``, their folder.

    Raises:
        UserError: a file is missing, a value is out of range, or the config has nothing to sweep.
    """
    cfg = load_config(config, out, cfg_options)
    own = Setting(**{field: float(head_test_cfg(cfg)['score_ensemble'][field]) for field in Setting._fields})
    temperatures = grid.temperatures or [float(f'{f * own.temperature:.4g}') for f in TEMPERATURE_FACTORS]
    _check(grid._replace(temperatures=temperatures), criterion, max_images)
    settings = [Setting(a, b, t) for t in temperatures for a in grid.alphas for b in grid.betas]
    import_quietly('mmdet.datasets', 'mmdet.datasets.transforms', 'mmdet.models')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    recorded = sorted({*temperatures, own.temperature})
    folder = Path(out) / 'records'
    recording = record_run(
        cfg, checkpoint, dataset, folder, recorded, device, lambda n, of: report('run', n / of), max_images
    )
    annotation_file, annotated_only = _evaluated_on(cfg, dataset)
    data = read_sweep_data(annotation_file, dataset, recording, annotated_only)
    *table, config_entry = score_settings(recording, data, [*settings, own], lambda share: report('settings', share))
    _check_found(table, criterion, annotation_file)
    best = max(table, key=lambda each: (_known(each[criterion]), -_distance(each, own)))
    result = {
        'criterion': criterion,
        'annotation_file': str(annotation_file),
        'images': len(data.image_ids),
        'checkpoint': str(checkpoint),
        'best': best,
        'config': config_entry,
        'calibration': _calibration(recording, data, best),
        'records': str(recording.folder),
        'table': table,
    }
    write_json(Path(out) / 'sweep.json', result)
    write_sweep_plot(result, Path(out) / 'sweep.png')
    write_text(Path(out) / 'best_config.py', _best_config(cfg, Path(config), Path(out), result, cfg_options or {}))
    return result


def _evaluated_on(cfg: Config, dataset: Any) -> tuple[Path, bool]:
    """The annotation file of the evaluator, and whether it looks at images with an object only."""
    evaluators = cfg.get('val_evaluator') or []
    evaluators = [evaluators] if isinstance(evaluators, Mapping) else evaluators
    for each in evaluators:
        if each.get('ann_file'):
            return Path(each['ann_file']), bool(each.get('annotated_images_only', False))
    return Path(dataset.ann_file), False


def _calibration(recording: Recording, data: SweepData, best: Mapping[str, float]) -> dict[str, float] | None:
    scores, is_right = outcomes_of(recording, data, Setting(*(best[field] for field in Setting._fields)))
    try:
        scale, bias = fit_calibration(scores, is_right)
    except ValueError:
        return None
    if scale <= 0:  # the order of the scores would turn
        return None
    return {
        'scale': scale,
        'bias': bias,
        'error_before': expected_calibration_error(scores, is_right),
        'error_after': expected_calibration_error(calibrate(scores, scale, bias), is_right),
    }


def _best_config(
    cfg: Config, config: Path, out: Path, result: Mapping[str, Any], cfg_options: Mapping[str, Any]
) -> str:
    """The text of a config that inherits the given one."""
    best, calibration = result['best'], result['calibration']
    numbers = ', '.join(f'{field}={best[field]!r}' for field in Setting._fields)
    ensemble = f'score_ensemble=dict({numbers})'
    lines = [
        f'# {config.name} with the best {CRITERIA[result["criterion"]]} of {len(result["table"])} settings,',
        f'# chosen on {result["images"]} images of {result["annotation_file"]}: scores on these are no test scores.',
        *(f'# swept with --cfg-options {key}={value!r}, to be given again' for key, value in cfg_options.items()),
        f'_base_ = {os.path.relpath(config.resolve(), out.resolve())!r}',
        f'model = dict(test_cfg=dict({f"rcnn=dict({ensemble})" if "rcnn" in cfg.model.test_cfg else ensemble}))',
    ]
    if calibration:
        lines += [
            '# Platt scaling of the scores, fitted on the same images: expected calibration error '
            f'{calibration["error_before"]:.3f} before, {calibration["error_after"]:.3f} after.',
            f'calibration = dict(scale={calibration["scale"]!r}, bias={calibration["bias"]!r})',
        ]
    return '\n'.join(lines) + '\n'


def _check(grid: Grid, criterion: str, max_images: int | None) -> None:
    assert grid.temperatures is not None
    for field, values in (('alpha', grid.alphas), ('beta', grid.betas)):
        if not values or not all(0 <= value <= 1 for value in values):
            raise UserError(f'sweep {field}: expected values in 0..1, got {list(values)}')
    if not all(value > 0 and math.isfinite(value) for value in grid.temperatures):
        raise UserError(f'sweep temperature: expected values above 0, got {list(grid.temperatures)}')
    if criterion not in CRITERIA:
        raise UserError(f'sweep criterion: expected one of {", ".join(CRITERIA)}, got {criterion!r}')
    if max_images is not None and max_images < 1:
        raise UserError(f'sweep max_images: expected at least 1, got {max_images}')


def _check_found(table: Sequence[Mapping[str, float]], criterion: str, annotation_file: Path) -> None:
    if all(math.isnan(each[criterion]) for each in table):
        raise UserError(
            f'annotation file {annotation_file}: no setting has a {criterion}, as no class of that kind has objects '
            'there; choose by another criterion, such as all_ap50'
        )


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _distance(entry: Mapping[str, float], own: Setting) -> float:
    """How far a setting is from the config's; of equally good ones the nearest is taken."""
    parts = (entry['alpha'] - own.alpha, entry['beta'] - own.beta, math.log(entry['temperature'] / own.temperature))
    return sum(map(abs, parts))
