"""``fgdet bench``: the side-by-side measurements under ``tools/bench`` of a source checkout."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import fgdet
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json

FOLDER = Path(fgdet.__file__).resolve().parents[1] / 'tools' / 'bench'


@click.command()
@click.argument('name', required=False)
@click.option('--json', 'json_file', help='Write the record to this file.')
@click.option(
    '--repeats', type=click.IntRange(min=1), help="Pairs of alternating runs; the default is the benchmark's."
)
@click.option('--threads', type=click.IntRange(min=1), help="Threads that torch computes with; the default is torch's.")
@click.option('--out', help='Folder for the files of a benchmark that writes some.')
def command(name: str | None, json_file: str | None, repeats: int | None, threads: int | None, out: str | None) -> None:
    """Run the benchmark NAME; without NAME, list them.

    The ratio is theirs over ours in seconds, the median of alternating runs: above 1, ours is faster.
    """
    benchmarks = find_benchmarks(FOLDER)
    if name is None:
        for known, (_, line) in benchmarks.items():
            click.echo(f'{known:<16}{line}')
        return
    if name not in benchmarks:
        raise UserError(f'benchmark {name!r}: no such benchmark; choose from {", ".join(benchmarks)}')
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))  # the benchmarks import timing.py, their neighbour
    given = {'repeats': repeats, 'threads': threads, 'out': out}
    run = import_module(benchmarks[name][0].stem).run
    if out is not None and 'out' not in inspect.signature(run).parameters:
        raise UserError(f'--out {out}: benchmark {name} writes no files; leave the option out')
    record = run(**{key: value for key, value in given.items() if value is not None})
    if json_file:
        write_json(json_file, record)
    if 'text' in record:  # no comparison of seconds: it brings its own table
        click.echo(record['text'], nl=False)
    else:
        print_table(record.get('cases', [record]))


def find_benchmarks(folder: Path) -> dict[str, tuple[Path, str]]:
    """The files of ``folder`` that define ``run``, by name with dashes, each with the first line of its docstring.

    Raises:
        UserError: there is no such folder, as in an installed package.
    """
    if not folder.is_dir():
        raise UserError(f'benchmarks: no folder {folder}; they need a source checkout, installed by pip install -e .')
    found = {}
    for path in sorted(folder.glob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        if any(isinstance(node, ast.FunctionDef) and node.name == 'run' for node in tree.body):
            found[path.stem.replace('_', '-')] = (path, (ast.get_docstring(tree) or '').split('\n')[0])
    return found


def print_table(records: list[dict[str, Any]]) -> None:
    """One line for each record."""
    width = max(len(record['name']) for record in records) + 2
    click.echo(f'{"":<{width}}{"ratio":>8}{"ours, ms":>12}{"theirs, ms":>12}{"max error":>12}')
    for record in records:
        ours, theirs = 1e3 * record['ours_seconds'], 1e3 * record['theirs_seconds']
        ratio, error = f'{record["ratio"]:.2f}x', f'{record["max_error"]:.1e}'
        click.echo(f'{record["name"]:<{width}}{ratio:>8}{ours:>12.2f}{theirs:>12.2f}{error:>12}')
