"""Fully sharded training: each process keeps a share of the weights, gradients and optimiser (arXiv 2304.11277).

This is torch's second implementation, ``fully_shard``; mmengine's strategy wraps the first, which needs a GPU and
flattens the weights of a block into one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import mmengine
import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import save_checkpoint
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from fgdet.registry import STRATEGIES


@STRATEGIES.register_module()
class FSDPStrategy(DDPStrategy):
    """Shards a model over all processes, on GPUs or on CPUs.

    A checkpoint is the same as that of a run without sharding: whole weights and optimiser, written by rank 0. Either
    kind of run, on any number of processes, goes on from it.

    Args:
        wrap: class names of the modules whose weights are gathered when they are called, and given back after it. The
            rest of the model is gathered once a step.
        param_dtype: what weights are gathered and computed in, such as ``bfloat16``; None for float32. The shards and
            the optimiser stay in float32, and so does the sum of the gradients.
        settings: what mmengine's runner passes on: ``work_dir``, ``experiment_name``, ``env_kwargs``, ``log_kwargs``
            and ``auto_scale_lr``.
    """

    def __init__(
        self, *, wrap: Sequence[str] = ('TransformerBlock',), param_dtype: str | None = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.wrap = tuple(wrap)
        self.precision = MixedPrecisionPolicy(
            param_dtype=getattr(torch, param_dtype) if param_dtype else None, reduce_dtype=torch.float32
        )

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> OptimWrapper:
        """The config's optimiser in a wrapper that averages the scalars' gradients too."""
        return super().build_optim_wrapper(dict(optim_wrapper, type='fgdet.FSDPOptimWrapper'), model)

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Gather the whole state, which all ranks take part in, and write it on rank 0.

        Args:
            filename: where to.
            save_optimizer: whether the optimiser is written.
            save_param_scheduler: whether the schedules are written.
            extra_ckpt: what else is written; mmengine's runner gives ``meta`` and ``message_hub``.
            callback: called with the checkpoint before it is written.
        """
        checkpoint: dict[str, Any] = dict(extra_ckpt or {}, state_dict=_whole(self.model.state_dict()))
        if save_optimizer:
            checkpoint['optimizer'] = _whole(self.optim_wrapper.state_dict())
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        meta = dict(seed=self.seed, time=time.strftime('%Y%m%d_%H%M%S'), mmengine_version=mmengine.__version__)
        checkpoint['meta'] = checkpoint.get('meta', {}) | meta
        if callback is not None:
            callback(checkpoint)
        if is_main_process():
            save_checkpoint(checkpoint, filename)

    def load_checkpoint(
        self, filename: str, *, callback: Callable[[dict[str, Any]], None] | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Load weights, of which each rank keeps its share.

        Args:
            filename: the checkpoint.
            callback: called with the checkpoint before its weights, sharded by then, are loaded.
            settings: mmengine's ``map_location``, ``strict`` and ``revise_keys``.

        Returns:
            what else it holds.
        """

        def shard(checkpoint: dict[str, Any]) -> None:
            own = self.model.state_dict()
            state = checkpoint.get('state_dict', checkpoint)
            checkpoint['state_dict'] = {
                name: _like(value, own.get(name.removeprefix('module.'))) for name, value in state.items()
            }
            if callback is not None:
                callback(checkpoint)

        return super().load_checkpoint(filename, callback=shard, **settings)

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this rank's share of a whole optimiser's state."""
        parameters = [p for group in self.optim_wrapper.optimizer.param_groups for p in group['params']]
        state = {
            index: {name: _like(value, parameters[index]) for name, value in values.items()}
            for index, values in state_dict['state'].items()
        }
        self.optim_wrapper.load_state_dict(dict(state_dict, state=state))

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        model = model.to(get_device())
        mesh = init_device_mesh(get_device(), (get_world_size(),))
        for module in list(model.modules()):
            kind = type(module)
            if kind.__name__ in self.wrap:
                fully_shard(module, mesh=mesh, mp_policy=self.precision)
                for name, member in vars(kind).items():
                    if callable(member) and not name.startswith('_') and name != 'forward':
                        register_fsdp_forward_method(module, name)
        scalars = {parameter for parameter in model.parameters() if parameter.ndim == 0}
        fully_shard(model, mesh=mesh, mp_policy=self.precision, ignored_params=scalars)
        return model


def _whole(state: Any) -> Any:
    """The whole of each sharded tensor on rank 0's CPU; the other ranks help to gather it and keep nothing."""

    def gather(value: Any) -> Any:
        if isinstance(value, DTensor):
            value = value.full_tensor()
        if not isinstance(value, Tensor):
            return value
        return value.cpu() if is_main_process() else None

    return tree_map(gather, dict(state))


def _like(value: Any, parameter: Tensor | None) -> Any:
    """This rank's share of a whole tensor, cut as ``parameter`` is; anything of another shape as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None
    )
