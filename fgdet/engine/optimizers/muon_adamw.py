"""Muon for the matrices of a transformer's blocks, AdamW for everything else, as one optimiser.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) steps along the orthogonalised momentum of a weight matrix;
embeddings, projections to the shared space, biases, norms and scales stay with AdamW, as its author advises.
"""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from fgdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from fgdet.utils.checks import UserError


class MuonAdamW(torch.optim.Optimizer):
    """torch's Muon and AdamW behind one interface: one list of groups, one state dict.

    Args:
        matrices: parameters of two dimensions, for Muon.
        others: groups (dicts with ``params`` and ``weight_decay``) for AdamW.
        lr: AdamW's learning rate.
        muon_lr: Muon's learning rate.
        weight_decay: Muon's decoupled weight decay.
        betas: AdamW's two averages.
        momentum: Muon's momentum.

    Raises:
        UserError: the installed torch has no Muon (before 2.9).
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[dict[str, Any]],
        lr: float,
        muon_lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        momentum: float = 0.95,
    ) -> None:
        if not hasattr(torch.optim, 'Muon'):
            raise UserError(f'Muon needs torch 2.9 or later, this is {torch.__version__}: pip install torch==2.11.0')
        muon_group = dict(params=matrices, lr=muon_lr, initial_lr=muon_lr, weight_decay=weight_decay)
        super().__init__([muon_group, *(dict(group, lr=lr, initial_lr=lr) for group in others)], dict(lr=lr))
        self.muon = torch.optim.Muon(
            self.param_groups[:1], lr=muon_lr, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn='original'
        )
        self.adamw = torch.optim.AdamW(self.param_groups[1:], lr=lr, betas=betas, fused=True)
        # One dict serves both views of a group, so that a learning-rate schedule reaches the optimiser that steps.
        self.param_groups = self.muon.param_groups + self.adamw.param_groups

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()
        self.adamw.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both states, under ``muon`` and ``adamw``."""
        return dict(muon=self.muon.state_dict(), adamw=self.adamw.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.muon.load_state_dict(state_dict['muon'])
        self.adamw.load_state_dict(state_dict['adamw'])
        self.param_groups = self.muon.param_groups + self.adamw.param_groups


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MuonConstructor:
    """Build a :class:`MuonAdamW` for a model whose transformer blocks stand in lists called ``blocks``.

    Args:
        optim_wrapper_cfg: the wrapper's type and arguments; its ``optimizer`` holds ``lr``, ``muon_lr``,
            ``weight_decay``, ``betas`` and optionally ``momentum``.
        paramwise_cfg: must be empty: norms, biases and scalars never decay here.

    Raises:
        ValueError: ``paramwise_cfg`` is not empty.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        if paramwise_cfg:
            raise ValueError(f'paramwise_cfg has no effect with MuonConstructor, got {paramwise_cfg}')
        self.wrapper = {key: value for key, value in optim_wrapper_cfg.items() if key != 'optimizer'}
        self.optimizer = {key: value for key, value in optim_wrapper_cfg['optimizer'].items() if key != 'type'}

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The wrapped optimiser over the parameters that need a gradient."""
        matrices: list[nn.Parameter] = []
        decay: list[nn.Parameter] = []
        no_decay: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.ndim == 2 and '.blocks.' in name:
                matrices.append(parameter)
            else:
                (decay if parameter.ndim > 1 else no_decay).append(parameter)
        groups = [
            dict(params=decay, weight_decay=self.optimizer['weight_decay']),
            dict(params=no_decay, weight_decay=0.0),
        ]
        optimizer = MuonAdamW(matrices, [group for group in groups if group['params']], **self.optimizer)
        return OPTIM_WRAPPERS.build(dict(type='OptimWrapper') | self.wrapper | dict(optimizer=optimizer))
