"""The training step: features meet losses, every parameter learns, and a loss that is no number stops it."""

import math
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from torch import Tensor
from torch.nn.functional import normalize

from fgdet.models.losses.hard_negative import HardNegativeLoss
from fgdet.models.losses.image_text_contrastive import ImageTextContrastiveLoss
from fgdet.models.losses.region_text_contrastive import RegionTextContrastiveLoss
from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer
from fgdet.registry import MODELS
from fgdet.utils.checks import NonFiniteLossError, UserError
from tests.builders import ROOT, TINY_TEXT, TINY_VISION, region_batch, tiny_clip, tiny_pretrainer


def losses_of(pretrainer: FGCLIPPretrainer, batch: dict[str, Any]) -> dict[str, Tensor]:
    return pretrainer(**pretrainer.data_preprocessor(batch, True), mode='loss')


def sgd(pretrainer: FGCLIPPretrainer, lr: float = 0.1) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(pretrainer.parameters(), lr=lr))


def test_loss__each_term_from_features_encoded_one_by_one() -> None:
    """No batching of texts, no sharing of equal ones, no dense map kept: the plain way to the same numbers."""
    pretrainer = tiny_pretrainer()
    batch = pretrainer.data_preprocessor(region_batch((2, 0, 3), (), (1,)), True)
    clip, samples = pretrainer.clip, batch['data_samples']
    images = clip.encode_image(batch['inputs'])
    boxes = [(i, box) for i, s in enumerate(samples) for box in s.boxes]
    regions = torch.cat([clip.encode_regions(batch['inputs'][i : i + 1], [box[None]]) for i, box in boxes])
    encode = lambda ids, long=False: torch.cat([clip.encode_text(row[None], long=long) for row in ids])  # noqa: E731
    phrases, hard = (encode(torch.cat([getattr(s, name) for s in samples])) for name in ('region_ids', 'hard_ids'))
    scale, region_scale, hard_scale = (
        s.exp() for s in (clip.logit_scale, clip.logit_scale_region, clip.logit_scale_hard_negative)
    )
    expected = dict(
        loss_long=ImageTextContrastiveLoss()(images, encode([s.long_ids for s in samples], True), scale),
        loss_short=ImageTextContrastiveLoss()(images, encode([s.short_ids for s in samples]), scale),
        loss_region=RegionTextContrastiveLoss(0.1)(regions, phrases, region_scale),
        # Regions 0 and 2 of the first image and region 0 of the third, the fourth of all.
        loss_hard_negative=HardNegativeLoss(0.5)(regions[[0, 2, 3]], hard, torch.tensor([3, 4, 2]), hard_scale),
    )
    torch.testing.assert_close(pretrainer(**batch, mode='loss'), expected, rtol=1e-5, atol=1e-6)


def test_loss__every_parameter_gets_a_gradient_in_stage_2() -> None:
    pretrainer = tiny_pretrainer()
    total, _ = pretrainer.parse_losses(losses_of(pretrainer, region_batch((2, 0, 3), (1, 1))))
    total.backward()
    for name, parameter in pretrainer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_loss__every_parameter_that_learns_gets_a_gradient_in_stage_1() -> None:
    pretrainer = tiny_pretrainer(regions=False)
    losses = losses_of(pretrainer, region_batch((2,), (1,)))
    assert losses.keys() == {'loss_long', 'loss_short'}
    pretrainer.parse_losses(losses)[0].backward()
    still = {name for name, p in pretrainer.named_parameters() if not p.requires_grad}
    assert still == {'clip.logit_scale_region', 'clip.logit_scale_hard_negative'}
    assert all(p.grad is not None for p in pretrainer.parameters() if p.requires_grad)


@pytest.mark.parametrize('negatives', [((), ()), ((0,), ()), ((0, 0), (0,)), ((3,), ())])
def test_loss__batches_without_regions_or_negatives_are_finite_and_reach_every_parameter(
    negatives: tuple[tuple[int, ...], ...],
) -> None:
    pretrainer = tiny_pretrainer()
    losses = losses_of(pretrainer, region_batch(*negatives))
    pretrainer.parse_losses(losses)[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pretrainer.parameters())
    if not any(n for image in negatives for n in image):
        assert losses['loss_hard_negative'].item() == 0
    if not any(negatives):
        assert losses['loss_region'].item() == 0


def test_loss__box_without_area_gives_no_nan() -> None:
    pretrainer = tiny_pretrainer()
    batch = region_batch((2, 0), (1,))
    batch['data_samples'][0].boxes[0] = torch.tensor([8.0, 8.0, 8.0, 8.0])
    total, _ = pretrainer.parse_losses(losses_of(pretrainer, batch))
    total.backward()
    assert all(p.grad.isfinite().all() for p in pretrainer.parameters())


def test_loss__equal_phrases_are_told_apart_only_where_asked() -> None:
    batch = region_batch((0, 0), (0,))
    for sample in batch['data_samples']:
        sample.region_ids[:] = batch['data_samples'][0].region_ids[:1]  # one phrase for all
    aware, official = (losses_of(tiny_pretrainer(duplicate_aware=d), batch)['loss_region'] for d in (True, False))
    assert aware.item() == 0 and official.item() > 0.05


def test_loss__one_image_of_any_shape() -> None:
    pretrainer = tiny_pretrainer()
    batch = region_batch((1, 0))
    batch['inputs'] = [torch.zeros(3, 40, 72, dtype=torch.uint8)]
    assert pretrainer.parse_losses(losses_of(pretrainer, batch))[0].isfinite()


def test_loss__gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        pretrainer = tiny_pretrainer()
        pretrainer.clip.visual.gradient_checkpointing = pretrainer.clip.text.gradient_checkpointing = checkpointing
        pretrainer.parse_losses(losses_of(pretrainer, region_batch((2, 0), (1,))))[0].backward()
        gradients.append([p.grad for p in pretrainer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_train_step__lowers_the_loss() -> None:
    pretrainer, batch = tiny_pretrainer(), region_batch((2, 0), (1,))
    optimizer = OptimWrapper(torch.optim.AdamW(pretrainer.parameters(), lr=1e-3))
    history = [pretrainer.train_step(batch, optimizer)['loss'].item() for _ in range(15)]
    assert history[-1] < 0.6 * history[0]


def test_train_step__scales_stay_within_their_bounds() -> None:
    pretrainer, batch = tiny_pretrainer(max_logit_scale=20.0), region_batch((2, 0), (1,))
    with torch.no_grad():
        pretrainer.clip.logit_scale.fill_(5.0)
        pretrainer.clip.logit_scale_region.fill_(-1.0)
    pretrainer.train_step(batch, sgd(pretrainer, lr=0.0))
    assert pretrainer.clip.logit_scale.item() == pytest.approx(math.log(20))
    assert pretrainer.clip.logit_scale_region.item() == 0


def test_train_step__no_bound_leaves_the_scales_free() -> None:
    pretrainer = tiny_pretrainer(max_logit_scale=None)
    with torch.no_grad():
        pretrainer.clip.logit_scale.fill_(5.0)
    pretrainer.train_step(region_batch((2,), (1,)), sgd(pretrainer, lr=0.0))
    assert pretrainer.clip.logit_scale.item() == 5.0


def test_train_step__loss_that_is_no_number_names_the_batch_and_changes_nothing() -> None:
    pretrainer = tiny_pretrainer()
    with torch.no_grad():
        pretrainer.clip.logit_scale_region.fill_(math.nan)
    before = {name: p.clone() for name, p in pretrainer.state_dict().items()}
    with pytest.raises(NonFiniteLossError, match=r'loss_region=nan.*batch of 2 samples') as caught:
        pretrainer.train_step(region_batch((2,), (1,)), sgd(pretrainer))
    assert caught.value.keys == ['sample0', 'sample1']
    assert math.isnan(caught.value.losses['loss_region']) and math.isfinite(caught.value.losses['loss_long'])
    after = pretrainer.state_dict()
    assert all(torch.equal(p, after[name]) or name.endswith('scale_region') for name, p in before.items())


def test_loss__autocast_to_bfloat16_stays_close() -> None:
    pretrainer, batch = tiny_pretrainer(), region_batch((2, 0), (1,))
    exact = losses_of(pretrainer, batch)
    with torch.autocast('cpu', torch.bfloat16):
        half = losses_of(pretrainer, batch)
    for name, value in exact.items():
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.03), name


def test_train_step__bfloat16_keeps_float32_weights_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmengine's wrapper refuses a CPU, but only there: told that there is a GPU, it works on one."""
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True)
    pretrainer, batch = tiny_pretrainer(), region_batch((2, 0), (1,))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # a loss scale has no effect without a GPU
        optimizer = AmpOptimWrapper(dtype='bfloat16', optimizer=torch.optim.AdamW(pretrainer.parameters(), lr=1e-3))
    seen = []
    pretrainer.clip.visual.blocks[0].attention.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    history = [pretrainer.train_step(batch, optimizer)['loss'].item() for _ in range(10)]
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in pretrainer.parameters()} == {torch.float32}
    assert history[-1] < 0.8 * history[0]


@pytest.mark.parametrize(
    ('changes', 'learning'),
    [
        (dict(frozen=('visual',)), r'text\.|logit_scale'),
        (dict(frozen=('visual', 'logit_scale')), r'text\.|logit_scale_'),
        (dict(lora=dict(rank=2, alpha=4.0)), r'(visual|text)\.blocks\..*\.(up|down)$|logit_scale'),
        (dict(frozen=('visual',), lora=dict(rank=2, alpha=4.0, towers=('text',))), r'text\..*(up|down)$|logit_scale'),
    ],
)
def test_finetuning__only_what_is_said_learns_and_all_of_it_gets_a_gradient(changes: dict, learning: str) -> None:
    pretrainer = tiny_pretrainer(**changes)
    pretrainer.clip.visual.gradient_checkpointing = pretrainer.clip.text.gradient_checkpointing = True
    pretrainer.parse_losses(losses_of(pretrainer, region_batch((2, 0), (1,))))[0].backward()
    for name, parameter in pretrainer.clip.named_parameters():
        assert parameter.requires_grad == bool(re.match(learning, name)), name
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_finetuning__adapters_stay_out_of_the_optimisers_way() -> None:
    """Groups as the configs make them: no frozen weight in any."""
    pretrainer = tiny_pretrainer(lora=dict(rank=2, alpha=4.0))
    config = Config.fromfile(ROOT / 'configs/_base_/schedules/pretrain_adamw.py').optim_wrapper
    groups = build_optim_wrapper(pretrainer, config).optimizer.param_groups
    assert all(parameter.requires_grad for group in groups for parameter in group['params'])
    assert sum(len(group['params']) for group in groups) == sum(p.requires_grad for p in pretrainer.parameters())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(frozen=('vision',)), "no part of FG-CLIP is called 'vision'.*text, visual"),
        (dict(lora=dict(rank=2, alpha=4.0, towers=('image',))), r"'visual', 'text' or both, got \['image'\]"),
    ],
)
def test_finetuning__wrong_names(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_pretrainer(**changes)


@torch.no_grad()
def test_predict__features_of_each_sample() -> None:
    pretrainer = tiny_pretrainer().eval()
    samples = pretrainer.val_step(region_batch((2, 0), (), (1,)))
    batch = pretrainer.data_preprocessor(region_batch((2, 0), (), (1,)))
    clip = pretrainer.clip
    images = clip.encode_image(batch['inputs'], normalize=True)
    regions = clip.encode_regions(batch['inputs'], [s.boxes for s in samples], normalize=True)
    torch.testing.assert_close(torch.stack([s.image_feature for s in samples]), images)
    torch.testing.assert_close(torch.cat([s.region_features for s in samples]), regions, rtol=1e-5, atol=1e-6)
    assert [len(s.region_features) for s in samples] == [2, 0, 1]
    for s in samples:
        torch.testing.assert_close(s.long_feature, clip.encode_text(s.long_ids[None], long=True, normalize=True)[0])
        torch.testing.assert_close(s.short_feature, clip.encode_text(s.short_ids[None], normalize=True)[0])
        torch.testing.assert_close(s.hard_features, clip.encode_text(s.hard_ids, normalize=True))
        torch.testing.assert_close(s.phrase_features, clip.encode_text(s.region_ids, normalize=True))


@torch.no_grad()
def test_tensor_mode__is_the_global_image_feature() -> None:
    pretrainer, pixels = tiny_pretrainer(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(normalize(pretrainer(pixels)), pretrainer.clip.encode_image(pixels, normalize=True))


@pytest.mark.parametrize(
    ('mode', 'samples', 'message'), [('lose', [], "got 'lose'"), ('loss', None, 'needs data_samples')]
)
def test_forward__wrong_mode(mode: str, samples: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_pretrainer()(torch.zeros(1, 3, 32, 32), samples, mode=mode)


MEAN = [0.5, 0.25, 0.125]


def test_preprocessing__a_fresh_model_takes_on_the_preprocessors() -> None:
    images = dict(type='fgdet.RegionTextDataPreprocessor', mean=MEAN)
    assert tiny_pretrainer(data_preprocessor=images).clip.preprocessing.mean == tuple(MEAN)
    assert tiny_pretrainer().clip.preprocessing == tiny_clip().preprocessing


def test_preprocessing__a_checkpoint_of_another_mean_is_refused_unless_told(tmp_path: Path) -> None:
    tiny_clip().save_pretrained(tmp_path)
    config = dict(
        type='fgdet.FGCLIPPretrainer',
        clip=dict(type='fgdet.FGCLIP', vision=TINY_VISION, text=TINY_TEXT, checkpoint=str(tmp_path)),
        global_loss=dict(type='fgdet.ImageTextContrastiveLoss'),
    )
    MODELS.build(config)
    config['data_preprocessor'] = dict(type='fgdet.RegionTextDataPreprocessor', mean=MEAN)
    with pytest.raises(UserError, match=r'^mean: these weights want .*, got .*; set model\.data_preprocessor\.mean to'):
        MODELS.build(config)
    config['clip']['preprocessing'] = dict(mean=MEAN)
    assert MODELS.build(config).clip.preprocessing.mean == tuple(MEAN)


def test_predict__other_sizes_than_the_weights_want_are_refused_unless_told() -> None:
    pretrainer, batch = tiny_pretrainer().eval(), region_batch((1,), side=40)
    with pytest.raises(UserError, match=r'image_size: these weights want 32 x 32, got 40 x 40; .*set model\.clip\.pre'):
        pretrainer.test_step(batch)
    pretrainer.clip.preprocessing = pretrainer.clip.preprocessing._replace(image_size=40)
    assert len(pretrainer.test_step(batch)) == 1
    batch['data_samples'][0].short_ids = batch['data_samples'][0].short_ids[:40]
    with pytest.raises(UserError, match='context_length: these weights want 77, got 40'):
        pretrainer.test_step(batch)
