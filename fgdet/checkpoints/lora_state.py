"""States of models with low-rank adapters, brought back to plain weights.

The adapters are those of :mod:`fgdet.models.layers.lora`; this is all that reading such a checkpoint takes.
"""

from collections.abc import Collection, Mapping

from torch import Tensor

# torch.nn.utils.parametrize keeps the base weight and its adapter under these names.
_BASE, _ADAPTER = '.parametrizations.weight.original', '.parametrizations.weight.0'


def merge_lora_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add each adapter to its base weight, ``W + scale * up @ down``, in float32; a state without any comes back as is.

    Args:
        state: tensors by name; each base weight (O, I) has an ``up`` (O, r), a ``down`` (r, I) and a ``scale`` ().

    Raises:
        ValueError: an adapter is not complete.
    """
    merged = {}
    for name, value in state.items():
        if name.endswith(_BASE):
            prefix = name.removesuffix(_BASE)
            try:
                up, down, scale = (state[f'{prefix}{_ADAPTER}.{part}'] for part in ('up', 'down', 'scale'))
            except KeyError as error:
                raise ValueError(f'the low-rank adapter of {prefix}.weight lacks {error.args[0]}') from error
            update = scale.float() * (up.float() @ down.float())
            merged[f'{prefix}.weight'] = (value.float() + update).to(value.dtype)
        elif _ADAPTER not in name:
            merged[name] = value
    return merged


def base_lora_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The plain weights of a state as if it had no adapters."""
    return {name.replace(_BASE, '.weight'): value for name, value in state.items() if not is_adapter(name)}


def is_adapter(name: str) -> bool:
    """Whether a name in a state is that of a part of an adapter."""
    return _ADAPTER in name


def name_as(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """A state whose plain weights have the names of base weights where a model, of the given names, has adapters.

    What has the model's name already keeps it.
    """
    renamed = {name.removesuffix(_BASE) + '.weight': name for name in names if name.endswith(_BASE)}
    return {renamed.get(name, name): value for name, value in state.items()}
