"""The house's rules, read from every file: imports point downward, in no circle, and nothing grows out of sight.

The rules are tables at the top; the checker takes sources by path, so that its own tests feed it small violations.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# A part may import parts of a lower level only; parts of one level do not know each other.
LEVELS = {
    'fgdet': 0.0,
    'version': 0.0,
    'registry': 0.0,
    'compat': 0.0,
    'utils': 1.0,
    'structures': 2.0,
    'ops': 2.0,
    'text': 3.0,
    'checkpoints': 3.0,
    'datasets': 4.0,
    'models.layers': 5.0,
    'models.data_preprocessors': 5.1,
    'models.encoders': 5.1,
    'models.region_poolers': 5.1,
    'models.losses': 5.1,
    'models.classifiers': 5.1,
    'models.post_processing': 5.1,
    'models.fg_clip': 5.2,
    'models.backbones': 5.2,
    'models.necks': 5.2,
    'models.dense_heads': 5.3,
    'models.roi_heads': 5.3,
    'models.export': 5.4,
    'models.pretrainers': 5.4,
    'models.detectors': 5.4,
    'models': 5.9,
    'evaluation': 6.0,
    'engine': 6.0,
    'submission': 7.0,
    'data_engine': 7.0,
    'bridges': 7.0,
    'visualization': 7.0,
    'apis': 8.0,
    'cli': 9.0,
    'tools': 10.0,
    'configs': 10.0,
}

_PARTS_OF_MODELS = tuple(f'fgdet.{part}' for part in LEVELS if part.startswith('models.') and LEVELS[part] < 5.4)
_FUNCTIONS_ONLY = 'fgdet.models.post_processing'

# What a part must never import although the levels would allow it, and which libraries it must not know.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    'registry': ('torch', 'torchvision', 'mmdet', 'mmcv', 'fgdet'),
    'compat': ('fgdet.registry', 'mmdet'),
    'utils': ('fgdet.registry', 'mmdet'),
    'ops': ('fgdet.registry', 'mmdet'),
    'structures': ('fgdet.registry', 'mmdet'),
    'text': ('fgdet.registry', 'mmdet'),
    'checkpoints': ('fgdet.registry', 'mmdet'),
    'datasets': ('fgdet.checkpoints', 'torch.cuda'),
    'models.layers': ('fgdet.registry', 'fgdet.datasets', 'mmdet'),
    'models.encoders': ('fgdet.datasets', 'mmdet'),
    'models.region_poolers': ('fgdet.datasets', 'mmdet'),
    'models.losses': ('fgdet.datasets', 'mmdet'),
    'models.data_preprocessors': ('fgdet.datasets', 'mmdet'),
    'models.classifiers': ('fgdet.datasets',),
    'models.post_processing': ('fgdet.datasets',),
    'models.backbones': ('fgdet.models.losses', 'fgdet.datasets'),
    'models.necks': ('fgdet.models.losses', 'fgdet.datasets'),
    'models.fg_clip': ('fgdet.models.losses', 'fgdet.datasets', 'mmdet'),
    'models.dense_heads': ('fgdet.models.encoders', 'fgdet.models.backbones', 'fgdet.datasets'),
    'models.roi_heads': ('fgdet.models.encoders', 'fgdet.models.backbones', 'fgdet.datasets'),
    'models.pretrainers': ('fgdet.datasets', 'mmdet', *(p for p in _PARTS_OF_MODELS if p != _FUNCTIONS_ONLY)),
    'models.detectors': ('fgdet.datasets', *(p for p in _PARTS_OF_MODELS if p != _FUNCTIONS_ONLY)),
    'evaluation': ('fgdet.models', 'fgdet.datasets'),
    'engine': ('fgdet.models', 'fgdet.datasets'),
    'submission': ('fgdet.models', 'fgdet.datasets', 'fgdet.registry'),
}

# Where only these parts may be known (beside the part itself).
ONLY: dict[str, tuple[str, ...]] = {
    'cli': ('fgdet.apis', 'fgdet.registry', 'fgdet.utils', 'fgdet.version'),
    'configs': ('fgdet.apis', 'fgdet.registry'),
    'tools': ('fgdet.apis', 'fgdet.registry', 'fgdet.utils', 'fgdet.version', 'fgdet.cli.main'),
}

# What a submission may know of evaluation: predictions as they are read, and their columns.
RESULTS = tuple(f'fgdet.evaluation.{name}' for name in ('results', 'result_table', 'run_lengths'))

# The pretraining half does not so much as mention mmdet.
PRETRAINING = (
    'text',
    'checkpoints',
    *(f'models.{p}' for p in ('layers', 'encoders', 'region_poolers', 'losses', 'pretrainers')),
)

# Where a fgdet module may be imported inside a function: it keeps `import fgdet` and `fgdet --help` quick.
LAZY = ('fgdet/__init__.py', 'fgdet/cli/')


class Import(NamedTuple):
    """One imported module, as written in one file."""

    target: str
    line: int
    hidden: bool  # inside a function, or through import_module


def module_name(path: str) -> str:
    return path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')


def part_of(module: str) -> str:
    """The key of ``LEVELS`` for a dotted name: ``'fgdet.models.losses.federated'`` is of ``'models.losses'``."""
    names = module.split('.')
    if names[0] != 'fgdet':
        return names[0]
    if len(names) == 1:
        return 'fgdet'
    return '.'.join(names[1:3]) if names[1] == 'models' else names[1]


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f'{package}.')


def imports_of(path: str, source: str, known: frozenset[str] = frozenset()) -> Iterator[Import]:
    """Every import of a file; ``known`` are the modules there are, to tell a module from a name in one."""
    package = module_name(path) if path.endswith('/__init__.py') else module_name(path).rpartition('.')[0]

    def visit(node: ast.AST, hidden: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, hidden)
            elif isinstance(child, ast.ImportFrom):
                above = package.split('.')[: len(package.split('.')) - child.level + 1] if child.level else []
                base = '.'.join([*above, *([child.module] if child.module else [])])
                for alias in child.names:
                    inner = f'{base}.{alias.name}'
                    is_module = inner in known or not is_within(base, 'fgdet')
                    yield Import(inner if is_module else base, child.lineno, hidden)
            elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith(('import_module', '__import__')):
                if child.args and isinstance(child.args[0], ast.Constant):
                    yield Import(str(child.args[0].value), child.lineno, True)
            elif isinstance(child, ast.Attribute) and ast.unparse(child) == 'torch.cuda':
                yield Import('torch.cuda', child.lineno, hidden)
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from visit(child, hidden or is_function)

    yield from visit(ast.parse(source), False)


def import_violations(sources: Mapping[str, str]) -> list[str]:
    """Every broken rule of import among the sources, by path, as ``path:line: what is wrong``."""
    known = frozenset(map(module_name, sources))
    problems = []
    for path, source in sources.items():
        part = part_of(module_name(path))
        if part not in LEVELS:
            problems.append(f'{path}:1: {part!r} has no level; give it one in tests/test_architecture.py')
            continue
        if part in PRETRAINING and 'mmdet' in source:
            problems.append(f'{path}:1: the pretraining half does not mention mmdet')
        for found in imports_of(path, source, known):
            problem = _import_problem(path, part, found)
            if problem:
                problems.append(f'{path}:{found.line}: {part} {problem}')
    return [*dict.fromkeys(problems), *(f'{circle}: a circle of imports' for circle in circles(sources))]


def _import_problem(path: str, part: str, found: Import) -> str | None:
    target = part_of(found.target)
    if any(is_within(found.target, name) for name in FORBIDDEN.get(part, ())):
        return f'must not import {found.target}'
    if found.target.split('.')[0] in {'tests', 'tools', 'configs'}:
        return f'must not import {found.target}'
    if not is_within(found.target, 'fgdet'):
        return None
    if found.hidden and not path.startswith((*LAZY, 'tools/')):
        return f'hides the import of {found.target} in a function'
    if path == 'fgdet/__init__.py' or target in {part, 'fgdet'}:
        return None
    if target not in LEVELS:
        return f'imports {found.target}, which has no level'
    if LEVELS[target] >= LEVELS[part] and target != 'version':
        return f'(level {LEVELS[part]}) imports {found.target} (level {LEVELS[target]}): imports point downward only'
    if part == 'submission' and target == 'evaluation' and found.target not in RESULTS:
        return f'may know no more of evaluation than its results, not {found.target}'
    if part in ONLY and not path.startswith('tools/bench/') and not any(is_within(found.target, p) for p in ONLY[part]):
        return f'may import {", ".join(ONLY[part])}, not {found.target}'
    return None


def circles(sources: Mapping[str, str]) -> list[str]:
    """Circles among the modules' imports at module level, each once, as ``a -> b -> a``."""
    known = frozenset(map(module_name, sources))
    graph = {
        module_name(path): sorted({i.target for i in imports_of(path, source, known) if not i.hidden} & known)
        for path, source in sources.items()
        if path != 'fgdet/__init__.py'
    }
    found, done = [], set()

    def follow(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(' -> '.join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for target in graph.get(module, []):
                follow(target, [*trail, module])
            done.add(module)

    for module in graph:
        follow(module, [])
    return found


def size_violations(sources: Mapping[str, str]) -> list[str]:
    """Files and functions that are longer than the house allows."""
    problems = []
    for path, source in sources.items():
        thin = path.startswith(('fgdet/cli/', 'configs/', 'tools/')) and not path.startswith('tools/bench/')
        limit, lines = 99 if thin else 400, len(source.splitlines())
        if lines > limit:
            problems.append(f'{path}: {lines} lines; at most {limit}')
        for node in ast.walk(ast.parse(source)) if path.endswith('.py') else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 80:
                    problems.append(f'{path}:{node.lineno}: {node.name} has {lines} lines; at most 80')
    return problems


def read(*patterns: str) -> dict[str, str]:
    paths = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding='utf-8') for path in paths}


def test_imports__point_downward() -> None:
    problems = import_violations(read('fgdet/**/*.py', 'tools/**/*.py', 'configs/**/*.py'))
    assert not problems, '\n' + '\n'.join(problems)


def test_sizes__stay_readable() -> None:
    problems = size_violations(read('fgdet/**/*.py', 'tools/**/*.py', 'tools/*.sh', 'configs/**/*.py'))
    assert not problems, '\n' + '\n'.join(problems)


def test_lower_parts__can_each_be_imported_first() -> None:
    """Each with our own modules forgotten before it, so that an order of imports that only works by luck fails.

    Only the parts below the registries, which may not be made twice in one process.
    """
    modules = [
        module_name(path)
        for path in read('fgdet/**/*.py')
        if part_of(module_name(path)) in {'compat', 'utils', 'structures', 'ops', 'text', 'checkpoints'}
    ]
    script = (
        'import importlib, sys\n'
        'for name in sys.argv[1:]:\n'
        '    for loaded in [m for m in sys.modules if m.split(".")[0] == "fgdet"]:\n'
        '        del sys.modules[loaded]\n'
        '    importlib.import_module(name)\n'
        'assert "mmdet" not in sys.modules\n'
    )
    outcome = subprocess.run([sys.executable, '-c', script, *modules], capture_output=True, text=True, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize(
    ('path', 'source', 'message'),
    [
        ('fgdet/ops/x.py', 'import fgdet.models.losses', 'ops (level 2.0) imports fgdet.models.losses (level 5.1)'),
        ('fgdet/ops/x.py', 'from fgdet.structures import boxes', 'ops (level 2.0) imports fgdet.structures'),
        ('fgdet/models/losses/x.py', 'from ..encoders import y', 'imports fgdet.models.encoders (level 5.1)'),
        ('fgdet/models/roi_heads/x.py', 'from fgdet.models.dense_heads.y import Y', 'imports point downward only'),
        ('fgdet/utils/x.py', 'from fgdet.registry import MODELS', 'utils must not import fgdet.registry'),
        ('fgdet/utils/x.py', 'from fgdet import registry', 'utils must not import fgdet.registry'),
        ('fgdet/registry.py', 'import torch', 'registry must not import torch'),
        ('fgdet/structures/x.py', 'from mmdet.structures import DetDataSample', 'structures must not import mmdet'),
        ('fgdet/models/losses/x.py', '"""As in mmdet."""', 'the pretraining half does not mention mmdet'),
        ('fgdet/datasets/x.py', 'import torch\ntorch.cuda.synchronize()', 'datasets must not import torch.cuda'),
        ('fgdet/datasets/x.py', 'from fgdet.checkpoints import loading', 'datasets must not import fgdet.checkpoints'),
        ('fgdet/models/pretrainers/x.py', 'from fgdet.models.losses.y import Y', 'must not import fgdet.models.losses'),
        ('fgdet/evaluation/x.py', 'from fgdet.models.fg_clip import FGCLIP', 'evaluation must not import fgdet.models'),
        (
            'fgdet/submission/x.py',
            'from fgdet.evaluation.metrics import y',
            'know no more of evaluation than its results',
        ),
        ('fgdet/text/x.py', 'def f():\n    from fgdet.utils import dist', 'hides the import of fgdet.utils'),
        ('fgdet/text/x.py', "from importlib import import_module\nimport_module('fgdet.apis')", 'hides the import of'),
        ('fgdet/apis/x.py', 'from tests.builders import y', 'must not import tests'),
        ('fgdet/apis/x.py', 'if TYPE_CHECKING:\n    from fgdet.cli.main import main', 'imports fgdet.cli.main'),
        ('fgdet/cli/x.py', 'def f():\n    from fgdet.ops.roi_align import y', 'cli may import fgdet.apis'),
        ('configs/x.py', 'from fgdet.datasets.samplers import y', 'configs may import fgdet.apis'),
        ('fgdet/misc/x.py', '', "'misc' has no level"),
    ],
)
def test_checker__finds_a_forbidden_import(path: str, source: str, message: str) -> None:
    others = {
        f'{folder}/__init__.py': '' for folder in ('fgdet', 'fgdet/utils', 'fgdet/structures', 'fgdet/checkpoints')
    }
    problems = import_violations({**others, 'fgdet/registry.py': '', path: source})
    assert len(problems) == 1
    assert message in problems[0]


@pytest.mark.parametrize(
    ('path', 'source'),
    [
        ('fgdet/models/losses/x.py', 'from fgdet.models.layers.mlp import MLP\nfrom fgdet.registry import MODELS'),
        ('fgdet/models/losses/x.py', 'from .y import Y'),
        ('fgdet/submission/x.py', 'from fgdet.evaluation.results import load_results'),
        ('fgdet/cli/x.py', 'def f():\n    from fgdet.apis.training import train'),
        ('fgdet/apis/x.py', 'def f():\n    import onnx'),
        ('fgdet/apis/x.py', 'from fgdet.version import __version__'),
        ('tools/bench/x.py', 'from fgdet.ops.roi_align import region_pool'),
    ],
)
def test_checker__lets_a_sound_import_pass(path: str, source: str) -> None:
    assert import_violations({path: source}) == []


def test_checker__finds_a_circle() -> None:
    sources = {
        'fgdet/ops/a.py': 'from fgdet.ops.b import x',
        'fgdet/ops/b.py': 'from . import c',
        'fgdet/ops/c.py': 'import fgdet.ops.a',
        'fgdet/ops/d.py': 'import fgdet.ops.a',
    }
    assert circles(sources) == ['fgdet.ops.a -> fgdet.ops.b -> fgdet.ops.c -> fgdet.ops.a']
    assert circles({**sources, 'fgdet/ops/c.py': ''}) == []


def test_checker__finds_what_is_too_long() -> None:
    long_function = 'def f():\n' + '    pass\n' * 80
    assert size_violations({'fgdet/ops/a.py': long_function}) == ['fgdet/ops/a.py:1: f has 81 lines; at most 80']
    assert size_violations({'fgdet/ops/a.py': 'x = 1\n' * 401}) == ['fgdet/ops/a.py: 401 lines; at most 400']
    for path in ('fgdet/cli/a.py', 'tools/a.sh', 'configs/a.py'):
        assert size_violations({path: 'x=1\n' * 100}) == [f'{path}: 100 lines; at most 99']
        assert size_violations({path: 'x=1\n' * 99}) == []
