"""Optimisers that know nothing of frozen weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from fgdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from fgdet.utils.checks import UserError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with all its ``paramwise_cfg``, for the parameters that take a gradient alone.

    mmengine's hands every parameter to the optimiser where ``paramwise_cfg`` is empty, and else warns of each frozen
    one: hundreds of lines for a frozen tower. Frozen parameters in a group are more than idle: gradient clipping and
    checkpoints walk over them, and what is unfrozen later would start to move unasked.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The wrapped optimiser.

        Raises:
            UserError: nothing in the model takes a gradient.
        """
        parameters = list(model.parameters())
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        if not learned:
            raise UserError('optim_wrapper: every parameter of the model is frozen; there is nothing to train')
        some, all_ = (sum(parameter.numel() for parameter in each) / 1e6 for each in (learned, parameters))
        print_log(
            f'{len(learned)} of {len(parameters)} parameters learn, {some:.2f} of {all_:.2f} million numbers', 'current'
        )
        with _frozen_hidden(model):
            return super().__call__(model)


@contextmanager
def _frozen_hidden(model: nn.Module) -> Iterator[None]:
    """Within it no module of the model names a parameter that is frozen."""
    whole = [(module._parameters, dict(module._parameters)) for module in model.modules()]
    try:
        for own, parameters in whole:
            for name, parameter in parameters.items():
                if parameter is not None and not parameter.requires_grad:
                    del own[name]
        yield
    finally:
        for own, parameters in whole:
            own.clear()
            own.update(parameters)
