"""The import hook that gives mmcv its operators where it was installed without compiled ones.

``onedl-mmcv`` is a source package: installed the ordinary way it has no ``mmcv._ext``, and then ``import mmcv.ops``, so
mmdet, fails. The finder here answers for ``mmcv._ext`` with a module whose functions have the signatures of mmcv's C++
bindings and compute with torchvision's kernels and plain torch. It is *appended* to ``sys.meta_path``, so a compiled
extension is found first and wins by itself.

Nothing heavy is imported before something asks for ``mmcv._ext``.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

EXTENSION = 'mmcv._ext'
SERVED_BY = 'fgdet.compat.mmcv_ops'  # the origin in the served module's __spec__
NO_COMPILER = 'none: served by fgdet'  # in mmcv's environment report

# What is served: the module that defines it, and its names in mmcv's C++ bindings.
OPERATORS = {
    'fgdet.compat.suppression': ('nms', 'softnms'),
    'fgdet.compat.region_pooling': (
        'roi_align_forward',
        'roi_align_backward',
        'roi_pool_forward',
        'roi_pool_backward',
    ),
    'fgdet.compat.deformable_convolution': (
        'deform_conv_forward',
        'deform_conv_backward_input',
        'deform_conv_backward_parameters',
        'modulated_deform_conv_forward',
        'modulated_deform_conv_backward',
    ),
    'fgdet.compat.deformable_attention': ('ms_deform_attn_forward', 'ms_deform_attn_backward'),
    'fgdet.compat.focal_loss': ('sigmoid_focal_loss_forward', 'sigmoid_focal_loss_backward'),
}

# Without build isolation mmcv's set-up finds torch and compiles; pip's cache would return the wheel without operators.
COMPILE_COMMAND = (
    "pip install 'setuptools>=80' wheel ninja && "
    'pip install --no-build-isolation --no-deps --no-cache-dir --force-reinstall '
    '--no-binary onedl-mmcv onedl-mmcv==2.3.6'
)


class ServedExtensionLoader(Loader):
    """Fills the module ``mmcv._ext`` with the served operators."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Raises ImportError, naming the command that mends it, when torchvision cannot be imported."""
        try:
            import_module('torchvision')
        except Exception as error:
            raise ImportError(
                'mmcv has no compiled operators, and torchvision, which would serve them, cannot be imported '
                f'({type(error).__name__}: {error}); `fgdet doctor` names the command that mends it'
            ) from error
        for source, names in OPERATORS.items():
            operators = import_module(source)
            for name in names:
                setattr(module, name, getattr(operators, name))
        for name in ('get_compiler_version', 'get_compiling_cuda_version'):
            setattr(module, name, lambda: NO_COMPILER)
        module.__getattr__ = not_served  # type: ignore[method-assign]


class ServedExtensionFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` for an mmcv that has none."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, ServedExtensionLoader(), origin=SERVED_BY)


def install_finder() -> None:
    """Append the finder to ``sys.meta_path``, once."""
    if not any(isinstance(finder, ServedExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.append(ServedExtensionFinder())


def not_served(name: str) -> Callable[..., None]:
    """Module-level ``__getattr__`` of the served extension.

    mmcv checks at import that the extension has every function it may call, so each name exists; calling one that is
    not served raises NotImplementedError with the operator's name and how to get it.
    """
    if name.startswith('_'):
        raise AttributeError(f"module '{EXTENSION}' has no attribute '{name}'")

    def operator(*args: object, **kwargs: object) -> None:
        raise not_covered(name)

    operator.__name__ = name
    return operator


def not_covered(operator: str) -> NotImplementedError:
    """The error that names ``operator`` and the command that compiles mmcv."""
    return NotImplementedError(
        f"mmcv's operator {operator} is not among those that fgdet serves without a compiler; compile mmcv "
        f'(minutes, needs a C++ compiler, and nvcc for a GPU): {COMPILE_COMMAND}'
    )
