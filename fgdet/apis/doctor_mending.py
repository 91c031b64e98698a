"""From what the libraries did to the commands that mend them: each root cause once, with exact tested versions."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fgdet.apis.doctor_probes import NEEDS, Finding

# The versions of constraints.txt, with which fgdet is tested.
PINS = {
    'numpy': 'numpy==2.2.6',
    'cv2': 'opencv-python==4.12.0.88',
    'torch': 'torch==2.11.0',
    'torchvision': 'torchvision==0.26.0',
    'mmengine': 'onedl-mmengine==0.10.12',
    'mmcv': 'onedl-mmcv==2.3.6',
    'mmdet': 'onedl-mmdetection==3.5.1',
    'pycocotools': 'pycocotools==2.0.11',
    'hotcoco': 'hotcoco==1.3.0',
    'safetensors': 'safetensors==0.8.0',
    'tokenizers': 'tokenizers==0.23.3',
    'ftfy': 'ftfy==6.3.1',
    'huggingface_hub': 'huggingface_hub==2.4.0',
    'open_clip': 'open_clip_torch==3.3.0',
    'matplotlib': 'matplotlib>=3.7',
    'tensorboard': 'tensorboard==2.21.0',
}
HEADLESS = 'opencv-python-headless==4.12.0.88'
TORCH_PAIR = f'{PINS["torch"]} {PINS["torchvision"]}'
MM_PINS = f'{PINS["mmengine"]} {PINS["mmcv"]} {PINS["mmdet"]}'
# Modules whose package has another name.
PACKAGES = {'PIL': 'pillow', 'yaml': 'pyyaml', 'skimage': 'scikit-image', 'sklearn': 'scikit-learn'}
# OpenMMLab's own packages, and the maintained ones that own the same folders.
ORIGINALS = {
    'mmcv': 'onedl-mmcv',
    'mmcv-full': 'onedl-mmcv',
    'mmcv-lite': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmengine': 'onedl-mmengine',
    'mmengine-lite': 'onedl-mmengine',
}
MM_MODULES = ('mmengine', 'mmcv', 'mmcv.ops', 'mmdet')
# Scores of COCO and LVIS, plots, curves and downloads; everything else works without.
OPTIONAL = ('hotcoco', 'matplotlib', 'tensorboard', 'huggingface_hub')
MINIMUM_DRIVERS = {'12': '525', '13': '580'}  # NVIDIA driver by CUDA major version of the torch build, on Linux


@dataclass(frozen=True)
class Problem:
    """One thing to mend.

    Attributes:
        library: where it is.
        what: what is wrong, in one line.
        command: what mends it.
        blocking: whether fgdet cannot run before it is mended.
    """

    library: str
    what: str
    command: str
    blocking: bool


def diagnose(
    findings: Mapping[str, Finding], installed: Mapping[str, str], requirements: Mapping[str, str], driver: str | None
) -> list[Problem]:
    """Name each root cause with its command.

    Args:
        findings: what each library did, by module.
        installed: version of each installed package, by its canonical name (``'open-clip-torch'``).
        requirements: version ranges that fgdet asks for, such as ``'>=1.24,<2.3'``, by canonical name.
        driver: version of the NVIDIA driver, None where there is none.

    Returns:
        the problems, blocking ones first and each command once; a library that fails only because another does is not
        among them.
    """
    problems = _flavours(findings, installed)
    problems += _numpy_range(findings, installed, requirements)
    causes = {problem.library for problem in problems if problem.blocking}
    if 'OpenMMLab' in causes:
        causes |= set(MM_MODULES)
    failing = {name for name, finding in findings.items() if finding.error} | causes
    for name, finding in findings.items():
        if finding.error and name not in causes and not _is_consequence(finding, failing, causes):
            problems.append(_broken(finding, installed))
    problems += _ranges(findings, installed, requirements)
    problems += _opencv_twins(installed) if not findings['cv2'].error else []
    problems += _gpu(findings['torch'], driver, installed)
    by_command: dict[str, Problem] = {}
    for problem in sorted(problems, key=lambda problem: not problem.blocking):
        by_command.setdefault(problem.command, problem)
    return list(by_command.values())


def _is_consequence(finding: Finding, failing: set[str], causes: set[str]) -> bool:
    """Whether a library fails because another one does: it does unless it is missing itself or misses an outsider.

    fgdet's own failure counts only where all that it needs works.
    """
    if 'numpy' in causes and _blames_numpy(finding):
        return True
    if finding.missing is not None and finding.name != 'fgdet':
        root = finding.missing.partition('.')[0]
        return root != finding.name and root in failing
    return any(need in failing for need in NEEDS[finding.name])


def _broken(finding: Finding, installed: Mapping[str, str]) -> Problem:
    """The problem of a library that fails by its own fault."""
    name, error = finding.name, finding.error or ''
    blocking = name not in OPTIONAL
    if finding.missing == name and name in PINS:
        return Problem(name, f'{name} is not installed', _install(name), blocking)
    outsider = (finding.missing or name).partition('.')[0]
    if outsider != name.partition('.')[0]:
        what = f'{name} does not import: it needs {outsider}, which is not installed'
        return Problem(name, what, f'pip install {PINS.get(outsider) or PACKAGES.get(outsider, outsider)}', blocking)
    version = f' {finding.version}' if finding.version else ''
    what = f'{name}{version} does not work: {error}{_reason(finding, installed)}'
    return Problem(name, what, _reinstall(finding, installed), blocking)


def _reason(finding: Finding, installed: Mapping[str, str]) -> str:
    if finding.name == 'torchvision':
        return f' (it has to be built for the installed torch {installed.get("torch", "of unknown version")})'
    if finding.name == 'mmcv.ops' and 'undefined symbol' in (finding.error or ''):
        return ' (its operators were compiled for another torch; without them fgdet serves its own)'
    if finding.name == 'cv2' and _lacks_display(finding):
        return ' (a library of the display; the headless build needs none)'
    return ''


def _install(name: str) -> str:
    if name in ('torch', 'torchvision'):
        return f'pip install {TORCH_PAIR}'
    return f'pip install {shlex.quote(PINS[name])}' if name in PINS else _reinstall_fgdet()


def _reinstall(finding: Finding, installed: Mapping[str, str]) -> str:
    """The command for a library that is there and broken."""
    name = finding.name
    if name in ('torch', 'torchvision'):
        return _reinstall_torch(installed)
    if name == 'cv2':
        twins = HEADLESS if _lacks_display(finding) else _opencv_pins(installed)
        return f'pip install --force-reinstall --no-deps {twins}'
    if name in ('mmcv', 'mmcv.ops'):  # pip keeps wheels that it built, a broken compiled one too
        return f'pip install --force-reinstall --no-deps --no-cache-dir {PINS["mmcv"]}'
    if name == 'fgdet':
        return _reinstall_fgdet()
    return f'pip install --force-reinstall --no-deps {shlex.quote(PINS[name])}'


def _reinstall_torch(installed: Mapping[str, str]) -> str:
    """Both at the tested versions; by force where pip would think they are there, as it does for 2.11.0+cpu."""
    same = all(
        installed.get(name, '').partition('+')[0] == PINS[name].partition('==')[2] for name in ('torch', 'torchvision')
    )
    return f'pip install --force-reinstall {TORCH_PAIR} {PINS["numpy"]}' if same else f'pip install {TORCH_PAIR}'


def _reinstall_fgdet() -> str:
    root = Path(__file__).resolve().parents[2]
    source = f'-e {shlex.quote(str(root))}' if (root / 'pyproject.toml').is_file() else 'fgdet'
    return f'pip install --force-reinstall --no-deps {source}'


def _flavours(findings: Mapping[str, Finding], installed: Mapping[str, str]) -> list[Problem]:
    """OpenMMLab's own mmcv, mmdet or mmengine in place of, or beside, the maintained ones."""
    originals = [name for name in ORIGINALS if name in installed]
    if not originals:
        return []
    doubles = sorted({ORIGINALS[name] for name in originals} & set(installed))
    listed = ', '.join(f'{name} {installed[name]}' for name in originals)
    what = f"OpenMMLab's own {listed} is installed, which has not followed torch since 2024"
    if doubles:
        what += f', beside {", ".join(doubles)} in the same folder'
    maintained = [name for name in sorted(set(ORIGINALS.values())) if name in installed]
    command = f'pip uninstall -y {" ".join(originals + maintained)} && pip install {MM_PINS} {PINS["numpy"]}'
    failing = any(findings[name].error for name in MM_MODULES)
    return [Problem('OpenMMLab', what, command, failing)]


def _numpy_range(
    findings: Mapping[str, Finding], installed: Mapping[str, str], requirements: Mapping[str, str]
) -> list[Problem]:
    """A numpy outside of the range: only a warning while everything works, the cause where something blames numpy."""
    version = findings['numpy'].version or installed.get('numpy')
    wanted = requirements.get('numpy', '>=1.24,<2.3')
    if version is None or findings['numpy'].missing == 'numpy' or _is_within(version, wanted):
        return []
    blamed = [name for name, finding in findings.items() if name != 'numpy' and _blames_numpy(finding)]
    what = f'numpy {version} is outside of {wanted}, which OpenCV and the compiled libraries were built for'
    if blamed:
        what += f'; it breaks {", ".join(blamed)}'
    return [Problem('numpy', what, f'pip install {PINS["numpy"]}', bool(blamed) or findings['numpy'].error is not None)]


def _blames_numpy(finding: Finding) -> bool:
    return finding.error is not None and re.search(r'numpy|_ARRAY_API|multiarray', finding.error, re.I) is not None


def _ranges(
    findings: Mapping[str, Finding], installed: Mapping[str, str], requirements: Mapping[str, str]
) -> list[Problem]:
    """Libraries that work, in a version that fgdet is not made for."""
    problems = []
    for name, pin in PINS.items():
        package = canonical(re.split('[=<>]', pin)[0])
        version, wanted = installed.get(package), requirements.get(package)
        if name == 'numpy' or version is None or wanted is None:
            continue
        if findings[name].error or _is_within(version, wanted):
            continue
        problems.append(Problem(name, f'{package} {version} is outside of {wanted}', _install(name), False))
    return problems


def _opencv_pins(installed: Mapping[str, str]) -> str:
    return f'{PINS["cv2"]} {HEADLESS}' if 'opencv-python-headless' in installed else PINS['cv2']


def _opencv_twins(installed: Mapping[str, str]) -> list[Problem]:
    """opencv-python and its headless twin write the same folder: which files win is chance when versions differ."""
    versions = [installed.get(name) for name in ('opencv-python', 'opencv-python-headless')]
    if None in versions or versions[0] == versions[1]:
        return []
    what = f'opencv-python {versions[0]} and opencv-python-headless {versions[1]} share the folder cv2'
    command = f'pip install --force-reinstall --no-deps {PINS["cv2"]} {HEADLESS}'
    return [Problem('cv2', what, command, False)]


def _lacks_display(finding: Finding) -> bool:
    return re.search(r'lib(GL|EGL|gthread|xcb|X11|SM|ICE)\b', finding.error or '') is not None


def _gpu(torch: Finding, driver: str | None, installed: Mapping[str, str]) -> list[Problem]:
    """A GPU that torch cannot use; having none is no problem."""
    if torch.error:
        return []
    problems = []
    for index, device in enumerate(torch.facts.get('devices', [])):
        if device['error']:
            what = f'GPU {index}, {device["name"]}, does not compute: {device["error"]}'
            problems.append(Problem('torch', what, _reinstall_torch(installed), True))
    if driver is not None and not torch.facts.get('cuda_available'):
        build = torch.facts.get('cuda_build')
        if build is None:
            what = f'this machine has an NVIDIA driver, and torch {torch.version} is built for the CPU alone'
            return [*problems, Problem('torch', what, _reinstall_torch(installed), False)]
        minimum = MINIMUM_DRIVERS.get(build.partition('.')[0], 'the newest')
        warning = torch.facts.get('cuda_warning')
        what = f'torch is built for CUDA {build} and finds no GPU under NVIDIA driver {driver}'
        what += f': {warning}' if warning else ''
        problems.append(Problem('torch', what, f'update the NVIDIA driver to {minimum} or newer and restart', False))
    return problems


def canonical(package: str) -> str:
    """A package's name as indexes compare it: lower case, with single dashes."""
    return re.sub('[-_.]+', '-', package).lower()


def _is_within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range such as ``'>=1.24,<2.3'``; what cannot be read does."""
    number = _numbers(version)
    for operator, limit in re.findall(r'(>=|<=|==|<|>)\s*([\d.]+)', wanted):
        width = max(len(number), len(_numbers(limit)))
        left, right = (part + (0,) * (width - len(part)) for part in (number, _numbers(limit)))
        if not {'>=': left >= right, '<=': left <= right, '==': left == right, '<': left < right, '>': left > right}[
            operator
        ]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r'\d+(\.\d+)*', version)
    return tuple(int(part) for part in found.group().split('.')) if found else ()
