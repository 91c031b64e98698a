"""What a machine does at most, and how much of it a piece of work is: a roofline from measured products and copies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import alternate
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from fgdet.utils.files import write_text


def machine_limits(device: torch.device) -> dict[str, float]:
    """Measured: ``gflops``, 10^9 operations a second of a float32 product of matrices with the threads and the
    precision that torch is set to, and ``gb_per_second``, bytes that a copy reads and writes."""
    side, length = (8192, 2**28) if device.type == 'cuda' else (1536, 2**25)
    matrix, source = torch.randn(side, side, device=device), torch.empty(length, device=device)
    target = torch.empty_like(source)
    seconds = alternate(lambda: matrix @ matrix, lambda: target.copy_(source), repeats=5)
    return {'gflops': 2e-9 * side**3 / min(seconds.ours), 'gb_per_second': 8e-9 * length / min(seconds.theirs)}


def traffic(work: Callable[[], Any], seconds: float, limits: dict[str, float]) -> dict[str, float]:
    """What a piece of work does for its time.

    Args:
        work: what is counted, once.
        seconds: that it takes.
        limits: of :func:`machine_limits`.

    Returns:
        ``gflop`` (products, convolutions and attention, as torch counts them), ``gb`` (the operands and results of
        every operator, as if nothing stayed in a cache), what that is a second, and its ``share_of_gflops`` and
        ``share_of_gb_per_second`` of the limits. The larger share is the narrower way; a share of bytes above 1 was
        served by caches.
    """
    on_cpu = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}  # torch forgot it
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as flops, _ByteCounter() as counter:
        work()
    gflop, gigabytes = 1e-9 * flops.get_total_flops(), 1e-9 * counter.total
    return {
        'gflop': gflop,
        'gb': gigabytes,
        'gflops': gflop / seconds,
        'gb_per_second': gigabytes / seconds,
        'share_of_gflops': gflop / seconds / limits['gflops'],
        'share_of_gb_per_second': gigabytes / seconds / limits['gb_per_second'],
        **{f'limit_{name}': value for name, value in limits.items()},
    }


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Shapes -> operations."""
    return sdpa_flop_count(query, key, value)


class _ByteCounter(TorchDispatchMode):
    """Adds up the bytes that operators read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.total += sum(each.numel() * each.element_size() for each in tensors)
        return result


def write_profile(path: Path, work: Callable[[], Any], rows: int = 25) -> None:
    """Write torch's table of the operators that take longest by themselves."""
    activities, key = [ProfilerActivity.CPU], 'self_cpu_time_total'
    if torch.cuda.is_available():
        activities, key = [*activities, ProfilerActivity.CUDA], 'self_cuda_time_total'
    with profile(activities=activities, acc_events=True) as measured:
        work()
    write_text(path, measured.key_averages().table(sort_by=key, row_limit=rows))
