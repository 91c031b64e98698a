"""Gradients of a model whose weights are spread over the processes, and of the few that are not."""

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.distributed.tensor import DTensor

from fgdet.registry import OPTIM_WRAPPERS
from fgdet.utils.checks import UserError


@OPTIM_WRAPPERS.register_module()
class FSDPOptimWrapper(OptimWrapper):
    """An optimiser for :class:`~fgdet.engine.strategies.fsdp.FSDPStrategy`.

    FSDP averages the gradients of what it shards; it shards no scalar, so that those are averaged here.
    """

    def backward(self, loss: Tensor, **kwargs: bool) -> None:
        """Backward pass, after which every rank holds the mean of the ranks' gradients.

        A gradient that was averaged before (accumulation) is equal on all ranks, and averaging keeps it.
        """
        super().backward(loss, **kwargs)
        whole = [p for p in self._parameters() if p.requires_grad and not isinstance(p, DTensor)]
        if not whole or not dist.is_initialized():
            return
        grads = torch.stack([torch.zeros_like(p) if p.grad is None else p.grad for p in whole])
        dist.all_reduce(grads)
        for parameter, grad in zip(whole, grads / dist.get_world_size(), strict=True):
            parameter.grad = grad.clone()

    def _clip_grad(self) -> None:
        """Clip by the norm over all parameters, shards and scalars, as one process would."""
        settings = self.clip_grad_kwargs
        if self.grad_name != 'grad_norm' or settings.get('norm_type', 2) != 2:
            raise UserError(f'optim_wrapper.clip_grad: FSDP clips by the 2-norm, dict(max_norm=...), got {settings}')
        grads = [p.grad for p in self._parameters() if p.grad is not None]
        squares = [_local(grad).square().sum() * (isinstance(grad, DTensor) or dist.get_rank() == 0) for grad in grads]
        total = torch.stack(squares).sum()
        dist.all_reduce(total)
        norm = total.sqrt()
        factor = (settings['max_norm'] / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
        for grad in grads:
            _local(grad).mul_(factor)
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group['params']]


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
