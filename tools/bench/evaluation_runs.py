"""One evaluation in a process of its own, for ``evaluate.py``: ``python evaluation_runs.py WHICH ANN PRED IOU_TYPE``.

Prints one line of JSON: seconds of reading the files and of scoring, both without imports, the scores, and the largest
memory that the process had, in MiB.
"""

import contextlib
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Scores = dict[str, float]
Evaluate = tuple[Callable[[], tuple[Any, Any]], Callable[[Any, Any], Scores]]

COCO_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl')


def ours_coco(ann: str, pred: str, iou_type: str) -> Evaluate:
    """COCO by fgdet."""
    from fgdet.evaluation.functional.coco_detection import evaluate_coco
    from fgdet.evaluation.results import load_annotations, load_results

    def score(annotations: dict[str, Any], predictions: Any) -> Scores:
        category_ids = [category['id'] for category in annotations['categories']]
        return evaluate_coco(annotations, predictions, category_ids, iou_type)

    return lambda: (load_annotations(ann, iou_type == 'segm'), load_results(pred)), score


def theirs_coco(ann: str, pred: str, iou_type: str) -> Evaluate:
    """COCO by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def load() -> tuple[Any, Any]:
        truth = COCO(ann)
        return truth, truth.loadRes(pred)

    def score(truth: Any, found: Any) -> Scores:
        evaluation = COCOeval(truth, found, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return dict(zip(COCO_NAMES, map(float, evaluation.stats), strict=False))

    return load, score


def ours_lvis(ann: str, pred: str, iou_type: str) -> Evaluate:
    """LVIS by fgdet."""
    from fgdet.evaluation.functional.lvis_detection import evaluate_lvis
    from fgdet.evaluation.results import load_annotations, load_results

    def score(annotations: dict[str, Any], predictions: Any) -> Scores:
        return evaluate_lvis(annotations, predictions, iou_type)

    return lambda: (load_annotations(ann, iou_type == 'segm'), load_results(pred)), score


def theirs_lvis(ann: str, pred: str, iou_type: str) -> Evaluate:
    """LVIS by lvis-api."""
    import numpy as np

    np.float = float  # type: ignore[attr-defined]  # numpy had it when lvis-api was written
    from lvis import LVIS, LVISEval, LVISResults

    def load() -> tuple[Any, Any]:
        truth = LVIS(ann)
        return truth, LVISResults(truth, pred)

    def score(truth: Any, found: Any) -> Scores:
        evaluation = LVISEval(truth, found, iou_type)
        evaluation.run()
        return {name: float(value) for name, value in evaluation.get_results().items()}

    return load, score


def ours_metric(ann: str, pred: str, iou_type: str) -> dict[str, Any]:
    """Memory of a worker while a test runs: MiB after each quarter of ``pred`` images with 300 detections each."""
    import numpy as np

    from fgdet.evaluation.metrics.coco_form_metric import CocoFormMetric

    num_images = int(pred)
    generator = np.random.default_rng(0)
    boxes = generator.random((300, 4)).astype(np.float32) + np.array([0, 0, 1, 1], dtype=np.float32)
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        metric = CocoFormMetric(ann, iou_type, results_folder=folder)
        names = [category['name'] for category in metric.annotations['categories']]
        metric.dataset_meta = dict(classes=names)
        for image in range(1, num_images + 1):
            labels = generator.integers(0, len(names), 300)
            instances = dict(bboxes=boxes * 100, scores=generator.random(300), labels=labels)
            metric.process({}, [dict(img_id=image, pred_instances=instances)])
            if image % (num_images // 4) == 0:
                memory[image] = resident_mib('VmRSS')
    return {'resident_mib': memory}


def evaluate(prepared: Evaluate) -> dict[str, Any]:
    """Run both parts, in silence."""
    load, score = prepared
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = load()
        middle = time.perf_counter()
        scores = score(*loaded)
    end = time.perf_counter()
    return dict(load_seconds=middle - start, score_seconds=end - middle, scores=scores)


def resident_mib(field: str) -> float:
    """``VmRSS`` or ``VmHWM``, its largest value since the process began."""
    found = re.search(rf'{field}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    """Run what the command line names."""
    which, *arguments = sys.argv[1:]
    run = {each.__name__: each for each in (ours_coco, theirs_coco, ours_lvis, theirs_lvis, ours_metric)}[which]
    result = run(*arguments)
    result = evaluate(result) if isinstance(result, tuple) else result
    print(json.dumps(result | {'peak_mib': resident_mib('VmHWM')}))


if __name__ == '__main__':
    main()
