"""The paper's ablation on generated scenes: what each loss of stage 2 adds, with several seeds (slow: 50 minutes).

Not a comparison of speed: the record holds scores instead of a ratio.
"""

import os
from pathlib import Path
from typing import Any

from timing import num_threads, versions

from fgdet.apis.ablation import AblationPlan, run_ablation, run_names
from fgdet.apis.ablation_report import markdown_table, write_plot
from fgdet.cli.progress import PartsProgress
from fgdet.utils.files import write_json, write_text


def run(repeats: int = 3, threads: int | None = None, out: str = 'work_dirs/ablation') -> dict[str, Any]:
    """Train and score every variant; go on where an earlier call was interrupted.

    Args:
        repeats: seeds, from 0 on.
        threads: threads that torch computes with; None: its own choice.
        out: folder for runs, ``ablation.json``, ``ablation.md`` and ``ablation.png``.

    Returns:
        the record of :func:`~fgdet.apis.ablation.run_ablation`, with the markdown table as ``text``, the seconds of all
        runs, those of earlier calls too, and versions.
    """
    if threads is not None:
        os.environ['OMP_NUM_THREADS'] = str(threads)  # of the runs, which are processes of their own
    plan = AblationPlan(seeds=tuple(range(repeats)))
    with num_threads(threads), PartsProgress(dict.fromkeys(run_names(plan), 1.0)) as progress:
        record = {'name': 'ablation', **run_ablation(out, plan, progress.update), 'versions': versions()}
    record |= {'seconds': sum(run['seconds'] for run in record['runs']), 'text': markdown_table(record)}
    write_json(Path(out) / 'ablation.json', record)
    write_text(Path(out) / 'ablation.md', record['text'])
    write_plot(record, Path(out) / 'ablation.png')
    return record
