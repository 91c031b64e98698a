"""FG-CLIP's ablation (arXiv 2505.05071, section 4), re-made small: what each loss of stage 2 adds, on generated scenes.

For each seed, stage 1 is trained once. Every variant of stage 2 starts from its weights, sees the same scenes in the
same order and takes the same number of steps, so that two variants differ by their losses alone. All are scored on the
same held-out scenes. Each finished run leaves a file of its scores, and a later call does not train it again.
"""

import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from fgdet.apis.scene_scores import score_on_scenes
from fgdet.apis.staged_run import Stage, run_stage, schedule_options
from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.utils.checks import UserError
from fgdet.utils.configs import config_file, read_config
from fgdet.utils.files import read_json, write_json

Progress = Callable[[str, float, str], None]

#: Config below ``configs/ablation`` -> what it trains, in the order of the table.
VARIANTS = {
    'stage1': 'stage 1',
    'stage2_global': '+ stage 2, global loss',
    'stage2_region': '+ region loss',
    'stage2_hard_negative': '+ hard negatives',
    'stage2_region_control': 'control: region loss, weight 0.6',
    'sparse_stage1': 'near misses rare: stage 1',
    'sparse_region': 'near misses rare: + region loss',
    'sparse_hard_negative': 'near misses rare: + hard negatives',
    'sparse_region_control': 'near misses rare, control: region loss, weight 2',
}
#: The stage 1 that a variant of stage 2 starts from.
STARTS = {
    **dict.fromkeys(('stage2_global', 'stage2_region', 'stage2_hard_negative', 'stage2_region_control'), 'stage1'),
    **dict.fromkeys(('sparse_region', 'sparse_hard_negative', 'sparse_region_control'), 'sparse_stage1'),
}
#: Scenes in a step that a plan counts; smaller batches take more steps.
SCENES_A_STEP = 32
#: Key of a score -> its name for people, in the order of the table.
SCORES = {
    'retrieval_r1': 'retrieval R@1',
    'region_top1': 'region top-1',
    'hard_negative_top1': 'hard-negative accuracy',
}


class Claim(NamedTuple):
    """``variant`` scores higher than ``than``."""

    score: str
    variant: str
    than: str


#: What the paper's ablation says of the losses.
CLAIMS = (
    Claim('region_top1', 'stage2_region', 'stage2_global'),
    Claim('hard_negative_top1', 'stage2_hard_negative', 'stage2_region'),
)
#: What it does not ask: whether hard negatives do more than the same weight on the region loss would, where most near
#: misses of a region are in its batch anyway, and where few are.
CONTROLS = (
    Claim('hard_negative_top1', 'stage2_hard_negative', 'stage2_region_control'),
    Claim('hard_negative_top1', 'sparse_hard_negative', 'sparse_region'),
    Claim('hard_negative_top1', 'sparse_hard_negative', 'sparse_region_control'),
)


@dataclass(frozen=True)
class AblationPlan:
    """How much of everything the ablation does.

    Args:
        stage1_iterations: steps of 32 scenes in stage 1, or as many scenes in smaller steps.
        stage2_iterations: the same for each variant of stage 2.
        held_out_scenes: scenes that every run is scored on.
        seeds: each is another initialisation and another world to train on; 0 or above, distinct.
    """

    stage1_iterations: int = 60
    stage2_iterations: int = 120
    held_out_scenes: int = 500
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f'seeds: expected distinct numbers from 0 on, got {list(self.seeds)}')
        for field, least in (('stage1_iterations', 2), ('stage2_iterations', 2), ('held_out_scenes', 1)):
            if getattr(self, field) < least:
                raise UserError(f'{field}: expected at least {least}, got {getattr(self, field)}')


def run_ablation(out: str | Path, plan: AblationPlan, on_progress: Progress) -> dict[str, Any]:
    """Train and score every variant with every seed.

    Args:
        out: folder for a subfolder a seed, with a subfolder (logs, weights) and a file of scores for each run.
        plan: how much.
        on_progress: called with the run at work (see :func:`run_names`), its share done (0 to 1) and a line about it.

    Returns:
        ``runs``, a list with ``seed``, ``variant``, ``seconds`` and the scores of each run; ``table``, ``claims``
        and ``controls`` of :func:`summarise`; ``plan``.

    Raises:
        UserError: a run failed, and the message names its log; or the folder has the scores of other settings.
    """
    out = Path(out)
    if ',' in str(out.resolve()):
        raise UserError(f'out {out.resolve()}: a path with a comma reads as a list among the options; choose another')
    runs = []
    for variant in VARIANTS:
        for seed in plan.seeds:
            name = _run_name(seed, variant)
            on_progress(name, 0.0, '')
            runs.append(_finished_run(out / f'seed{seed}', seed, variant, plan, on_progress))
            on_progress(name, 1.0, '')
    return {'runs': runs, **summarise(runs), 'plan': asdict(plan)}


def run_names(plan: AblationPlan) -> list[str]:
    """The runs in the order of work, as ``on_progress`` names them."""
    return [_run_name(seed, variant) for variant in VARIANTS for seed in plan.seeds]


def summarise(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of the scores over the seeds, and whether the claims hold.

    Args:
        runs: dicts with ``seed``, ``variant`` and the scores; every variant with the same seeds, at least one.

    Returns:
        ``table``: for each variant and score ``mean`` and ``std``, the sample standard deviation (n - 1 below the sum;
        None with one seed). ``claims`` and ``controls``: for each of ``CLAIMS`` and ``CONTROLS`` its fields,
        ``differences`` by seed, their ``mean`` and ``std``, and ``every_seed``, whether all are above 0.
    """
    scores = {(run['variant'], run['seed']): run for run in runs}
    seeds = sorted({run['seed'] for run in runs})
    table = {
        variant: {score: _spread([scores[variant, seed][score] for seed in seeds]) for score in SCORES}
        for variant in VARIANTS
    }
    return {
        'table': table,
        'claims': [_tested(claim, scores, seeds) for claim in CLAIMS],
        'controls': [_tested(claim, scores, seeds) for claim in CONTROLS],
    }


def _tested(claim: Claim, scores: dict[tuple[str, int], dict[str, Any]], seeds: list[int]) -> dict[str, Any]:
    differences = [scores[claim.variant, seed][claim.score] - scores[claim.than, seed][claim.score] for seed in seeds]
    return {
        **claim._asdict(),
        'differences': {str(seed): difference for seed, difference in zip(seeds, differences, strict=True)},
        **_spread(differences),
        'every_seed': min(differences) > 0,
    }


def _spread(values: list[float]) -> dict[str, float | None]:
    return {'mean': statistics.fmean(values), 'std': statistics.stdev(values) if len(values) > 1 else None}


def _run_name(seed: int, variant: str) -> str:
    return f'seed {seed}, {VARIANTS[variant].removeprefix("+ ")}'


def _finished_run(folder: Path, seed: int, variant: str, plan: AblationPlan, on_progress: Progress) -> dict[str, Any]:
    """The scores of a run: read where it has finished, else trained and scored."""
    stage = _stage(folder, seed, variant, plan)
    config = read_config(stage.config)
    settings = _settings(stage, config, plan)
    file = folder / f'{variant}.json'
    if file.is_file():
        record = read_json(file, 'scores')
        if record.get('settings') != settings:
            raise UserError(f'scores {file}: of other settings; choose another folder or remove {folder}')
        if variant in STARTS or (stage.work_dir / f'iter_{stage.iterations}.pth').is_file():
            return record
    start = time.perf_counter()
    if variant in STARTS:
        first = _stage(folder, seed, STARTS[variant], plan)
        stage.options['model.clip.checkpoint'] = str(first.work_dir / f'iter_{first.iterations}.pth')
    if stage.work_dir.is_dir():
        shutil.rmtree(stage.work_dir)  # of a run that was interrupted
    checkpoint = run_stage(stage, lambda share, line: on_progress(stage.name, share, line))
    world = ShapesWorld(seed=0, **config.train_dataloader.dataset.world)
    record = {'seed': seed, 'variant': variant, **score_on_scenes(checkpoint, world, plan.held_out_scenes)}
    record |= {'seconds': round(time.perf_counter() - start, 1), 'settings': settings}
    write_json(file, record)
    return record


def _stage(folder: Path, seed: int, variant: str, plan: AblationPlan) -> Stage:
    """Stage 1 sees the first scenes of the seed's world, every variant of stage 2 the same ones after them."""
    config = config_file(f'ablation/{variant}.py')
    batch = read_config(config).train_dataloader.batch_size
    steps = (plan.stage2_iterations if variant in STARTS else plan.stage1_iterations) * SCENES_A_STEP // batch
    options = {
        'randomness.seed': seed,
        'train_dataloader.dataset.seed': seed,
        'train_dataloader.dataset.start': plan.stage1_iterations * SCENES_A_STEP if variant in STARTS else 0,
    }
    name = _run_name(seed, variant)
    return Stage(name, config, folder / variant, steps, schedule_options(steps) | options)


def _settings(stage: Stage, config: Config, plan: AblationPlan) -> dict[str, Any]:
    """What the scores of a run follow from: another value here is another run."""
    content = json.dumps(config.to_dict(), sort_keys=True, default=str)
    return {
        'config': hashlib.sha256(content.encode()).hexdigest()[:16],
        'stage1_iterations': plan.stage1_iterations,
        'held_out_scenes': plan.held_out_scenes,
        'options': dict(stage.options),
    }
