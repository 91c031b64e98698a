"""The global contrastive loss in tiles: its peak memory at 32,768 pairs, and its time over the plain form at 8,192.

The plain form makes one matrix of logits and takes both cross-entropies from it.
"""

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timing import alternate, num_threads, record
from torch import Tensor

from fgdet.ops.contrastive import contrastive_sum

GIB = 2**30
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
WARM_UP_PAIRS = 64


def run(
    repeats: int = 5, threads: int | None = None, num_pairs: int = 32768, num_timed: int = 8192, dim: int = 512
) -> dict[str, Any]:
    """Measure forward and backward in float32, on a GPU where there is one, else on the CPU (of a Linux machine).

    Args:
        repeats: pairs of alternating runs.
        threads: threads that torch computes with; None: its own choice.
        num_pairs: pairs at which our memory is measured.
        num_timed: pairs at which both forms are timed, and the memory of the plain one is measured.
        dim: length of a feature.

    Returns:
        The record, and the peaks beyond what the process held before, the features and their gradients included:
        ``ours_gib`` at ``num_pairs``, ``theirs_gib`` at ``num_timed``, and by arithmetic ``logits_gib``, the plain
        form's one matrix at ``num_pairs``. ``max_error`` is the largest difference of the loss, or of a gradient
        relative to its largest element.
    """
    with num_threads(threads):
        ours_gib = _in_new_process(_peak_gib, 'ours', num_pairs, dim, torch.get_num_threads())
        theirs_gib = _in_new_process(_peak_gib, 'theirs', num_timed, dim, torch.get_num_threads())
        inputs = _inputs(num_timed, dim)
        ours, theirs = ([value.double() for value in _step(FORMS[name], inputs)] for name in ('ours', 'theirs'))
        error = max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True))
        comparison = alternate(lambda: _step(FORMS['ours'], inputs), lambda: _step(FORMS['theirs'], inputs), repeats)
        settings = dict(num_pairs=num_pairs, num_timed=num_timed, dim=dim, device=DEVICE)
        memory = dict(ours_gib=ours_gib, theirs_gib=theirs_gib, logits_gib=4 * num_pairs**2 / GIB)
        return {**record('contrastive-memory', comparison, error, settings), **memory}


def _tiled(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    return contrastive_sum(images, texts, scale) / len(images)


def _plain(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    logits = scale * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


FORMS: dict[str, Callable[..., Tensor]] = {'ours': _tiled, 'theirs': _plain}


def _inputs(num_pairs: int, dim: int) -> list[Tensor]:
    """Image and text features of pairs that resemble each other a little, and CLIP's first scale, 1 / 0.07."""
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(num_pairs, dim, generator=generator) for _ in range(2)]
    features[1].add_(features[0], alpha=0.3)
    return [x.to(DEVICE).requires_grad_() for x in (*features, torch.tensor(1 / 0.07))]


def _step(form: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """The loss and the gradients."""
    loss = form(*inputs)
    return loss.detach(), *torch.autograd.grad(loss, inputs)


def _in_new_process(function: Callable[..., float], *args: Any) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def _peak_gib(form: str, num_pairs: int, dim: int, threads: int) -> float:
    """Peak of one step beyond what the process held before it made its features."""
    torch.set_num_threads(threads)
    _step(FORMS[form], _inputs(WARM_UP_PAIRS, dim))  # libraries and thread pools are not the loss's
    before = torch.cuda.memory_allocated() if DEVICE == 'cuda' else _resident('VmRSS')
    _step(FORMS[form], _inputs(num_pairs, dim))
    return ((torch.cuda.max_memory_allocated() if DEVICE == 'cuda' else _resident('VmHWM')) - before) / GIB


def _resident(field: str) -> int:
    """Bytes that the process has in memory (``VmRSS``), or had at its peak (``VmHWM``)."""
    match = re.search(rf'{field}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    assert match is not None
    return 1024 * int(match[1])
