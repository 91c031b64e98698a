"""The whole story on generated scenes: two-stage pretraining, a detector of base compositions, novel ones by name."""

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fgdet.apis.demo_report import write_demo_report
from fgdet.apis.detection import Detector
from fgdet.apis.scene_scores import HELD_OUT, score_on_scenes
from fgdet.apis.staged_run import Stage, run_stage, scene_options, schedule_options, score_stage
from fgdet.datasets.shapes_world import ShapesWorld, write_coco
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from fgdet.utils.configs import config_file
from fgdet.utils.files import write_json

#: The parts of pretraining: stage 1, and stage 2 in two.
GLOBAL, REGIONS, HARD_NEGATIVES = 'global loss', 'region loss', 'hard negatives'
#: Scenes in a step of pretraining (configs/_base_/datasets/shapes_world_pretrain.py).
SCENES_A_STEP = 48
_REPORTED_PACKAGES = ('fgdet', 'torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'numpy')


@dataclass
class DemoPlan:
    """How much of everything the demo does.

    Args:
        global_iterations: steps of 48 scenes with the global loss alone (stage 1).
        region_iterations: steps of 48 scenes with the global and the region loss (stage 2, first part).
        hard_negative_iterations: steps of 48 scenes with all losses (stage 2, second part).
        detector_iterations: steps of 16 scenes.
        detector_scenes: scenes with boxes that the detector trains on.
        held_out_scenes: scenes that everything is scored on.
    """

    global_iterations: int
    region_iterations: int
    hard_negative_iterations: int
    detector_iterations: int
    detector_scenes: int
    held_out_scenes: int


FULL = DemoPlan(
    global_iterations=60,
    region_iterations=80,
    hard_negative_iterations=130,
    detector_iterations=350,
    detector_scenes=2000,
    held_out_scenes=300,
)
QUICK = DemoPlan(
    global_iterations=10,
    region_iterations=15,
    hard_negative_iterations=15,
    detector_iterations=40,
    detector_scenes=300,
    held_out_scenes=60,
)

Progress = Callable[[str, float, str], None]


def run_demo(out: str | Path, quick: bool, on_progress: Progress, seed: int = 0) -> dict[str, Any]:
    """Run the demo; about ten minutes on two cores, two with ``quick``.

    Args:
        out: folder for ``metrics.json``, ``report.html``, pictures, data, logs and weights; an earlier demo's files in
            it are replaced.
        quick: a few steps of each part, which show that all of it works and score little.
        on_progress: called with the part at work, its share done (0 to 1) and a line about it.
        seed: seed of the scenes and of training.

    Returns:
        what ``metrics.json`` holds: ``pretrain`` (the alignment in the end), ``alignment`` (after each part),
        ``detect``, ``seconds``, ``versions`` and how it was run.

    Raises:
        UserError: a part failed, and the message says which and where its log lies; or the folder will not do.
    """
    plan, out = QUICK if quick else FULL, Path(out)
    _clear(out)
    world, clock = ShapesWorld(seed=seed), _Clock(on_progress)

    checkpoint: Path | None = None
    alignment: dict[str, dict[str, float]] = {}
    for stage in _pretraining_stages(out / 'runs', plan, seed):
        with clock.part(stage.name) as report:
            if checkpoint:
                stage.options['model.clip.checkpoint'] = str(checkpoint)
            checkpoint = run_stage(stage, report)
            alignment[stage.name] = score_on_scenes(checkpoint, world, plan.held_out_scenes)
    assert checkpoint is not None
    model = FGCLIP.from_pretrained(checkpoint)
    model.save_pretrained(out / 'fg_clip')
    with clock.part('scenes') as report:
        _write_scenes(out / 'data', seed, plan, report)
    detector_stage = _detector_stage(out, plan, seed)
    with clock.part(detector_stage.name) as report:
        checkpoint = run_stage(detector_stage, report)
    with clock.part('evaluation'):
        scores = score_stage(detector_stage, checkpoint)

    metrics = dict(
        pretrain=alignment[HARD_NEGATIVES],
        alignment=alignment,
        detect={f'ap50_{name}': scores[f'ov_coco/{name}_ap50'] for name in ('base', 'novel', 'all')},
        num_classes=len(world.names),
        quick=quick,
        seed=seed,
        seconds=clock.seconds,
        versions={name: version(name) for name in _REPORTED_PACKAGES} | {'python': platform.python_version()},
    )
    with clock.part('report'):
        detector = Detector.from_pretrained(None, checkpoint, device='cpu')
        write_demo_report(out, metrics, model, detector, world, HELD_OUT)
    clock.seconds['total'] = round(sum(clock.seconds.values()), 1)
    write_json(out / 'metrics.json', metrics)
    return metrics


def _clear(out: Path) -> None:
    """Remove an earlier demo's data, weights and logs.

    Raises:
        UserError: folders of these names are there that no demo has made, or a run cannot be given the path.
    """
    if ',' in str(out.resolve()):
        raise UserError(
            f'out {out.resolve()}: a path with a comma reads as a list among the options of a run; choose another'
        )
    folders = [out / name for name in ('data', 'fg_clip', 'runs')]  # the last one is the sign of a demo
    found = [folder for folder in folders if folder.exists()]
    if found and not (out / 'runs' / 'stage1').is_dir():
        raise UserError(f'out {out}: {found[0]} is there, and no demo has made it; choose another folder')
    for folder in found:
        shutil.rmtree(folder)


class _Clock:
    """Tells when each part begins and ends, and how long it took."""

    def __init__(self, on_progress: Progress) -> None:
        self.on_progress = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[float, str], None]]:
        start = time.perf_counter()
        self.on_progress(name, 0.0, '')
        yield lambda share, line: self.on_progress(name, share, line)
        self.seconds[name] = round(time.perf_counter() - start, 1)
        self.on_progress(name, 1.0, '')


def _pretraining_stages(runs: Path, plan: DemoPlan, seed: int) -> list[Stage]:
    """Stage 1 and the two parts of stage 2; each starts at scenes that those before it have not seen."""
    stages, done = [], 0
    for name, config, steps in (
        (GLOBAL, 'stage1', plan.global_iterations),
        (REGIONS, 'stage2_region', plan.region_iterations),
        (HARD_NEGATIVES, 'stage2', plan.hard_negative_iterations),
    ):
        options = {
            'randomness.seed': seed,
            'train_dataloader.dataset.seed': seed,
            'train_dataloader.dataset.start': SCENES_A_STEP * done,
        }
        stages.append(
            Stage(name, config_file(f'demo/{config}.py'), runs / config, steps, schedule_options(steps) | options)
        )
        done += steps
    return stages


def _detector_stage(out: Path, plan: DemoPlan, seed: int) -> Stage:
    steps = plan.detector_iterations
    options = schedule_options(steps) | scene_options(out / 'data', out / 'fg_clip', seed)
    return Stage('detector', config_file('demo/detector.py'), out / 'runs' / 'detector', steps, options)


def _write_scenes(folder: Path, seed: int, plan: DemoPlan, report: Callable[[float, str], None]) -> None:
    """Training scenes of base compositions only, and held-out scenes of all."""
    base_world = ShapesWorld(seed=seed + 1, compositions='base')
    write_coco(base_world, range(plan.detector_scenes), folder / 'train', folder / 'annotations' / 'train.json')
    report(0.8, f'{plan.detector_scenes} scenes')
    held_out = range(HELD_OUT, HELD_OUT + plan.held_out_scenes)
    write_coco(ShapesWorld(seed=seed), held_out, folder / 'val', folder / 'annotations' / 'val.json')
