"""Frozen weights: out of the optimiser, out of the buckets of data-parallel training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fgdet.engine.optimizers.trainable import TrainableOptimWrapperConstructor
from fgdet.models.backbones.clip_vit import CLIPViTBackbone
from fgdet.models.necks.simple_feature_pyramid import SimpleFeaturePyramid
from fgdet.utils.checks import UserError
from tests.builders import TINY_VISION

OPTIONS: dict[str, dict[str, Any]] = {
    'frozen': {},
    'unfrozen': dict(unfreeze_last=1),
    'lora': dict(lora=dict(rank=2)),
    'whole': dict(frozen=False),
}


class Tapped(nn.Module):
    """A tower and a pyramid, as in a detector."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = CLIPViTBackbone(vision=TINY_VISION | dict(num_layers=3), out_indices=(0, 1), **options)
        self.neck = SimpleFeaturePyramid(32, scales=(2, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.stack([level.square().mean() for level in self.neck(self.backbone(pixels, dense=False))]).sum()


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build(model: nn.Module, paramwise: dict[str, Any] | None = None) -> OptimWrapper:
    config = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1))
    return TrainableOptimWrapperConstructor(config, paramwise)(model)


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('paramwise', [None, dict(norm_decay_mult=0.0)])
def test_optimizer__holds_what_learns_and_nothing_else(
    options: str, paramwise: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', said.append)
    model = Tapped(**OPTIONS[options])
    names = [name for name, _ in model.named_parameters()]
    groups = build(model, paramwise).optimizer.param_groups
    held = [parameter for group in groups for parameter in group['params']]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in learned(model).values()}
    assert len(held) == len(learned(model)) and not said
    assert [name for name, _ in model.named_parameters()] == names  # the model is as it was, order included
    if paramwise:
        norms = {id(model.neck.levels[0][0].weight)}  # type: ignore[index]
        assert all((group['weight_decay'] == 0) for group in groups if {id(p) for p in group['params']} & norms)


def test_optimizer__a_learning_rate_for_the_tower() -> None:
    model = Tapped(lora=dict(rank=2))
    groups = build(model, dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    for name, parameter in learned(model).items():
        assert rates[id(parameter)] == pytest.approx(1e-3 if name.startswith('backbone.') else 1e-2)


def test_optimizer__nothing_to_train() -> None:
    with pytest.raises(UserError, match='every parameter of the model is frozen'):
        build(Tapped().requires_grad_(False))


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A group of one process: the wrapper looks at its parameters as it does among many."""
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures('group')
@pytest.mark.parametrize('options', OPTIONS)
def test_data_parallel__reduces_what_learns_and_steps_as_one_process(options: str) -> None:
    pixels = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    alone, model = Tapped(**OPTIONS[options]), Tapped(**OPTIONS[options])
    wrapped = DistributedDataParallel(model)
    assert wrapped._get_ddp_logging_data()['num_parameter_tensors'] == len(learned(model))
    ours, theirs = build(model), build(alone)
    for _ in range(2):  # a parameter that it reduces and that got no gradient would stop the second step
        ours.update_params(wrapped(pixels))
        theirs.update_params(alone(pixels))
    for (name, parameter), expected in zip(model.named_parameters(), alone.parameters(), strict=True):
        assert torch.equal(parameter, expected), name


@pytest.mark.usefixtures('group')
def test_data_parallel__tells_of_a_parameter_without_gradient() -> None:
    model = Tapped()
    model.backbone.visual.projection.requires_grad_(True)
    wrapped = DistributedDataParallel(model)
    wrapped(torch.zeros(1, 3, 32, 32)).backward()
    with pytest.raises(RuntimeError, match='Expected to have finished reduction in the prior iteration'):
        wrapped(torch.zeros(1, 3, 32, 32))
