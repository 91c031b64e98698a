"""What an installation promises: a quick import, a quick --help, dependencies that are declared, pinned and used."""

import ast
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fgdet
from fgdet.cli.main import COMMANDS
from fgdet.version import __version__

ROOT = Path(__file__).parents[1]

# Needed although no file of ours imports it, and why.
INDIRECT = {
    'open-clip-torch': "its package holds CLIP's byte pairs, which are read without importing it",
    'tensorboard': "torch.utils.tensorboard, the configs' log of curves",
}

# What `import fgdet` and `fgdet --help` must not load.
HEAVY = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmdet',
    'numpy',
    'cv2',
    'matplotlib',
    'open_clip',
    'huggingface_hub',
)


def run_python(script: str, *arguments: str) -> str:
    outcome = subprocess.run([sys.executable, '-c', script, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def loaded_by(script: str) -> set[str]:
    """The heavy libraries among ``sys.modules`` after a script in a fresh interpreter."""
    return set(run_python(f'{script}\nimport sys\nprint(*sys.modules)').split()) & set(HEAVY)


def requirements(section: str, option: str) -> dict[str, Requirement]:
    parser = ConfigParser()
    parser.read(ROOT / 'setup.cfg', encoding='utf-8')
    lines = [line for line in parser[section][option].splitlines() if line.strip()]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def imported_distributions() -> dict[str, str]:
    """The distribution of every third-party module that fgdet imports, and a file that does."""
    distributions = {**packages_distributions(), 'cv2': ['opencv-python']}  # the headless variant has the same module
    found = {}
    for path in (ROOT / 'fgdet').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in (name.split('.')[0] for name in names):
                if name not in sys.stdlib_module_names and name != 'fgdet' and name in distributions:
                    found[canonicalize_name(distributions[name][0])] = str(path.relative_to(ROOT))
    return found


def pins(python_version: str) -> dict[str, str]:
    """The exact version of each distribution in constraints.txt for a Python version such as ``'3.10'``."""
    found: dict[str, str] = {}
    for line in (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({'python_version': python_version}):
                name = canonicalize_name(requirement.name)
                assert name not in found, f'{name} has two versions for Python {python_version}'
                found[name] = str(requirement.specifier).removeprefix('==')
    return found


def test_import__loads_nothing_heavy() -> None:
    assert loaded_by('import fgdet') == set()
    assert 'torch' in loaded_by('import torch')  # the check itself can fail


def test_public_names__resolve_on_first_use() -> None:
    run_python('import fgdet\nfor name in dir(fgdet):\n    getattr(fgdet, name)')
    assert {'FGCLIP', 'Detector', 'Vocabulary', '__version__'} <= set(fgdet.__all__) == set(dir(fgdet))


def test_help__is_quick_and_lists_every_command() -> None:
    script = "import sys\nfrom fgdet.cli.main import cli\ncli(['--help'], standalone_mode=False)\nprint(*sys.modules)"
    *text, modules = run_python(script).splitlines()
    assert not set(modules.split()) & set(HEAVY)
    assert all(any(line.startswith(f'  {name} ') for line in text) for name in COMMANDS)


def test_help_of_every_command__is_quick() -> None:
    script = (
        'import sys\nfrom fgdet.cli.main import COMMANDS, cli\n'
        "for name in COMMANDS:\n    cli([name, '--help'], standalone_mode=False)\nprint(*sys.modules)"
    )
    *text, modules = run_python(script).splitlines()
    assert not set(modules.split()) & set(HEAVY)
    assert sum(line.startswith('Usage:') for line in text) == len(COMMANDS)


def test_command__prints_the_version() -> None:
    command = [sys.executable, '-m', 'fgdet.cli.main', '--version']
    assert __version__ in subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout


def test_requirements__cover_every_import() -> None:
    optional = [requirements('options.extras_require', extra).keys() for extra in ('onnx', 'shards', 'deepspeed')]
    declared = requirements('options', 'install_requires').keys() | set().union(*optional)
    missing = {name: path for name, path in imported_distributions().items() if name not in declared}
    assert not missing


def test_requirements__are_all_used() -> None:
    declared = requirements('options', 'install_requires').keys()
    assert declared - imported_distributions().keys() == set(INDIRECT)


@pytest.mark.parametrize('python_version', ['3.10', '3.11', '3.12'])
def test_constraints__pin_every_requirement_within_its_range(python_version: str) -> None:
    pinned = pins(python_version)
    needed = [requirements('options', 'install_requires'), requirements('options.extras_require', 'test')]
    for name, requirement in {**needed[0], **needed[1]}.items():
        assert requirement.specifier.contains(pinned[name]), f'{requirement} against {pinned[name]}'


def test_packages__every_folder_with_code_is_one() -> None:
    folders = {path.parent for path in (ROOT / 'fgdet').rglob('*.py')}
    assert [str(folder) for folder in sorted(folders) if not (folder / '__init__.py').is_file()] == []


def test_configs__every_folder_travels_with_the_package() -> None:
    parser = ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.py')}
    expected = {f'share/fgdet/{folder}': f'{folder}/*.py' for folder in folders}
    assert dict(parser['options.data_files']) == expected
