"""``fgdet doctor``: what is installed, what works, and the command that mends the rest."""

import re
import sys

import click

from fgdet.apis.doctor import Report, examine
from fgdet.utils.files import write_json
from fgdet.version import __version__


@click.command()
@click.option('--json', 'json_file', help='Write the report to this file.')
@click.option('--timeout', default=120.0, show_default=True, help='Seconds before a library counts as hanging.')
def command(json_file: str | None, timeout: float) -> None:
    """Try every library that fgdet needs and name the command that mends what fails; exit 1 if fgdet cannot run."""
    report = examine(timeout)
    if json_file:
        write_json(json_file, report.to_dict())
    for line in [*_machine(report), *_libraries(report), *_operators(report), *_problems(report)]:
        click.echo(line)
    sys.exit(0 if report.ok else 1)


def _machine(report: Report) -> list[str]:
    machine, files = report.machine, report.files
    lines = [
        f'fgdet {__version__}, Python {machine["python"]}, {machine["platform"]}',
        f'machine   {machine["cores"]} cores, {machine["memory_gib"]} GiB memory '
        f'({machine["memory_available_gib"]} available)',
    ]
    for index, device in enumerate(report.devices):
        lines.append(f'GPU {index}     {device["name"]}, {device["memory_gib"]} GiB, capability {device["capability"]}')
    if not report.devices:
        lines.append('GPU       none: fgdet runs on the CPU')
    writable = 'can be written' if files['work_folder_writable'] else 'CANNOT BE WRITTEN'
    lines.append(f'folder    {files["work_folder"]} {writable}, {files["work_folder_free_gib"]} GiB free')
    return lines


def _libraries(report: Report) -> list[str]:
    lines = ['libraries']
    for name, finding in report.findings.items():
        packages = report.packages.get(name, [])
        source = f' ({", ".join(packages)})' if packages else ''
        lines.append(f'  {name:<17} {finding.version or "-":<13} {report.state(name)}{source}')
    return lines


def _operators(report: Report) -> list[str]:
    if not report.operators:
        return ['operators none of mmcv: see the problems']
    names = ', '.join(dict.fromkeys(re.sub('_(forward|backward).*', '', name) for name in report.operators))
    if 'compiled' in report.operators.values():
        return [f'operators compiled in mmcv: all, among them {names}']
    return [f'operators served without a compiled mmcv: {names}', '          any other raises NotImplementedError']


def _problems(report: Report) -> list[str]:
    lines = []
    for problem in report.problems:
        lines.append(f'{"problem" if problem.blocking else "warning"}   {problem.what}')
        lines.append(f'  mend    {problem.command}')
    lines.append('fgdet can run here.' if report.ok else 'fgdet cannot run here until the problems are mended.')
    return lines
