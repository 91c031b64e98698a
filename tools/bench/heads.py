"""Every kind of head with the text classifier and with a linear one, on the scenes of a demo (slow: about an hour).

Not a comparison of speed: the record holds scores instead of a ratio.
"""

import os
from pathlib import Path
from typing import Any

from timing import num_threads, versions

from fgdet.apis.heads import markdown_table, run_heads, run_names
from fgdet.cli.progress import PartsProgress
from fgdet.utils.files import write_json, write_text


def run(repeats: int = 1, threads: int | None = None, out: str = 'demo') -> dict[str, Any]:
    """Train and score every head with either classifier; go on where an earlier call was interrupted.

    Args:
        repeats: seeds, from 0 on.
        threads: threads that torch computes with; None: its own choice.
        out: what ``fgdet demo`` wrote. The runs go to its folder ``heads``, with ``heads.json`` and ``heads.md``.

    Returns:
        the runs, with the markdown table as ``text``, and versions.
    """
    if threads is not None:
        os.environ['OMP_NUM_THREADS'] = str(threads)  # of the runs, which are processes of their own
    with num_threads(threads), PartsProgress(dict.fromkeys(run_names(range(repeats)), 1.0)) as progress:
        runs = run_heads(out, range(repeats), progress.update)
    record = {'name': 'heads', 'runs': runs, 'text': markdown_table(runs), 'versions': versions()}
    write_json(Path(out) / 'heads' / 'heads.json', record)
    write_text(Path(out) / 'heads' / 'heads.md', record['text'])
    return record
