"""A stage-2 training step, forward and backward: our pretrainer over a step that pads and encodes every text apart.

The other side does what the official code does, on the same weights and batch: long texts padded to 248 tokens, short,
region and hard-negative texts to 77, the text tower run once for each kind, two calls of torchvision's RoIAlign in
float32 (for regions and for regions with hard negatives), equal phrases encoded as often as they come.
"""

from typing import Any

import torch
import torch.nn.functional as F
from timing import alternate, num_threads, record
from torch import Tensor
from torchvision.ops import roi_align

from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer
from fgdet.registry import MODELS
from fgdet.structures.region_text_sample import RegionTextSample

VOCABULARY, START, END = 49408, 49406, 49407


def run(repeats: int = 3, threads: int | None = None, num_layers: int = 4, num_images: int = 8) -> dict[str, Any]:
    """Measure the step at the width of ViT-B/16.

    Args:
        repeats: pairs of alternating runs.
        threads: threads that torch computes with; None: its own choice.
        num_layers: blocks in each tower.
        num_images: images in the batch, each with up to 4 regions of up to 11 phrases.

    Returns:
        The record; ``max_error`` is the difference of the two total losses.
    """
    with num_threads(threads):
        torch.manual_seed(0)
        model = _build(num_layers)
        pixels, samples = _batch(num_images)

        def ours() -> Tensor:
            model.zero_grad()
            total = torch.stack([*model.loss(pixels, samples).values()]).sum()
            total.backward()
            return total.detach()

        def theirs() -> Tensor:
            model.zero_grad()
            total = _padded_loss(model, pixels, samples)
            total.backward()
            return total.detach()

        error = float((ours() - theirs()).abs())
        comparison = alternate(ours, theirs, repeats)
        phrases = sum(len(s.region_ids) + len(s.hard_ids) for s in samples)
        settings = dict(num_layers=num_layers, num_images=num_images, phrases=phrases, tokens=_count_tokens(samples))
        return record('stage2-step', comparison, error, settings)


def _build(num_layers: int) -> FGCLIPPretrainer:
    vision = dict(image_size=224, patch_size=16, width=768, num_heads=12, mlp_width=3072, output_dim=512)
    text = dict(width=512, num_heads=8, mlp_width=2048, output_dim=512)
    return MODELS.build(
        dict(
            type='fgdet.FGCLIPPretrainer',
            clip=dict(
                type='fgdet.FGCLIP', vision=dict(vision, num_layers=num_layers), text=dict(text, num_layers=num_layers)
            ),
            global_loss=dict(type='fgdet.ImageTextContrastiveLoss'),
            region_loss=dict(type='fgdet.RegionTextContrastiveLoss', loss_weight=0.1),
            hard_negative_loss=dict(type='fgdet.HardNegativeLoss', loss_weight=0.5),
            duplicate_aware=False,
        )
    )


def _batch(num_images: int) -> tuple[Tensor, list[RegionTextSample]]:
    """Captions of 60 to 200 tokens, phrases of 5 to 20, negatives that change one word at a random place."""
    samples = []
    for i in range(num_images):
        num_regions = int(torch.randint(1, 5, ()))
        phrases = [torch.randint(300, 40000, (int(torch.randint(5, 21, ())),)) for _ in range(num_regions)]
        groups = [_negatives(phrase) for phrase in phrases]
        corners = torch.rand(num_regions, 2, 2).sort(dim=1).values * 208
        sample = RegionTextSample(metainfo=dict(key=str(i)))
        sample.long_ids = _row(torch.randint(300, 40000, (int(torch.randint(60, 201, ())),)), 248)
        sample.short_ids = _row(torch.randint(300, 40000, (int(torch.randint(8, 20, ())),)), 77)
        sample.boxes = torch.cat([corners[:, 0], corners[:, 1] + 16], dim=1)
        sample.region_ids = torch.stack([_row(phrase, 77) for phrase in phrases])
        sample.hard_regions = torch.arange(num_regions)
        sample.hard_ids = torch.stack([_row(text, 77) for group in groups for text in group])
        sample.hard_sizes = torch.tensor([len(group) for group in groups])
        samples.append(sample)
    return torch.randn(num_images, 3, 224, 224), samples


def _negatives(phrase: Tensor) -> list[Tensor]:
    group = [phrase]
    for _ in range(10):
        changed = phrase.clone()
        changed[torch.randint(len(phrase), ())] = torch.randint(300, 40000, ())
        group.append(changed)
    return group


def _row(words: Tensor, length: int) -> Tensor:
    row = torch.full((length,), END)
    row[0], row[1 : 1 + len(words)] = START, words
    return row


def _padded_loss(model: FGCLIPPretrainer, pixels: Tensor, samples: list[RegionTextSample]) -> Tensor:
    clip = model.clip
    vision = clip.visual.forward_intermediates(pixels, pooled=True)
    long = _encode_padded(clip.text, torch.stack([s.long_ids for s in samples]), long=True)
    short = _encode_padded(clip.text, torch.stack([s.short_ids for s in samples]))
    region_texts = _encode_padded(clip.text, torch.cat([s.region_ids for s in samples]))
    hard_texts = _encode_padded(clip.text, torch.cat([s.hard_ids for s in samples]))
    boxes = [s.boxes / clip.patch_size for s in samples]
    hard_boxes = [s.boxes[s.hard_regions] / clip.patch_size for s in samples]
    regions = roi_align(vision.dense, boxes, (1, 1), 1.0, -1, True)[..., 0, 0]
    hard_regions = roi_align(vision.dense, hard_boxes, (1, 1), 1.0, -1, True)[..., 0, 0]

    images, long, short = (F.normalize(x, dim=-1) for x in (vision.pooled, long, short))
    target, scale = torch.arange(len(images)), clip.logit_scale.exp()
    total = 0.5 * sum(
        F.cross_entropy(scale * a @ b.T, target) for text in (long, short) for a, b in ((images, text), (text, images))
    )
    regions, region_texts = F.normalize(regions, dim=-1), F.normalize(region_texts, dim=-1)
    logits = clip.logit_scale_region.exp() * regions @ region_texts.T
    target = torch.arange(len(logits))
    total = total + 0.1 * 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
    groups = F.normalize(hard_texts, dim=-1).unflatten(0, (-1, 11))  # (M, 11, D)
    logits = clip.logit_scale_hard_negative.exp() * (groups @ F.normalize(hard_regions, dim=-1)[..., None])[..., 0]
    return total + 0.5 * F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))


def _encode_padded(text: TextTransformer, token_ids: Tensor, long: bool = False) -> Tensor:
    """Every token of every row, padding too."""
    hidden = text.encode_tokens(token_ids, long)
    pooled = hidden[torch.arange(len(hidden)), text.pooled_position(token_ids)]
    return (text.long_projection if long else text.projection)(pooled)


def _count_tokens(samples: list[RegionTextSample]) -> int:
    """Real tokens of all texts, end marks included."""
    rows = [ids for s in samples for ids in (s.long_ids[None], s.short_ids[None], s.region_ids, s.hard_ids)]
    return int(sum(((ids != END).sum() + len(ids)) for ids in rows))
