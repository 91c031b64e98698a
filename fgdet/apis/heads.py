"""Every kind of head on one frozen tower, with the text classifier and with a plain linear one, on generated scenes.

All runs start from the same FG-CLIP and see the same boxes, of base compositions alone. Each finished run leaves a file
of its scores, and a later call does not train it again.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from fgdet.apis.staged_run import Stage, run_stage, scene_options, score_stage
from fgdet.utils.checks import UserError
from fgdet.utils.configs import config_file, read_config
from fgdet.utils.files import read_json, write_json

Progress = Callable[[str, float, str], None]


class Head(NamedTuple):
    """One row of the table."""

    name: str  # for people
    text: str  # config with the text classifier
    linear: str  # the same with a linear classifier on the base classes


#: The heads in the order of the table.
HEADS = (
    Head('Faster R-CNN', 'ov_coco/fvit_tiny.py', 'ablation/fvit_tiny_linear.py'),
    Head('Mask R-CNN', 'ov_coco/fvit_mask_tiny.py', 'ablation/fvit_mask_tiny_linear.py'),
    Head('Cascade R-CNN', 'ov_coco/fvit_cascade_tiny.py', 'ablation/fvit_cascade_tiny_linear.py'),
    Head('ATSS', 'ov_coco/atss_tiny.py', 'ablation/atss_tiny_linear.py'),
    Head('DINO', 'ov_coco/dino_tiny.py', 'ablation/dino_tiny_linear.py'),
)


def run_names(seeds: Sequence[int]) -> list[str]:
    """The runs in their order, as :func:`run_heads` reports them."""
    return [name for seed in seeds for name, *_ in _plan(seed)]


def run_heads(demo: str | Path, seeds: Sequence[int], on_progress: Progress) -> list[dict[str, Any]]:
    """Train and score every head with either classifier.

    Args:
        demo: what ``fgdet demo`` wrote: its ``fg_clip`` is the tower, its ``data`` the scenes. The runs go to its
            folder ``heads``.
        seeds: each is another initialisation of the heads and another order of the scenes.
        on_progress: called with the run at work (see :func:`run_names`), its share done (0 to 1) and a line about it.

    Returns:
        for each run ``head``, ``classifier``, ``seed``, ``config``, ``iterations``, ``seconds`` of training on this
        machine and the scores as fractions.

    Raises:
        UserError: the demo's files are missing, or a run failed, and the message says where its log lies.
    """
    demo = Path(demo)
    for needed in (demo / 'fg_clip' / 'model.safetensors', demo / 'data' / 'annotations' / 'val.json'):
        if not needed.is_file():
            raise UserError(f'demo {demo}: {needed} is missing; run fgdet demo --out {demo} first')
    runs = []
    for seed in seeds:
        options = scene_options(demo / 'data', demo / 'fg_clip', seed)
        for name, head, classifier, config in _plan(seed):
            path = config_file(config)
            folder = demo / 'heads' / f'{path.stem}_{seed}'
            stage = Stage(name, path, folder, read_config(path).train_cfg.max_iters, options)
            settings = {'head': head, 'classifier': classifier, 'seed': seed, 'config': config}
            runs.append(settings | _run_once(stage, on_progress))
    return runs


def markdown_table(runs: list[dict[str, Any]]) -> str:
    """AP50 of base and novel classes in percent, their difference, and minutes of training; means over the seeds."""
    lines = ['| head | classifier | base AP50 | novel AP50 | base - novel | iterations | minutes |']
    lines += ['|---|---|---:|---:|---:|---:|---:|']
    for head, classifier in dict.fromkeys((run['head'], run['classifier']) for run in runs):
        same = [run for run in runs if (run['head'], run['classifier']) == (head, classifier)]
        base, novel, minutes = (fmean(run[key] for run in same) for key in ('base_ap50', 'novel_ap50', 'seconds'))
        numbers = f'{100 * base:.1f} | {100 * novel:.1f} | {100 * (base - novel):.1f} | {same[0]["iterations"]}'
        lines.append(f'| {head} | {classifier} | {numbers} | {minutes / 60:.1f} |')
    return '\n'.join(lines) + '\n'


def _plan(seed: int) -> list[tuple[str, str, str, str]]:
    """Name, head, classifier and config of each run."""
    return [
        (f'{head.name}, {classifier}, seed {seed}', head.name, classifier, config)
        for head in HEADS
        for classifier, config in (('text', head.text), ('linear', head.linear))
    ]


def _run_once(stage: Stage, on_progress: Progress) -> dict[str, Any]:
    """Train and score a stage, unless an earlier call has."""
    done = stage.work_dir / 'run.json'
    if not done.is_file():
        start = time.perf_counter()
        checkpoint = run_stage(stage, lambda share, line: on_progress(stage.name, share, line))
        seconds = round(time.perf_counter() - start, 1)
        scores = {key.removeprefix('ov_coco/'): value for key, value in score_stage(stage, checkpoint).items()}
        write_json(done, {'iterations': stage.iterations, 'seconds': seconds, **scores})
    on_progress(stage.name, 1.0, '')
    return read_json(done, 'finished run')
