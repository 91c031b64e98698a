"""States of models with low-rank adapters, brought back to plain weights.

The adapters are those of :mod:`fgdet.models.layers.lora`; this is all that reading such a checkpoint takes.
"""

from collections.abc import Mapping

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
