"""Names for the content of weights: what is computed from them can be kept under such a name."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_fingerprint(module_or_state: nn.Module | Mapping[str, Tensor]) -> str:
    """The SHA-256 of a state: the name, type, shape and bytes of each tensor, whatever the order and the device.

    Equal states have equal fingerprints on every machine of the same byte order; a state that differs in one bit has
    another. It reads all bytes once, at about 1 GB/s where the processor knows SHA-256, a third of that elsewhere:
    compute it once for a set of weights. What a module keeps out of its state, such as settings, is not in it.

    Args:
        module_or_state: a module, of which the state dict counts, or tensors by name.

    Returns:
        64 hexadecimal digits.
    """
    state = module_or_state.state_dict() if isinstance(module_or_state, nn.Module) else module_or_state
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach()
        digest.update(f'{name!r} {value.dtype} {tuple(value.shape)}\n'.encode())
        digest.update(tensor_bytes(value))
    return digest.hexdigest()


def tensor_bytes(value: Tensor) -> memoryview:
    """The bytes of a tensor in the order of its elements; not copied where it lies on the CPU without gaps."""
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
