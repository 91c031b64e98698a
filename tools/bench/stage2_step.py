"""A stage-2 training step, forward and backward: our pretrainer over a step that pads and encodes every text apart.

The other side does what the official code does, on the same weights and batch: long texts padded to 248 tokens, others
to 77, the text tower run once for each kind (long, short, region, hard-negative), equal phrases anew; the image tower's
last block computed twice, with attention for the global feature and without for the dense ones; two calls of
torchvision's RoIAlign in float32, for regions and for regions with hard negatives; attention and activation operation
by operation, as transformers 4.41 has them. One case gives it torch's fused attention and our perceptron instead, so
that only the work that padding makes is compared.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from timing import alternate, num_threads, record
from torch import Tensor
from torchvision.ops import roi_align

from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.models.fg_clip import FGCLIP
from fgdet.models.layers.transformer_block import TransformerBlock
from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer
from fgdet.ops.token_tree import build_token_tree
from fgdet.registry import MODELS
from fgdet.structures.region_text_sample import RegionTextSample

VOCABULARY, START, END = 49408, 49406, 49407
Block = Callable[[TransformerBlock, Tensor, bool], Tensor]


def run(
    repeats: int = 3, threads: int | None = None, num_layers: int | None = None, num_images: int = 8
) -> dict[str, Any]:
    """Measure the step at the width of ViT-B/16: images of 4 regions, of 1 to 4, and of 4 against fused padded blocks.

    On a GPU in bfloat16, except that features are pooled and losses taken in float32; on a CPU all in float32.

    Args:
        repeats: pairs of alternating runs.
        threads: threads that torch computes with; None: its own choice.
        num_layers: blocks in each tower; None: 12 on a GPU, 4 on a CPU.
        num_images: images in the batch; each region has 11 phrases.

    Returns:
        The record of the first case, and all as ``cases``; ``max_error`` is the difference of the total losses.
    """
    with num_threads(threads):
        torch.manual_seed(0)
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        model = _build(num_layers or (12 if device.type == 'cuda' else 4)).to(device)
        batches = [_batch(num_images, fewest) for fewest in (4, 1)]
        kinds = (batches[0], _plain_block), (batches[1], _plain_block), (batches[0], _fused_block)
        cases = [_compare(model, repeats, *batch, block) for batch, block in kinds]
        return {**cases[0], 'cases': cases}


def _compare(
    model: FGCLIPPretrainer, repeats: int, pixels: Tensor, samples: list[RegionTextSample], block: Block
) -> dict[str, Any]:
    device = model.clip.logit_scale.device
    pixels, samples = pixels.to(device), [s.to(device) for s in samples]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda')

    def ours() -> Tensor:
        model.zero_grad()
        with autocast:
            total = torch.stack([*model.loss(pixels, samples).values()]).sum()
        total.backward()
        return total.detach()

    def theirs() -> Tensor:
        model.zero_grad()
        with autocast:
            features = _padded_features(model.clip, pixels, samples, block)
        total = _plain_losses(model.clip, *features)
        total.backward()
        return total.detach()

    error = float((ours() - theirs()).abs())
    comparison = alternate(ours, theirs, repeats)
    groups = [(s.long_ids[None], 77) for s in samples]
    groups += [(ids, 0) for s in samples for ids in (s.short_ids[None], s.region_ids, s.hard_ids)]
    settings = dict(
        num_layers=len(model.clip.text.blocks),
        num_images=len(samples),
        regions=sum(len(s.boxes) for s in samples),
        padded_tokens=sum(ids.numel() for ids, _ in groups),
        tokens=sum(int((ids != END).sum()) + len(ids) for ids, _ in groups),
        tree_nodes=len(build_token_tree(groups, END).tokens),
        device=device.type,
        padded_blocks=block.__name__.strip('_'),
    )
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


def _batch(num_images: int, fewest_regions: int) -> tuple[Tensor, list[RegionTextSample]]:
    """Captions of 60 to 200 tokens, phrases of 5 to 20, negatives that change one word at a random place."""
    samples = []
    for i in range(num_images):
        num_regions = int(torch.randint(fewest_regions, 5, ()))
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


def _padded_features(clip: FGCLIP, pixels: Tensor, samples: list[RegionTextSample], block: Block) -> list[Tensor]:
    """Of images, long and short captions, regions and their phrases, regions with hard negatives and their texts."""
    pooled, dense = _padded_vision(clip.visual, pixels, block)
    long = _encode_padded(clip.text, block, torch.stack([s.long_ids for s in samples]), long=True)
    short = _encode_padded(clip.text, block, torch.stack([s.short_ids for s in samples]))
    region_texts = _encode_padded(clip.text, block, torch.cat([s.region_ids for s in samples]))
    hard_texts = _encode_padded(clip.text, block, torch.cat([s.hard_ids for s in samples]))
    boxes = [s.boxes / clip.patch_size for s in samples]
    hard_boxes = [s.boxes[s.hard_regions] / clip.patch_size for s in samples]
    dense = dense.float()
    regions = roi_align(dense, boxes, (1, 1), 1.0, -1, True)[..., 0, 0]
    hard_regions = roi_align(dense, hard_boxes, (1, 1), 1.0, -1, True)[..., 0, 0]
    return [
        F.normalize(x.float(), dim=-1) for x in (pooled, long, short, regions, region_texts, hard_regions, hard_texts)
    ]


def _plain_losses(
    clip: FGCLIP,
    images: Tensor,
    long: Tensor,
    short: Tensor,
    regions: Tensor,
    region_texts: Tensor,
    hard_regions: Tensor,
    hard_texts: Tensor,
) -> Tensor:
    """The weighted sum of the losses, each from its matrix of logits."""
    target, scale = torch.arange(len(images), device=images.device), clip.logit_scale.exp()
    total = 0.5 * sum(
        F.cross_entropy(scale * a @ b.T, target) for text in (long, short) for a, b in ((images, text), (text, images))
    )
    logits = clip.logit_scale_region.exp() * regions @ region_texts.T
    target = torch.arange(len(logits), device=logits.device)
    total = total + 0.1 * 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
    groups = hard_texts.unflatten(0, (-1, 11))  # (M, 11, D)
    logits = clip.logit_scale_hard_negative.exp() * (groups @ hard_regions[..., None])[..., 0]
    return total + 0.5 * F.cross_entropy(logits, torch.zeros_like(target))


def _padded_vision(visual: VisionTransformer, pixels: Tensor, block: Block) -> tuple[Tensor, Tensor]:
    """The global feature (B, d) and the dense map (B, d, h, w), all tokens through both forms of the last block."""
    tokens, size_hw = visual.embed(pixels)
    *blocks, last = visual.blocks
    for each in blocks:
        tokens = block(each, tokens, False)
    pooled = visual.projection(visual.post_norm(block(last, tokens, False)[:, 0]))
    dense = visual.projection(visual.post_norm(last.forward_without_attention(tokens)[:, 1:]))
    return pooled, dense.transpose(1, 2).unflatten(2, size_hw)


def _encode_padded(text: TextTransformer, block: Block, token_ids: Tensor, long: bool = False) -> Tensor:
    """Every token of every row, padding too."""
    hidden = text.token_embedding(token_ids) + text.positions(token_ids.shape[1], long)
    for each in text.blocks:
        hidden = block(each, hidden, True)
    pooled = text.final_norm(hidden)[torch.arange(len(hidden)), text.pooled_position(token_ids)]
    return (text.long_projection if long else text.projection)(pooled)


def _plain_block(block: TransformerBlock, x: Tensor, causal: bool) -> Tensor:
    """(N, L, D) -> (N, L, D), operation by operation."""
    attention = block.attention
    q, k, v = (t.unflatten(-1, (attention.num_heads, -1)) for t in attention.qkv(block.norm1(x)).chunk(3, dim=-1))
    q, k, v = (t.transpose(1, 2) for t in (q * q.shape[-1] ** -0.5, k, v))  # (N, H, L, D/H)
    logits = q @ k.transpose(2, 3)
    if causal:
        logits = logits + torch.full_like(logits[0, 0], float('-inf')).triu(1)
    x = x + attention.out((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
    hidden = block.mlp.fc1(block.norm2(x))
    return x + block.mlp.fc2(hidden * torch.sigmoid(1.702 * hidden))


def _fused_block(block: TransformerBlock, x: Tensor, causal: bool) -> Tensor:
    """(N, L, D) -> (N, L, D), as our encoders compute padded tokens."""
    return block(x, causal=causal)
