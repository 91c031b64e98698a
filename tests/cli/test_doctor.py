"""``fgdet doctor`` in environments broken on purpose: small fake packages stand before the real ones on the path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCH = """
from types import SimpleNamespace
__version__ = '2.11.0'
class Tensor:
    def numpy(self): pass
def tensor(*args): return Tensor()
from_numpy = ones = tensor
cuda = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
version = SimpleNamespace(cuda='13.0')
"""
# Just enough of each library for the doctor's probes; a path ending in .py is a module, the others are packages.
FAKES = {
    'numpy': "__version__ = '2.2.6'\nuint8 = None\nzeros = ones = lambda *args, **kwargs: None",
    'cv2': "__version__ = '4.12.0'\nresize = lambda *args: None",
    'torch': TORCH,
    'torchvision': 'from types import SimpleNamespace\nops = SimpleNamespace(nms=lambda *args: None)',
    'mmengine': '',
    'mmcv': '',
    'mmcv/_ext.py': '',
    'mmcv/ops.py': 'from mmcv import _ext\nnms = lambda *args: None',
    'mmdet': '',
    'mmdet/models.py': '',
    'mmdet/datasets.py': '',
    'mmdet/evaluation.py': '',
    'pycocotools': '',
    'hotcoco': '',
    'safetensors': '',
    'tokenizers': '',
    'ftfy': '',
    'huggingface_hub': '',
    'open_clip': '',
    'matplotlib': '',
    'tensorboard': '',
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of fake packages in which everything works."""
    for name, code in FAKES.items():
        write(tmp_path, name, code)
    (tmp_path / 'open_clip' / 'bpe_simple_vocab_16e6.txt.gz').touch()
    return tmp_path


def write(site: Path, name: str, code: str) -> None:
    file = site / name if name.endswith('.py') else site / name / '__init__.py'
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)


def install(site: Path, package: str, version: str) -> None:
    """Note a package as installed; the note stands before that of the real package."""
    folder = site / f'{package.replace("-", "_")}-{version}.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n')


def doctor(site: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = [str(ROOT)] if site is None else [str(site), str(ROOT)]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(path), 'CUDA_VISIBLE_DEVICES': ''}
    return subprocess.run(
        [sys.executable, '-m', 'fgdet.cli.main', 'doctor', *arguments],
        env=environment,
        cwd=site or ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def gone(name: str) -> str:
    return f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})'


BROKEN = {
    'torchvision gone': (
        {'torchvision': gone('torchvision')},
        'torchvision is not installed',
        'pip install torch==2.11.0 torchvision==0.26.0',
    ),
    'mmcv gone': (
        {'mmcv': gone('mmcv')},
        'mmcv is not installed',
        'pip install onedl-mmcv==2.3.6',
    ),
    'mmcv broken': (
        {'mmcv': "raise ImportError('cannot import name x')"},
        'mmcv 2.3.6 does not work: ImportError: cannot import name x',
        'pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv==2.3.6',
    ),
    'mmcv compiled for another torch': (
        {'mmcv/_ext.py': "raise ImportError('_ext.so: undefined symbol: _ZN3c10')"},
        'mmcv.ops does not work: ImportError: _ext.so: undefined symbol: _ZN3c10 '
        '(its operators were compiled for another torch; without them fgdet serves its own)',
        'pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv==2.3.6',
    ),
    'opencv without a display': (
        {'cv2': "raise ImportError('libGL.so.1: cannot open shared object file')"},
        'cv2 4.12.0.88 does not work: ImportError: libGL.so.1: cannot open shared object file '
        '(a library of the display; the headless build needs none)',
        'pip install --force-reinstall --no-deps opencv-python-headless==4.12.0.88',
    ),
    'numpy too new': (
        {
            'numpy': "__version__ = '2.4.0'\nones = lambda n: None",
            'cv2': "raise ImportError('numpy.core.multiarray failed to import')",
        },
        'numpy 2.4.0 is outside of >=1.24,<2.3, which OpenCV and the compiled libraries were built for; it breaks cv2',
        'pip install numpy==2.2.6',
    ),
    'torchvision crashes': (
        {'torchvision': 'import os\nos.abort()'},
        'torchvision 0.26.0 does not work: crashes: SIGABRT (it has to be built for the installed torch 2.11.0)',
        'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6',
    ),
    'torchvision hangs': (
        {'torchvision': 'import time\ntime.sleep(600)'},
        'torchvision 0.26.0 does not work: hangs: no answer in 3 s (it has to be built for the installed torch 2.11.0)',
        'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6',
    ),
}
VERSIONS = {
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'opencv-python': '4.12.0.88',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
}


@pytest.mark.parametrize('case', BROKEN)
def test_doctor__one_cause_and_its_command(site: Path, case: str) -> None:
    changes, what, mending = BROKEN[case]
    for package, version in VERSIONS.items():
        install(site, package, version)
    for name, code in changes.items():
        write(site, name, code)
    result = doctor(site, '--timeout', '3')
    lines = result.stdout.splitlines()
    assert result.returncode == 1, result.stderr
    assert [line for line in lines if line.startswith('problem')] == [f'problem   {what}']
    assert f'  mend    {mending}' in lines
    assert lines[-1] == 'fgdet cannot run here until the problems are mended.'


@pytest.mark.parametrize(
    ('torch', 'torchvision', 'mending'),
    [
        ('2.9.0', '0.26.0', 'pip install torch==2.11.0 torchvision==0.26.0'),
        ('2.11.0+cpu', '0.26.0', 'pip install --force-reinstall torch==2.11.0 torchvision==0.26.0 numpy==2.2.6'),
    ],
)
def test_doctor__torchvision_for_another_torch(site: Path, torch: str, torchvision: str, mending: str) -> None:
    install(site, 'torch', torch)
    install(site, 'torchvision', torchvision)
    write(site, 'torchvision', "raise RuntimeError('operator torchvision::nms does not exist')")
    result = doctor(site)
    assert result.returncode == 1
    assert (
        'problem   torchvision 0.26.0 does not work: RuntimeError: operator torchvision::nms does not exist '
        f'(it has to be built for the installed torch {torch})\n  mend    {mending}\n'
    ) in result.stdout


def test_doctor__openmmlab_originals(site: Path) -> None:
    for package, version in {'mmcv-lite': '2.1.0', 'mmdet': '3.3.0', 'onedl-mmcv': '2.3.6'}.items():
        install(site, package, version)
    (site / 'mmcv' / 'ops.py').write_text(gone('mmcv.ops'))
    result = doctor(site)
    assert result.returncode == 1
    assert "problem   OpenMMLab's own mmcv-lite 2.1.0, mmdet 3.3.0 is installed" in result.stdout
    assert 'beside onedl-mmcv' in result.stdout
    assert '  mend    pip uninstall -y mmcv-lite mmdet onedl-mmcv ' in result.stdout
    assert '&& pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmdetection==3.5.1' in result.stdout


def test_doctor__json_holds_the_report(site: Path, tmp_path: Path) -> None:
    write(site, 'cv2', "raise ImportError('broken')")
    file = tmp_path / 'report.json'
    result = doctor(site, '--json', str(file))
    report = json.loads(file.read_text())
    assert result.returncode == 1
    assert report['ok'] is False
    assert report['versions']['numpy'] == '2.2.6'
    assert report['errors']['cv2'] == 'ImportError: broken'
    assert report['operators']['roi_align_forward'] == 'compiled'
    assert report['devices'] == []
    assert report['problems'][0]['library'] == 'cv2'


def test_doctor__here() -> None:
    """The environment of the tests is healthy; without a GPU that is said, not complained of."""
    result = doctor(None)
    assert result.returncode == 0, result.stdout
    assert 'GPU       none: fgdet runs on the CPU' in result.stdout
    assert 'problem' not in result.stdout
    assert result.stdout.splitlines()[-1] == 'fgdet can run here.'


def test_doctor__usage_error() -> None:
    result = doctor(None, '--timeout', 'soon')
    assert result.returncode == 2
    assert "'soon' is not a valid float" in result.stderr
