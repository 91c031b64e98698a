"""What is installed here, what of it works, and the command that mends the rest."""

import os
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path
from typing import Any

from fgdet.apis.doctor_mending import ORIGINALS, Problem, canonical, diagnose
from fgdet.apis.doctor_probes import DISTRIBUTIONS, NEEDS, Finding, probe_libraries
from fgdet.version import __version__

GIB = 2**30


@dataclass(frozen=True)
class Report:
    """The state of this machine.

    Attributes:
        findings: what each library did when it was tried, by module.
        problems: what to mend, root causes first.
        packages: the installed package, or packages, that mmengine, mmcv and mmdet come from: OpenMMLab's own or the
            maintained ``onedl-`` ones.
        machine: Python, platform, cores, memory in GiB, the NVIDIA driver.
        files: CLIP's vocabulary, whether the current folder can be written, its free space in GiB.
    """

    findings: dict[str, Finding]
    problems: list[Problem]
    packages: dict[str, list[str]]
    machine: dict[str, Any]
    files: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether fgdet can run here."""
        return not any(problem.blocking for problem in self.problems)

    @property
    def operators(self) -> dict[str, str]:
        """``'compiled'`` or ``'served'`` for each of mmcv's operators that fgdet needs; empty where none works."""
        return self.findings['mmcv.ops'].facts.get('operators', {})

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs: name, memory_gib, capability, error."""
        return self.findings['torch'].facts.get('devices', [])

    def state(self, name: str) -> str:
        """Whether the library works, fails, or fails with another one that is among the problems."""
        if self.findings[name].error is None:
            return 'works'
        culprits = [problem.library for problem in self.problems if problem.blocking]
        if name in culprits:
            return 'fails'
        causes = [cause for cause in culprits if cause in NEEDS[name] or cause in ('OpenMMLab', 'numpy')]
        return f'fails with {", ".join(causes)}' if causes else 'fails'

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return {
            'ok': self.ok,
            'versions': {'fgdet': __version__} | {name: finding.version for name, finding in self.findings.items()},
            'errors': {name: finding.error for name, finding in self.findings.items() if finding.error},
            'packages': self.packages,
            'operators': self.operators,
            'devices': self.devices,
            'machine': self.machine,
            'files': self.files,
            'problems': [asdict(problem) for problem in self.problems],
        }


def examine(timeout: float = 120) -> Report:
    """Try every library in a child process and find the commands that mend what fails.

    Args:
        timeout: seconds that one library may take before it counts as hanging.
    """
    findings = probe_libraries(timeout)
    machine, installed = _machine(), _installed()
    problems = diagnose(findings, installed, _requirements(), machine['nvidia_driver'])
    return Report(findings, problems, _packages(installed), machine, _files(findings))


def _installed() -> dict[str, str]:
    """Version of each installed package by canonical name; of several, the first on the path, which is imported."""
    versions: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata['Name']
        if name:
            versions.setdefault(canonical(name), distribution.version)
    return versions


def _packages(installed: dict[str, str]) -> dict[str, list[str]]:
    """The installed packages, with versions, that own mmengine, mmcv and mmdet."""
    owners = {}
    for name in ('mmengine', 'mmcv', 'mmdet'):
        maintained = DISTRIBUTIONS[name]
        candidates = [maintained, *(original for original, other in ORIGINALS.items() if other == maintained)]
        owners[name] = [f'{package} {installed[package]}' for package in candidates if package in installed]
    return owners


def _requirements() -> dict[str, str]:
    """The version ranges that fgdet asks for, by package; empty where fgdet runs without being installed."""
    try:
        lines = requires('fgdet') or []
    except PackageNotFoundError:
        return {}
    split = [re.match(r'([\w.-]+)\s*([^;]*)', line) for line in lines if 'extra ==' not in line]
    # Lower limits first: setuptools writes them in any order.
    return {
        canonical(found[1]): ','.join(sorted(found[2].strip().split(','), reverse=True)) for found in split if found
    }


def _machine() -> dict[str, Any]:
    total, available = _memory()
    return {
        'python': platform.python_version(),
        'platform': platform.platform(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'memory_gib': round(total / GIB, 1),
        'memory_available_gib': round(available / GIB, 1),
        'nvidia_driver': _nvidia_driver(),
    }


def _memory() -> tuple[int, int]:
    """Bytes of memory in all and available, within the limit of a container."""
    page = os.sysconf('SC_PAGE_SIZE')
    total = page * os.sysconf('SC_PHYS_PAGES')
    available = total
    table = Path('/proc/meminfo')
    if table.is_file():
        found = re.search(r'MemAvailable:\s+(\d+) kB', table.read_text())
        available = int(found[1]) * 1024 if found else total
    for limit in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
        if Path(limit).is_file() and (text := Path(limit).read_text().strip()).isdigit():
            total = min(total, int(text))
    return total, min(available, total)


def _nvidia_driver() -> str | None:
    """Version of the NVIDIA driver, None without one, where the GPUs are hidden, or in a container without any."""
    table = Path('/proc/driver/nvidia/version')
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
    if hidden or not table.is_file() or not Path('/dev/nvidiactl').exists():
        return None
    found = re.search(r'\d+\.\d+(\.\d+)?', table.read_text())
    return found.group() if found else 'unknown'


def _files(findings: dict[str, Finding]) -> dict[str, Any]:
    folder = Path.cwd()
    return {
        'clip_vocabulary': findings['open_clip'].facts.get('clip_vocabulary'),
        'work_folder': str(folder),
        'work_folder_writable': os.access(folder, os.W_OK),
        'work_folder_free_gib': round(shutil.disk_usage(folder).free / GIB, 1),
    }
