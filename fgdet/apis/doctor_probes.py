"""Try each library in a child process, so that an import that crashes or hangs ends the child and not the doctor.

One child tries all of them in order, since they share most of their imports; where it dies, the next child goes on
after the culprit and leaves out what cannot work without it.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from fgdet.compat import mmcv_ops

_MARK = '@fgdet-doctor '  # begins a line of the child that is ours; libraries print what they like
_CORE = ('numpy', 'cv2', 'torch', 'torchvision')
_MM = (*_CORE, 'mmengine', 'mmcv', 'mmcv.ops')
# What has to work before each library can.
NEEDS: dict[str, tuple[str, ...]] = {
    'numpy': (),
    'cv2': ('numpy',),
    'torch': (),
    'torchvision': ('torch',),
    'mmengine': ('numpy', 'cv2', 'torch'),
    'mmcv': ('numpy', 'cv2', 'torch', 'mmengine'),
    'mmcv.ops': (*_CORE, 'mmengine', 'mmcv'),
    'mmdet': (*_MM, 'pycocotools', 'matplotlib'),
    'pycocotools': ('numpy',),
    'hotcoco': ('numpy',),
    'safetensors': (),
    'tokenizers': (),
    'ftfy': (),
    'huggingface_hub': (),
    'open_clip': (),
    'matplotlib': ('numpy',),
    'tensorboard': (),
    'fgdet': (*_MM, 'mmdet', 'safetensors', 'tokenizers', 'ftfy', 'huggingface_hub', 'open_clip'),
}
DISTRIBUTIONS = {
    'cv2': 'opencv-python',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmengine': 'onedl-mmengine',
    'open_clip': 'open_clip_torch',
}


@dataclass
class Finding:
    """What one library did.

    Attributes:
        name: the module.
        version: of the module that was imported, or of the installed package, None where neither is known.
        error: type and first line of what went wrong, None where it works.
        missing: the module whose absence is the error.
        facts: what the library says about this machine.
    """

    name: str
    version: str | None = None
    error: str | None = None
    missing: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def probe_libraries(timeout: float = 120) -> dict[str, Finding]:
    """Try every library of :data:`NEEDS`.

    Args:
        timeout: seconds that one library may take before it counts as hanging.

    Returns:
        a finding for each, in the order of :data:`NEEDS`.
    """
    findings: dict[str, Finding] = {}
    pending = _in_order()
    while pending:
        death = _run_child(pending, findings, timeout)
        culprit = next((name for name in pending if name not in findings), None)
        if culprit is not None:
            _give_up(culprit, death, findings)
        pending = [name for name in pending if name not in findings]
    return {name: findings[name] for name in NEEDS}


def installed_version(name: str) -> str | None:
    """Version of the installed package that holds the module ``name``, None where there is none."""
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return None


def main(names: Sequence[str]) -> None:
    """The child: try each library and print its finding as one line."""
    warnings.simplefilter('ignore')
    for name in names:
        print(f'\n{_MARK}{json.dumps(asdict(_probe(name)))}', flush=True)


def _in_order() -> list[str]:
    """The libraries, each after those that it needs."""
    ordered: list[str] = []
    left = list(NEEDS)
    while left:
        ready = next(name for name in left if all(need in ordered for need in NEEDS[name]))
        ordered.append(ready)
        left.remove(ready)
    return ordered


def _run_child(names: Sequence[str], findings: dict[str, Finding], timeout: float) -> str:
    """Try ``names`` in one child, note the findings and return how it ended."""
    # The path is handed over, as `-c` would put the current folder, and a stray torch.py in it, first.
    code = f'import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main({list(names)!r})'
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors='replace'
    ) as child:
        assert child.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True).start()
        try:
            while (line := lines.get(timeout=timeout)) is not None:
                finding = Finding(**json.loads(line))
                findings[finding.name] = finding
        except queue.Empty:
            child.kill()
            return f'hangs: no answer in {timeout:g} s'
        status = child.wait()
    return f'crashes: {signal.Signals(-status).name}' if status < 0 else f'ends the interpreter with status {status}'


def _forward(stream: IO[str], lines: 'queue.Queue[str | None]') -> None:
    for line in stream:
        if line.startswith(_MARK):
            lines.put(line[len(_MARK) :])
    lines.put(None)


def _give_up(culprit: str, death: str, findings: dict[str, Finding]) -> None:
    """Note what killed the child, and what is not worth trying without it."""
    findings[culprit] = Finding(culprit, installed_version(culprit), death)
    for name, needs in NEEDS.items():
        if culprit in needs and name not in findings:
            findings[name] = Finding(name, installed_version(name), f'not tried: it needs {culprit}')


def _probe(name: str) -> Finding:
    finding = Finding(name, installed_version(name))
    try:
        finding.facts = _PROBES.get(name, _import)(name)
        finding.version = finding.facts.pop('version', None) or finding.version
    except BaseException as error:  # a library may raise anything, SystemExit included
        lines = str(error).strip().splitlines()
        finding.error = f'{type(error).__name__}: {lines[0][:300]}' if lines else type(error).__name__
        finding.missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return finding


def _import(name: str) -> dict[str, Any]:
    module = import_module(name)
    return {'version': getattr(module, '__version__', None), 'file': getattr(module, '__file__', None)}


def _probe_cv2(name: str) -> dict[str, Any]:
    facts = _import(name)
    numpy, cv2 = import_module('numpy'), import_module('cv2')
    cv2.resize(numpy.zeros((4, 4, 3), dtype=numpy.uint8), (2, 2))
    return facts


def _probe_torch(name: str) -> dict[str, Any]:
    facts = _import(name)
    torch = import_module('torch')
    with suppress(ImportError):  # a broken numpy is its own finding
        torch.from_numpy(import_module('numpy').ones(2)).numpy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        facts['cuda_available'] = torch.cuda.is_available()
    facts['cuda_build'] = torch.version.cuda
    facts['cuda_warning'] = str(caught[0].message).splitlines()[0] if caught else None
    facts['devices'] = [_probe_device(torch, index) for index in range(torch.cuda.device_count())]
    return facts


def _probe_device(torch: Any, index: int) -> dict[str, Any]:
    """Name, memory in GiB and compute capability of a GPU, and the error of a first sum on it."""
    properties = torch.cuda.get_device_properties(index)
    device = {
        'name': properties.name,
        'memory_gib': round(properties.total_memory / 2**30, 1),
        'capability': f'{properties.major}.{properties.minor}',
        'error': None,
    }
    try:
        torch.ones(2, device=f'cuda:{index}').sum().item()
    except Exception as error:
        device['error'] = f'{type(error).__name__}: {str(error).strip().splitlines()[0]}'
    return device


def _probe_torchvision(name: str) -> dict[str, Any]:
    facts = _import(name)
    torch, torchvision = import_module('torch'), import_module('torchvision')
    torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)
    return facts


def _probe_mmcv_ops(name: str) -> dict[str, Any]:
    """Which operators are compiled and which are served, after one call of nms."""
    torch, operators = import_module('torch'), import_module(name)
    operators.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)
    spec = import_module(mmcv_ops.EXTENSION).__spec__
    served = spec is not None and spec.origin == mmcv_ops.SERVED_BY
    names = [operator for group in mmcv_ops.OPERATORS.values() for operator in group]
    return {'operators': dict.fromkeys(names, 'served' if served else 'compiled')}


def _probe_mmdet(name: str) -> dict[str, Any]:
    facts = _import(name)
    for part in ('models', 'datasets', 'evaluation'):
        import_module(f'{name}.{part}')
    return facts


def _probe_open_clip(name: str) -> dict[str, Any]:
    """Only its vocabulary file is used: no import."""
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    for folder in spec.submodule_search_locations or []:
        vocabulary = Path(folder) / 'bpe_simple_vocab_16e6.txt.gz'
        if vocabulary.is_file():
            return {'clip_vocabulary': str(vocabulary)}
    raise FileNotFoundError("CLIP's vocabulary bpe_simple_vocab_16e6.txt.gz is not in the package")


def _probe_fgdet(name: str) -> dict[str, Any]:
    facts = _import(name)
    package = import_module(name)
    for public in package.__all__:  # each loads the libraries that it stands on
        getattr(package, public)
    return facts


_PROBES: dict[str, Callable[[str], dict[str, Any]]] = {
    'cv2': _probe_cv2,
    'torch': _probe_torch,
    'torchvision': _probe_torchvision,
    'mmcv.ops': _probe_mmcv_ops,
    'mmdet': _probe_mmdet,
    'open_clip': _probe_open_clip,
    'fgdet': _probe_fgdet,
}
