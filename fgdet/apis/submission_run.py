"""A test set to a submission: a detector's run over images without annotations, and the file for the server."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process

from fgdet.apis.submission import OnProgress, check_submission, submit
from fgdet.apis.training import load_config, test
from fgdet.evaluation.metrics.coco_results_metric import CocoResultsMetric
from fgdet.registry import METRICS
from fgdet.submission.submission import Submission
from fgdet.utils.checks import UserError

#: Where the run leaves its predictions, in the work_dir: ``fgdet submit`` can start from there.
PREDICTIONS = 'submission_predictions.json'


def test_and_submit(
    config: str | Path | Config,
    checkpoint: str | Path,
    benchmark: str,
    images: str | Path,
    submit_out: str | Path,
    *,
    iou_type: str = 'bbox',
    fix: bool = False,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
    on_progress: OnProgress = lambda part, done, line: None,
) -> tuple[dict[str, Any], Submission | None]:
    """Run a config's test over the images of an image-info file, and write the file for the server.

    The config's test set and metric look at ``images`` in place of their own file; the pictures are looked for where
    the config says, with ``val2017/`` read as ``test2017/``. A file without annotations is not scored. The predictions
    stay in the work_dir as ``PREDICTIONS``.

    Args:
        config, checkpoint, work_dir, out, show_dir, cfg_options, launcher: as of :func:`fgdet.apis.training.test`.
        benchmark, images, iou_type, fix, on_progress: as of :func:`fgdet.apis.submission.submit`.
        submit_out: its ``out``.

    Returns:
        the metrics, and the submission; None in all processes but the first.

    Raises:
        UserError: what the two functions raise, or the config has no metric that writes predictions; all that can be
            known before the run is found before it.
    """
    test_set = check_submission(benchmark, images, submit_out, iou_type)
    cfg = load_config(config, work_dir, cfg_options, launcher)
    predictions = Path(cfg.work_dir).absolute() / PREDICTIONS
    _set_metric(cfg, Path(images).absolute(), predictions, iou_type)
    _set_images(cfg, Path(images).absolute(), test_set)
    metrics = test(cfg, checkpoint, out=out, show_dir=show_dir, launcher=launcher)
    if not is_main_process():
        return metrics, None
    return metrics, submit(
        benchmark, predictions, images, submit_out, iou_type=iou_type, fix=fix, on_progress=on_progress
    )


def _set_metric(cfg: Config, images: Path, predictions: Path, iou_type: str) -> None:
    """Let the config's metric write the predictions for the images."""
    evaluators = cfg.get('test_evaluator')
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    for evaluator in evaluators:
        metric = METRICS.get(evaluator['type']) if isinstance(evaluator, dict) else None
        if isinstance(metric, type) and issubclass(metric, CocoResultsMetric):
            break
    else:
        raise UserError(
            f'config {cfg.filename}: test_evaluator writes no COCO result list; use a metric that does, such as '
            'fgdet.CocoFormMetric'
        )
    evaluator.update(ann_file=str(images), outfile=str(predictions))
    if 'iou_types' in inspect.signature(metric).parameters:
        evaluator['iou_types'] = [iou_type]
    else:
        evaluator['iou_type'] = iou_type
    cfg.test_evaluator = evaluator


def _set_images(cfg: Config, images: Path, test_set: str) -> None:
    """Let the config's test set have the images of the file."""
    dataset: ConfigDict = cfg.test_dataloader.dataset
    dataset.ann_file = str(images)
    if 'expected_counts' in dataset:
        dataset.expected_counts = None
    prefix = dataset.get('data_prefix', {}).get('img', '')
    if test_set.startswith('test') and prefix.rstrip('/').endswith('val2017'):
        dataset.data_prefix.img = prefix.replace('val2017', 'test2017')
