"""torch.compile for the parts of a model where it pays."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed.fsdp import FSDPModule

from fgdet.registry import HOOKS
from fgdet.utils.checks import UserError


@HOOKS.register_module()
class CompileModulesHook(Hook):
    """Compiles modules by their class, each by itself, when training starts.

    A whole training step, as mmengine compiles it, is compiled anew for each batch: the texts of a batch are laid out
    in Python, in another shape each time. Modules of one class share what is compiled, so that many blocks take no
    longer than one.

    Args:
        modules: class names. A module that FSDP has wrapped is left out, as its weights come and go; those inside it
            are compiled.
        options: of ``torch.compile``, such as ``backend`` and ``mode``.
    """

    def __init__(self, modules: Sequence[str] = ('TransformerBlock', 'MLP'), **options: Any) -> None:
        self.modules = tuple(modules)
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile; the first steps take longer.

        Raises:
            UserError: the model has no module of these classes.
        """
        found = [
            module
            for module in runner.model.modules()
            if type(module).__name__ in self.modules and not isinstance(module, FSDPModule)
        ]
        if not found:
            raise UserError(f'compile.modules: the model has no {" or ".join(self.modules)}; name classes that it has')
        for module in found:
            module.compile(**self.options)
        runner.logger.info(f'{len(found)} modules are compiled; the first steps take longer')
