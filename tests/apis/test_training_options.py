"""Options that make a run faster or smaller, alone and together: the losses are those of the plain run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from fgdet.apis.staged_run import read_scalars
from fgdet.apis.training import train
from fgdet.utils.checks import UserError
from tests.builders import ROOT

STEPS = 4
PLAIN: dict[str, Any] = {
    'default_scope': None,
    'log_level': 'WARNING',
    'model.clip.vision': dict(width=32, num_layers=2, num_heads=2, mlp_width=32, output_dim=16, patch_size=16),
    'model.clip.text': dict(width=32, num_layers=2, num_heads=2, mlp_width=32, output_dim=16),
    'train_dataloader.batch_size': 3,
    'train_cfg.max_iters': STEPS,
    'param_scheduler': None,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
}
# A larger epsilon than usual, so that Adam does not blow up the rounding of a gradient that is nearly zero.
ADAMW = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, eps=1e-4), clip_grad=dict(max_norm=1.0))
CHECKPOINTING = {'model.clip.vision.gradient_checkpointing': True, 'model.clip.text.gradient_checkpointing': True}
FUSED = {'optim_wrapper.optimizer.fused': True}
COMPILED = {'compile.backend': 'aot_eager'}  # all of torch.compile but the writing of machine code, which takes minutes
#: Largest relative difference of a loss: rounding of other sums, and of eight bits of mantissa.
FLOAT32, COMPILED_FLOAT32, BFLOAT16 = 1e-6, 1e-5, 2e-2


def losses(name: str, amp: bool = False, **options: Any) -> torch.Tensor:
    """The losses of a run's steps, (STEPS,)."""
    config = Config.fromfile(ROOT / 'configs/pretrain/tiny_stage2.py')
    config.optim_wrapper = ADAMW
    result = train(config, work_dir=name, amp=amp, cfg_options=PLAIN | options)
    state = torch.load(result['checkpoint'], weights_only=False)
    moments = [moment for values in state['optimizer']['state'].values() for moment in values.values()]
    assert {value.dtype for value in [*state['state_dict'].values(), *moments]} == {torch.float32}
    steps = [step['loss'] for step in read_scalars(Path(name)) if 'loss' in step]
    assert len(steps) == STEPS
    return torch.tensor(steps, dtype=torch.float64)


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    return losses(str(tmp_path_factory.mktemp('plain')))


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


@pytest.mark.filterwarnings('ignore::DeprecationWarning')  # torch.compile's own
@pytest.mark.parametrize(
    ('amp', 'options', 'tolerance'),
    [
        pytest.param(False, CHECKPOINTING, FLOAT32, id='checkpointing'),
        pytest.param(False, FUSED, FLOAT32, id='fused'),
        pytest.param(False, COMPILED, COMPILED_FLOAT32, id='compiled'),
        pytest.param(False, CHECKPOINTING | FUSED | COMPILED, COMPILED_FLOAT32, id='checkpointing-fused-compiled'),
        pytest.param(True, {}, BFLOAT16, id='bfloat16'),
        pytest.param(True, CHECKPOINTING | FUSED | COMPILED, BFLOAT16, id='bfloat16-checkpointing-fused-compiled'),
        pytest.param(
            True,
            CHECKPOINTING | FUSED | {'compile': True},
            BFLOAT16,
            id='bfloat16-checkpointing-fused-machine-code',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_options__losses_equal_the_plain_ones(
    plain: torch.Tensor, amp: bool, options: dict[str, Any], tolerance: float
) -> None:
    torch.compiler.reset()
    ours = losses('run', amp, **options)
    assert ((ours - plain) / plain).abs().max() < tolerance
    assert plain[0] - plain[-1] > 10 * BFLOAT16  # it learns, so that the steps matter
    if amp:
        assert not torch.equal(ours, plain)


def test_compile__names_a_class_that_the_model_has_not() -> None:
    with pytest.raises(UserError, match=r'compile\.modules: the model has no Nothing; name classes that it has'):
        losses('run', False, compile=dict(modules=['Nothing']))
