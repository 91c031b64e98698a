"""The shell scripts, with a stub in the place of Python's installer: what they install, when, and what they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# An interpreter that only notes what is to be installed or run as a module; the rest the real one does.
STUB = """#!/usr/bin/env bash
case "$*" in
    '-c import pip') exit ${{NO_PIP:-0}} ;;
    '-m pip install '*) echo "$@" >>{log}; exit ${{PIP_FAILS:-0}} ;;
    *'version("torch")'*) [ -n "${{TORCH:-}}" ] && echo "$TORCH" ;;
    *'sys.version_info'*) exit ${{TOO_OLD:-0}} ;;
    '-m ruff'* | '-m mypy'* | '-m pytest'*) echo "$2 ${{*:3}}" >>{log}; [ "$2" != "${{FAILS:-}}" ] ;;
    *) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts read, with an active environment made of stubs."""
    for name in ('setup.cfg', 'pyproject.toml', 'constraints.txt', 'fgdet/version.py', 'tools', '.ci'):
        target = tmp_path / 'checkout' / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    programs = tmp_path / 'environment' / 'bin'
    programs.mkdir(parents=True)
    log = tmp_path / 'log'
    (programs / 'python').write_text(STUB.format(log=log, python=sys.executable))
    (programs / 'fgdet').write_text(
        f'#!/usr/bin/env bash\necho "fgdet $*" >>{log}\nmkdir -p "$3"; touch "$3/report.html"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path / 'checkout'


def run(checkout: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, 'VIRTUAL_ENV': str(checkout.parent / 'environment'), **environment}
    command = ['bash', str(checkout / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=checkout.parent, env=variables)


def log_of(checkout: Path) -> list[str]:
    log = checkout.parent / 'log'
    return log.read_text().splitlines() if log.exists() else []


def test_quickstart__installs_once_then_only_runs(checkout: Path) -> None:
    first = run(checkout, 'tools/quickstart.sh')
    second = run(checkout, 'tools/quickstart.sh', '--out', 'elsewhere', '--', '--seed', '1')

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    installs, default, elsewhere = log_of(checkout)
    assert installs.endswith(f'-c {checkout}/constraints.txt -e {checkout}')
    assert default == f'fgdet demo --out {checkout}/work_dirs/demo'
    assert elsewhere == f'fgdet demo --out {checkout.parent}/elsewhere --seed 1'
    assert first.stdout.splitlines()[-1] == f'report: {checkout}/work_dirs/demo/report.html'


@pytest.mark.parametrize('name', ['setup.cfg', 'pyproject.toml', 'constraints.txt'])
def test_quickstart__installs_anew_when_its_reasons_change(checkout: Path, name: str) -> None:
    run(checkout, 'tools/quickstart.sh')
    with (checkout / name).open('a') as file:
        file.write('\n# changed\n')
    run(checkout, 'tools/quickstart.sh')
    assert sum('pip install' in line for line in log_of(checkout)) == 2


def test_run_tests__adds_the_test_extra_and_that_serves_quickstart_too(checkout: Path) -> None:
    outcome = run(checkout, 'tools/run_tests.sh', 'tests/ops', '-x')
    run(checkout, 'tools/quickstart.sh')

    assert outcome.returncode == 0, outcome.stderr
    installs, *checks, demo = log_of(checkout)
    assert installs.endswith(f'-e {checkout}[test]')
    assert checks == ['ruff format --check .', 'ruff check .', 'mypy fgdet', 'pytest -m not slow tests/ops -x']
    assert demo.startswith('fgdet demo')


def test_run_tests__all_selects_the_slow_ones_too(checkout: Path) -> None:
    run(checkout, 'tools/run_tests.sh', '--all', '--', '-x')
    assert log_of(checkout)[-1] == 'pytest -x'


@pytest.mark.parametrize('failing', ['ruff', 'mypy', 'pytest'])
def test_ci__fails_when_any_check_fails_and_still_runs_all(checkout: Path, failing: str) -> None:
    outcome = run(checkout, '.ci/run', CI='true', FAILS=failing)
    assert outcome.returncode == 1
    assert f'failed: {failing}' in outcome.stderr
    assert log_of(checkout)[-1] == 'pytest -m not slow'


@pytest.mark.parametrize(
    ('environment', 'message'),
    [
        ({'PIP_FAILS': '1'}, 'the installation failed'),
        ({'TOO_OLD': '1'}, 'fgdet needs Python 3.10, 3.11 or 3.12'),
        ({'TORCH': '2.6.0'}, 'the active environment has torch 2.6.0'),
        ({'NO_PIP': '1'}, 'has no pip'),
        ({'VIRTUAL_ENV': '', 'PYTHON': 'no-such-python'}, 'no-such-python: not found'),
    ],
)
def test_quickstart__says_in_a_line_what_to_do(checkout: Path, environment: dict[str, str], message: str) -> None:
    outcome = run(checkout, 'tools/quickstart.sh', **environment)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith('quickstart.sh: error: ')
    assert message in outcome.stderr
    assert not any(line.startswith('fgdet') for line in log_of(checkout))


def test_quickstart__keeps_the_tested_torch_of_an_active_environment(checkout: Path) -> None:
    pins = (checkout / 'constraints.txt').read_text().splitlines()
    tested = next(line.removeprefix('torch==') for line in pins if line.startswith('torch=='))
    assert run(checkout, 'tools/quickstart.sh', TORCH=f'{tested}+cpu').returncode == 0


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_dist_scripts__say_how_they_are_called(checkout: Path, script: str) -> None:
    outcome = run(checkout, f'tools/{script}', 'config.py')
    assert outcome.returncode == 2
    assert outcome.stderr.startswith('usage: ')


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_python_scripts__are_the_commands(script: str) -> None:
    command = [sys.executable, str(ROOT / 'tools' / script), '--help']
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '--cfg-options KEY=VALUE' in text
