"""The finder: last in line, a real spec, silent until asked, and clear where something is missing."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fgdet.compat import mmcv_ops


def run(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter that sees the folders of ``path`` before everything else."""
    preamble = ''.join(f'import sys; sys.path.insert(0, {str(folder)!r})\n' for folder in path)
    return subprocess.run([sys.executable, '-c', preamble + code], capture_output=True, text=True, timeout=120)


def package(folder: Path, name: str, **modules: str) -> None:
    """Write a package whose modules hold the given code."""
    (folder / name).mkdir()
    for module, code in {'__init__': '', **modules}.items():
        (folder / name / f'{module}.py').write_text(code)


def test_install_finder__twice_appends_once() -> None:
    mmcv_ops.install_finder()
    mmcv_ops.install_finder()
    finders = [finder for finder in sys.meta_path if isinstance(finder, mmcv_ops.ServedExtensionFinder)]
    assert len(finders) == 1


def test_finder__only_the_extension() -> None:
    finder = mmcv_ops.ServedExtensionFinder()
    assert finder.find_spec('mmcv._extra', None) is None
    assert finder.find_spec('mmcv', None) is None


def test_extension__has_a_spec_that_mmengine_finds() -> None:
    from mmcv import _ext
    from mmengine.utils.dl_utils import mmcv_full_available

    assert _ext.__spec__ is not None
    assert _ext.__spec__.name == 'mmcv._ext'
    assert find_spec('mmcv._ext') is not None
    assert mmcv_full_available()


def test_extension__serves_each_listed_operator() -> None:
    from mmcv import _ext

    for source, names in mmcv_ops.OPERATORS.items():
        for name in names:
            assert getattr(_ext, name).__module__ == source


def test_extension__uncovered_operator_names_itself_and_the_command() -> None:
    from mmcv import _ext

    with pytest.raises(NotImplementedError) as caught:
        _ext.nms_rotated(1, multi_label=False)
    assert "mmcv's operator nms_rotated is not" in str(caught.value)
    assert mmcv_ops.COMPILE_COMMAND in str(caught.value)


def test_extension__private_names_stay_missing() -> None:
    from mmcv import _ext

    with pytest.raises(AttributeError, match=r"module 'mmcv\._ext' has no attribute '_nothing'"):
        _ = _ext._nothing


def test_extension__environment_report_works() -> None:
    from mmcv.utils import collect_env

    assert collect_env()['MMCV Compiler'] == 'none: served by fgdet'


def test_import_fgdet__loads_nothing_heavy() -> None:
    heavy = ('torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet', 'numpy')
    result = run(f'import sys, fgdet; print([name for name in {heavy} if name in sys.modules])')
    assert result.stdout.strip() == '[]', result.stderr


def test_finder__compiled_extension_wins(tmp_path: Path) -> None:
    package(tmp_path, 'mmcv', _ext='compiled = True')
    result = run('import fgdet, mmcv._ext; print(mmcv._ext.compiled)', tmp_path)
    assert result.stdout.strip() == 'True', result.stderr


def test_extension__without_torchvision_points_to_the_doctor(tmp_path: Path) -> None:
    package(tmp_path, 'mmcv')
    (tmp_path / 'torchvision.py').write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    result = run('import fgdet, mmcv._ext', tmp_path)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith('ImportError: mmcv has no compiled operators, and torchvision')
    assert 'torchvision::nms does not exist' in last
    assert '`fgdet doctor`' in last
