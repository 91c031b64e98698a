"""The doctor's diagnosis: each root cause once, with the exact command; and its probes on real processes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fgdet.apis import doctor_probes
from fgdet.apis.doctor import Report
from fgdet.apis.doctor_mending import HEADLESS, PINS, Problem, canonical, diagnose
from fgdet.apis.doctor_probes import NEEDS, Finding, probe_libraries

ROOT = Path(__file__).parents[2]
INSTALLED = {
    'numpy': '2.2.6',
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'opencv-python': '4.12.0.88',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
}
REQUIREMENTS = {'numpy': '>=1.24,<2.3', 'torch': '>=2.6', 'onedl-mmcv': '>=2.3.6,<2.4', 'opencv-python': '>=4.9'}


def healthy() -> dict[str, Finding]:
    findings = {name: Finding(name, '1.0') for name in NEEDS}
    findings['numpy'].version = '2.2.6'
    findings['torch'] = Finding(
        'torch', '2.11.0', facts={'cuda_available': False, 'cuda_build': '13.0', 'cuda_warning': None, 'devices': []}
    )
    return findings


def failing(**errors: str) -> dict[str, Finding]:
    """Findings in which the named libraries fail, and all that need them as a consequence."""
    findings = healthy()
    for name, needs in NEEDS.items():
        if name in errors:
            missing = re.search("No module named '(.*)'", errors[name])
            findings[name].error = errors[name]
            findings[name].missing = missing[1] if missing else None
        elif any(findings[need].error for need in needs):
            findings[name].error = 'ImportError: cannot import something'
    return findings


def commands(problems: list[Problem]) -> list[tuple[str, bool]]:
    return [(problem.command, problem.blocking) for problem in problems]


def missing(name: str) -> str:
    return f"ModuleNotFoundError: No module named '{name}'"


def test_diagnose__healthy() -> None:
    assert diagnose(healthy(), INSTALLED, REQUIREMENTS, None) == []


@pytest.mark.parametrize(
    ('library', 'error', 'command'),
    [
        ('numpy', missing('numpy'), 'pip install numpy==2.2.6'),
        ('numpy', 'ImportError: broken', 'pip install --force-reinstall --no-deps numpy==2.2.6'),
        ('cv2', missing('cv2'), 'pip install opencv-python==4.12.0.88'),
        ('cv2', 'ImportError: broken', 'pip install --force-reinstall --no-deps opencv-python==4.12.0.88'),
        ('torch', missing('torch'), 'pip install torch==2.11.0 torchvision==0.26.0'),
        (
            'torch',
            'OSError: libcudart.so.13: cannot open shared object file',
            'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6',
        ),
        ('torchvision', missing('torchvision'), 'pip install torch==2.11.0 torchvision==0.26.0'),
        (
            'torchvision',
            missing('torchvision._C'),
            'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6',
        ),
        ('mmengine', missing('mmengine'), 'pip install onedl-mmengine==0.10.12'),
        ('mmengine', missing('addict'), 'pip install addict'),
        ('mmcv', missing('mmcv'), 'pip install onedl-mmcv==2.3.6'),
        ('mmcv', missing('yaml'), 'pip install pyyaml'),
        ('mmdet', missing('mmdet'), 'pip install onedl-mmdetection==3.5.1'),
        ('mmdet', 'TypeError: x', 'pip install --force-reinstall --no-deps onedl-mmdetection==3.5.1'),
        ('safetensors', 'OSError: bad ELF header', 'pip install --force-reinstall --no-deps safetensors==0.8.0'),
        ('open_clip', missing('open_clip'), 'pip install open_clip_torch==3.3.0'),
    ],
)
def test_diagnose__one_broken_library(library: str, error: str, command: str) -> None:
    problems = diagnose(failing(**{library: error}), INSTALLED, REQUIREMENTS, None)
    assert commands(problems) == [(command, True)]


def test_diagnose__every_missing_library_has_a_command() -> None:
    for library in PINS:
        (problem,) = diagnose(failing(**{library: missing(library)}), INSTALLED, REQUIREMENTS, None)
        assert problem.library == library
        assert re.search(rf'pip install .*{re.escape(PINS[library])}', problem.command)


def test_diagnose__optional_library_blocks_nothing() -> None:
    problems = diagnose(failing(tensorboard=missing('tensorboard')), INSTALLED, REQUIREMENTS, None)
    assert commands(problems) == [('pip install tensorboard==2.21.0', False)]


def test_diagnose__two_causes_are_both_named() -> None:
    findings = failing(torchvision='RuntimeError: operator torchvision::nms does not exist', mmdet=missing('scipy'))
    problems = diagnose(findings, INSTALLED | {'torch': '2.9.1'}, REQUIREMENTS, None)
    assert [problem.library for problem in problems] == ['torchvision', 'mmdet']
    assert commands(problems) == [('pip install torch==2.11.0 torchvision==0.26.0', True), ('pip install scipy', True)]


def test_diagnose__numpy_too_new_but_working_is_a_warning() -> None:
    findings = healthy()
    findings['numpy'].version = '2.3.1'
    problems = diagnose(findings, INSTALLED | {'numpy': '2.3.1'}, REQUIREMENTS, None)
    assert commands(problems) == [('pip install numpy==2.2.6', False)]
    assert problems[0].what.startswith('numpy 2.3.1 is outside of >=1.24,<2.3')


def test_diagnose__numpy_too_new_is_no_excuse_for_another_fault() -> None:
    findings = failing(safetensors='OSError: bad ELF header')
    findings['numpy'].version = '2.3.1'
    problems = diagnose(findings, INSTALLED | {'numpy': '2.3.1'}, REQUIREMENTS, None)
    assert [(problem.library, problem.blocking) for problem in problems] == [('safetensors', True), ('numpy', False)]


def test_diagnose__version_outside_the_range() -> None:
    problems = diagnose(healthy(), INSTALLED | {'torch': '2.5.1+cpu'}, REQUIREMENTS, None)
    assert commands(problems) == [('pip install torch==2.11.0 torchvision==0.26.0', False)]
    assert problems[0].what == 'torch 2.5.1+cpu is outside of >=2.6'


def test_diagnose__opencv_twins_differ() -> None:
    problems = diagnose(healthy(), INSTALLED | {'opencv-python-headless': '4.13.0.92'}, REQUIREMENTS, None)
    command = f'pip install --force-reinstall --no-deps opencv-python==4.12.0.88 {HEADLESS}'
    assert commands(problems) == [(command, False)]


@pytest.mark.parametrize('broken', [False, True])
def test_diagnose__openmmlab_originals_block_only_when_something_fails(broken: bool) -> None:
    installed = {'numpy': '2.2.6', 'mmcv': '2.1.0', 'mmengine': '0.10.4', 'mmdet': '3.3.0'}
    findings = failing(mmdet='AssertionError: MMCV==2.3.6 is used but incompatible') if broken else healthy()
    problems = diagnose(findings, installed, REQUIREMENTS, None)
    command = (
        'pip uninstall -y mmcv mmdet mmengine && '
        'pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmdetection==3.5.1 numpy==2.2.6'
    )
    assert commands(problems) == [(command, broken)]


def test_diagnose__driver_too_old() -> None:
    findings = healthy()
    findings['torch'].facts['cuda_warning'] = 'The NVIDIA driver on your system is too old'
    problems = diagnose(findings, INSTALLED, REQUIREMENTS, '550.54.15')
    assert commands(problems) == [('update the NVIDIA driver to 580 or newer and restart', False)]
    assert problems[0].what == (
        'torch is built for CUDA 13.0 and finds no GPU under NVIDIA driver 550.54.15: '
        'The NVIDIA driver on your system is too old'
    )


def test_diagnose__cpu_build_beside_a_gpu() -> None:
    findings = healthy()
    findings['torch'].facts['cuda_build'] = None
    problems = diagnose(findings, INSTALLED | {'torch': '2.11.0+cpu'}, REQUIREMENTS, '580.65.06')
    command = 'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6'
    assert commands(problems) == [(command, False)]


def test_diagnose__gpu_that_does_not_compute() -> None:
    findings = healthy()
    device = {'name': 'Old', 'memory_gib': 4.0, 'capability': '5.0', 'error': 'RuntimeError: no kernel image'}
    findings['torch'].facts |= {'cuda_available': True, 'devices': [device]}
    (problem,) = diagnose(findings, INSTALLED, REQUIREMENTS, '580.65.06')
    assert problem.blocking
    assert problem.what == 'GPU 0, Old, does not compute: RuntimeError: no kernel image'


def test_report__state_names_the_cause() -> None:
    findings = failing(torchvision=missing('torchvision'))
    report = Report(findings, diagnose(findings, INSTALLED, REQUIREMENTS, None), {}, {}, {})
    assert not report.ok
    assert [report.state(name) for name in ('torch', 'torchvision', 'mmdet')] == [
        'works',
        'fails',
        'fails with torchvision',
    ]


def test_pins__are_those_of_the_constraints() -> None:
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    tested = {canonical(line.partition('==')[0]): line for line in lines if ';' not in line and '==' in line}
    for pin in [*PINS.values(), HEADLESS]:
        if '==' in pin:
            assert tested[canonical(pin.partition('==')[0])].lower() == pin.lower()


def test_probe_libraries__goes_on_after_the_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = {
        'alpha': "__version__ = '1.5'\nprint('chatter without a line end', end='')",
        'beta': 'import os\nos.abort()',
        'gamma': 'import time\ntime.sleep(600)',
        'delta': 'import sys\nsys.exit(4)',
        'epsilon': '',
    }
    for name, code in sources.items():
        (tmp_path / f'{name}.py').write_text(code)
    needs = {'epsilon': ('beta', 'alpha'), 'alpha': (), 'beta': ('alpha',), 'gamma': (), 'delta': (), 'zeta': ()}
    monkeypatch.setattr(doctor_probes, 'NEEDS', needs)
    monkeypatch.syspath_prepend(tmp_path)
    findings = probe_libraries(timeout=2)
    assert list(findings) == list(needs)
    assert findings['alpha'].version == '1.5'
    assert {name: finding.error for name, finding in findings.items()} == {
        'alpha': None,
        'beta': 'crashes: SIGABRT',
        'epsilon': 'not tried: it needs beta',
        'gamma': 'hangs: no answer in 2 s',
        'delta': 'SystemExit: 4',
        'zeta': missing('zeta'),
    }
    assert findings['zeta'].missing == 'zeta'


def test_import_doctor__loads_nothing_heavy() -> None:
    heavy = ('torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'rich')
    code = f'import sys, fgdet.cli.doctor; print([name for name in {heavy} if name in sys.modules])'
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == '[]', result.stderr
