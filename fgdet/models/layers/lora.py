"""Low-rank adapters on linear layers (LoRA, arXiv 2106.09685, section 4.1).

Axes: O outputs, I inputs, r rank.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.utils import parametrize

#: The linear layers of a transformer block that get adapters: the fused q, k, v and the output of attention.
ATTENTION = ('attention.qkv', 'attention.out')


class LowRankUpdate(nn.Module):
    """A weight seen as ``W + alpha / r * up @ down``, of which ``up`` and ``down`` learn.

    ``up`` starts at zero, so the start equals the base exactly; ``down`` starts as a linear layer does. Under autocast
    the product is rounded, but the sum is formed in the weight's own precision: no small update is lost there.

    Args:
        weight: the base weight (O, I).
        rank: r, at least 1.
        alpha: the update is scaled by alpha / r, so that the rank can change while the learning rate stays.

    Attributes:
        enabled: False lets the base weight through as it is.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.enabled = True
        outputs, inputs = weight.shape
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)
        self.register_buffer('scale', weight.new_tensor(alpha / rank))  # stored, so that a checkpoint says it all

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight, (O, I) -> (O, I)."""
        return weight + self.scale * (self.up @ self.down) if self.enabled else weight


def add_lora_(module: nn.Module, rank: int, alpha: float, targets: Sequence[str] = ATTENTION) -> list[str]:
    """Freeze a module and give low-rank adapters to its linear layers, in place.

    An adapter stands on the weight itself, so it acts however the weight is read, also in part, and costs a product of
    (O, r) and (r, I) at each read. A state dict then holds the base, ``up`` and ``down`` by names of their own;
    :func:`fgdet.checkpoints.lora_state.merge_lora_state` makes plain weights of it, :func:`merge_lora_` of the module.

    Args:
        module: any module; none of its own parameters learns any more.
        rank: r of each adapter, at least 1.
        alpha: scale of the updates times r, above 0.
        targets: how the names of the linear layers end.

    Returns:
        the names of the layers with adapters.

    Raises:
        ValueError: rank or alpha is out of range, or a target fits no linear layer.
    """
    if rank < 1 or alpha <= 0:
        raise ValueError(f'LoRA needs rank at least 1 and alpha above 0, got rank={rank} and alpha={alpha}')
    linear = {name: child for name, child in module.named_modules() if isinstance(child, nn.Linear)}
    chosen = {target: [name for name in linear if f'.{name}'.endswith(f'.{target}')] for target in targets}
    if not chosen or not all(chosen.values()):
        endings = sorted({'.'.join(name.split('.')[-2:]) for name in linear})
        raise ValueError(f'LoRA targets must end names of linear layers, such as {endings}; got {list(targets)}')
    module.requires_grad_(False)
    names = sorted({name for found in chosen.values() for name in found})
    for name in names:
        update = LowRankUpdate(linear[name].weight, rank, alpha)
        parametrize.register_parametrization(linear[name], 'weight', update)
    return names


def merge_lora_(module: nn.Module) -> None:
    """Write the adapters into the weights and take them off, in place; the weights stay frozen."""
    for child in list(module.modules()):
        if _adapters(child):
            parametrize.remove_parametrizations(child, 'weight', leave_parametrized=True)


@contextmanager
def lora_disabled(module: nn.Module) -> Iterator[None]:
    """Within it the module computes with its base weights alone."""
    adapters = [adapter for child in module.modules() for adapter in _adapters(child)]
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.enabled = True


def _adapters(module: nn.Module) -> list[LowRankUpdate]:
    """The adapters on a module's own weight."""
    if not parametrize.is_parametrized(module, 'weight'):
        return []
    return [each for each in module.parametrizations['weight'] if isinstance(each, LowRankUpdate)]  # type: ignore[index]
