"""Our FG-CLIP against recorded numbers of the official code, on any folder of that format.

The folder holds ``config.json`` and ``model.safetensors`` (the official layout), ``reference.safetensors`` (inputs and
outputs by name) and ``losses.json`` (loss terms and gradient norms).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fgdet.checkpoints.hf_fg_clip import state_to_hf
from fgdet.models.fg_clip import FGCLIP
from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer
from fgdet.registry import MODELS
from fgdet.structures.region_text_sample import RegionTextSample
from fgdet.utils.checks import existing_file
from fgdet.utils.resampling import interpolate_grid, stretch_positions

#: Largest absolute difference allowed in a feature and in a loss, and largest relative one in a gradient's norm.
FEATURE_TOLERANCE = LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4
#: Weights of the paper's four terms (FG-CLIP, arXiv 2505.05071, section 3.2: 1, 1, 0.1, 0.5).
LOSS_WEIGHTS = {'loss_itcl': 1.0, 'loss_itcs': 1.0, 'loss_region': 0.1, 'loss_hard': 0.5}
_OUR_LOSSES = {
    'loss_itcl': 'loss_long',
    'loss_itcs': 'loss_short',
    'loss_region': 'loss_region',
    'loss_hard': 'loss_hard_negative',
}
# Softmax cancels a key bias exactly; its gradient is rounding noise in both codes.
_NOISE = 'self_attn.k_proj.bias'


def check_parity(folder: str | Path) -> dict[str, Any]:
    """Compare every feature, loss and gradient norm that the folder records.

    Returns:
        ``max_error`` over ``entries`` (absolute difference by name), ``losses`` (the same for loss terms),
        ``gradients`` (relative difference of norms and probes) and ``ok``, whether all are within the tolerances.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    folder = Path(folder)
    model = FGCLIP.from_pretrained(folder)
    reference = load_file(existing_file(folder / 'reference.safetensors', 'reference tensors'))
    recorded = json.loads(existing_file(folder / 'losses.json', 'reference losses').read_text())
    with torch.no_grad():
        entries = {**image_errors(model, reference), **text_errors(model, reference)}
    losses, gradients = loss_errors(model, reference, recorded)
    ok = (
        max(entries.values()) <= FEATURE_TOLERANCE
        and max(losses.values()) <= LOSS_TOLERANCE
        and max(gradients.values()) <= GRADIENT_TOLERANCE
    )
    return dict(max_error=max(entries.values()), entries=entries, losses=losses, gradients=gradients, ok=ok)


def image_errors(model: FGCLIP, reference: dict[str, Tensor]) -> dict[str, float]:
    """Largest differences of embeddings, hidden states, global, dense and region features at every recorded size."""
    pixels = reference['pixel_values']
    visual, patch = model.visual, model.patch_size
    tokens, _ = visual.embed(pixels)
    states = [tokens]
    for block in visual.blocks:
        states.append(block(states[-1]))
    errors = {
        f'vision_hidden_states.{i}': _error(state, reference[f'vision_hidden_states.{i}'])
        for i, state in enumerate(states)
    }
    unattended = visual.blocks[-1].forward_without_attention(states[-2])  # type: ignore[operator]
    errors['last_block_without_attention'] = _error(unattended, reference['last_block_without_attention'])
    errors['vision_pooled'] = _error(visual.post_norm(states[-1][:, 0]), reference['vision_pooled'])
    errors['image_features'] = _error(model.encode_image(pixels), reference['image_features'])
    errors['image_dense_features'] = _error(_rows(model.encode_dense(pixels)), reference['image_dense_features'])
    errors['roi.features'] = _region_error(
        model, pixels, reference['roi.boxes_feat'] * _scale(patch), reference['roi.features']
    )
    for name in sorted(key.removesuffix('pixel_values') for key in reference if key.startswith('interp_')):
        if not name.endswith('.') or f'{name}pixel_values' not in reference:
            continue
        sized = reference[f'{name}pixel_values']
        grid = (sized.shape[2] // patch, sized.shape[3] // patch)
        table = interpolate_grid(visual.position_embedding, grid)
        errors[f'{name}position_table'] = _error(table, reference[f'{name}position_table'][0])
        errors[f'{name}image_features'] = _error(model.encode_image(sized), reference[f'{name}image_features'])
        dense = _rows(model.encode_dense(sized))
        errors[f'{name}image_dense_features'] = _error(dense, reference[f'{name}image_dense_features'])
        # The official code pools a non-square map as if it were square; only square ones can be compared.
        if f'{name}roi_features' in reference and grid[0] == grid[1]:
            boxes = reference[f'{name}roi_boxes_feat'] * _scale(patch)
            errors[f'{name}roi_features'] = _region_error(model, sized, boxes, reference[f'{name}roi_features'])
    return errors


def text_errors(model: FGCLIP, reference: dict[str, Tensor]) -> dict[str, float]:
    """Largest differences of text features in every mode, of hidden states, and of the position tables."""
    text = model.text
    short, long = reference['text.short_ids'], reference['text.long_ids']
    hidden = text.encode_tokens(long[:3], long=True)[:, :30]
    short_hidden = text.encode_tokens(short)[torch.arange(len(short)), text.pooled_position(short)]
    return {
        'text.features_short': _error(model.encode_text(short), reference['text.features_short']),
        'text.features_long': _error(model.encode_text(long, long=True), reference['text.features_long']),
        'text.features_use_bbox': _error(text.long_projection(short_hidden), reference['text.features_use_bbox']),
        'text.long_last_hidden': _error(hidden, reference['text.long_last_hidden']),
        'text.effective_long_position_table': _error(
            text.positions(text.long_context_length, long=True), reference['text.effective_long_position_table']
        ),
        'resize.position_embedding_248': _error(
            stretch_positions(text.position_embedding, text.long_context_length),
            reference['resize.position_embedding_248'],
        ),
        'text.odd_features_short': _error(
            model.encode_text(reference['text.odd_ids']), reference['text.odd_features_short']
        ),
    }


def loss_errors(
    model: FGCLIP, reference: dict[str, Tensor], recorded: dict[str, Any]
) -> tuple[dict[str, float], dict[str, float]]:
    """Differences of the loss terms of both batches and their union, and of the first batch's gradients.

    The numbers to match are those of the official code in float32 without its two casts to bfloat16.
    """
    pretrainer = build_pretrainer(model)
    batches = [training_batch(reference, rank) for rank in (0, 1)]
    union = (torch.cat([batches[0][0], batches[1][0]]), batches[0][1] + batches[1][1])
    runs = {
        'rank0': (batches[0], recorded['single_process']),
        'rank1': (batches[1], recorded['single_process_rank1_batch_alone']),
        'all': (union, recorded['single_process_all_samples']),
    }
    errors, gradients = {}, {}
    for name, ((pixels, samples), expected) in runs.items():
        ours = pretrainer.loss(pixels, samples)
        for term, wanted in expected['runs']['fp32_nocast'].items():
            value = (
                torch.stack([*ours.values()]).sum()
                if term == 'loss_total'
                else ours[_OUR_LOSSES[term]] / LOSS_WEIGHTS[term]
            )
            errors[f'{name}.{term}'] = abs(float(value.detach()) - wanted)
        if 'grads' in expected:
            model.zero_grad()
            torch.stack([*ours.values()]).sum().backward()
            gradients = gradient_errors(model, expected['grads'])
    return errors, gradients


def gradient_errors(model: FGCLIP, expected: dict[str, dict[str, float]]) -> dict[str, float]:
    """Relative differences of each gradient's norm and probe, under the official names.

    The probe is the sum of ``grad[n] * cos(0.1 n)``, which a transposed or sign-flipped gradient would miss.
    """
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    errors = {}
    for name, grad in state_to_hf(grads).items():
        if name.endswith(_NOISE):
            continue
        flat = grad.double().flatten()
        probe = (flat * torch.cos(0.1 * torch.arange(len(flat), dtype=torch.float64))).sum()
        norm = expected[name]['norm']
        errors[f'{name}.norm'] = abs(float(flat.norm()) - norm) / norm
        errors[f'{name}.probe'] = abs(float(probe) - expected[name]['probe']) / norm
    missing = [name for name in expected if f'{name}.norm' not in errors and not name.endswith(_NOISE)]
    return errors | {f'{name}.missing': float('inf') for name in missing}


def build_pretrainer(model: FGCLIP) -> FGCLIPPretrainer:
    """The official code's losses around a model: region negatives on each rank alone, equal phrases among them."""
    pretrainer = MODELS.build(
        dict(
            type='fgdet.FGCLIPPretrainer',
            clip=dict(type='fgdet.FGCLIP', **model.config),
            global_loss=dict(type='fgdet.ImageTextContrastiveLoss'),
            region_loss=dict(
                type='fgdet.RegionTextContrastiveLoss', loss_weight=LOSS_WEIGHTS['loss_region'], gather=False
            ),
            hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=LOSS_WEIGHTS['loss_hard'], gather=False),
            duplicate_aware=False,
            max_logit_scale=None,
        )
    )
    pretrainer.clip = model
    return pretrainer


def training_batch(reference: dict[str, Tensor], rank: int) -> tuple[Tensor, list[RegionTextSample]]:
    """A collated batch of the official code as ours: its 4 padded slots an image become lists, shares become pixels."""
    batch = {key: reference[f'train.rank{rank}.{key}'] for key in _BATCH_KEYS}
    side = batch['image'].shape[-1]
    samples, first_text = [], 0
    for i, (num_boxes, num_hard) in enumerate(
        zip(batch['box_nums'].tolist(), batch['hard_nums'].tolist(), strict=True)
    ):
        boxes = batch['box_infos'][4 * i : 4 * i + num_boxes] * side
        hard_boxes = batch['hard_infos'][4 * i : 4 * i + num_hard] * side
        sample = RegionTextSample(metainfo=dict(key=f'rank{rank}[{i}]'))
        sample.long_ids, sample.short_ids = batch['text_long'][i], batch['text_short'][i]
        sample.boxes = boxes
        sample.region_ids = batch['box_texts'][4 * i : 4 * i + num_boxes]
        matches = (hard_boxes[:, None] == boxes[None]).all(-1)  # (num_hard, num_boxes)
        sample.hard_regions = matches.int().argmax(1)
        sample.hard_ids = batch['hard_texts'][first_text : first_text + 11 * num_hard]
        sample.hard_sizes = torch.full((num_hard,), 11)
        first_text += 11 * num_hard
        samples.append(sample)
    return batch['image'], samples


_BATCH_KEYS = (
    'image',
    'text_long',
    'text_short',
    'box_texts',
    'box_infos',
    'box_nums',
    'hard_texts',
    'hard_infos',
    'hard_nums',
)


def _region_error(model: FGCLIP, pixels: Tensor, boxes: Tensor, expected: Tensor) -> float:
    rows = [torch.nonzero(boxes[:, 0] == i)[:, 0] for i in range(len(pixels))]
    regions = model.encode_regions(pixels, [boxes[row, 1:] for row in rows])
    return _error(regions, expected[torch.cat(rows)])


def _scale(patch_size: int) -> Tensor:
    return torch.tensor([1.0] + [patch_size] * 4)


def _rows(dense: Tensor) -> Tensor:
    return dense.flatten(2).transpose(1, 2)  # (B, d, h, w) -> (B, h * w, d)


def _error(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise ValueError(f'shapes differ: ours {tuple(ours.shape)}, recorded {tuple(theirs.shape)}')
    return float((ours - theirs).abs().max())
