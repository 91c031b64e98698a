"""Steps that make the token ids, and the last one that packs a sample."""

from typing import Any

import numpy as np
import torch

from fgdet.registry import TRANSFORMS
from fgdet.structures.region_text_sample import RegionTextSample
from fgdet.text.tokenizer import Tokenizer

#: Put before a short caption (FG-CLIP, train_fgclip.py).
SHORT_CAPTION_PREFIX = 'a photo of '


@TRANSFORMS.register_module()
class TokenizeRegionText:
    """Token ids of the captions, of a phrase for each region, and of each region's hard negatives.

    A region is described by its short or its long expression, drawn anew each time; a hard-negative group is the short
    expression and its negatives (FG-CLIP, arXiv 2505.05071, section 3.2 and train_fgclip.py).

    Args:
        context_length: tokens of the short caption and the phrases.
        long_context_length: tokens of the long caption.
        max_regions: regions kept, the first ones; 4 in the official training.
        long_share: share of regions described by their long expression; 0 for an evaluation on the short ones.
        tokenizer: folder of vocab.json and merges.txt, or None for CLIP's own.
    """

    def __init__(
        self,
        context_length: int = 77,
        long_context_length: int = 248,
        max_regions: int = 4,
        tokenizer: str | None = None,
        long_share: float = 0.5,
    ) -> None:
        self.context_length = context_length
        self.long_context_length = long_context_length
        self.max_regions = max_regions
        self.long_share = long_share
        self.tokenizer = Tokenizer.clip() if tokenizer is None else Tokenizer.from_folder(tokenizer)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        regions = results['regions'] = results['regions'][: self.max_regions]
        use_long = results['rng'].random(len(regions)) < self.long_share
        phrases = [r['long_expr'] if long else r['short_expr'] for r, long in zip(regions, use_long, strict=True)]
        groups = [[r['short_expr'], *r['negatives']] for r in regions if r['negatives']]
        texts = [
            SHORT_CAPTION_PREFIX + results['short_caption'],
            *phrases,
            *(text for group in groups for text in group),
        ]
        ids = self.tokenizer(texts, self.context_length)
        results['long_ids'] = self.tokenizer(results['caption'], self.long_context_length)[0]
        results['short_ids'] = ids[0]
        results['region_ids'] = ids[1 : 1 + len(regions)]
        results['hard_ids'] = ids[1 + len(regions) :]
        results['hard_regions'] = torch.tensor([i for i, r in enumerate(regions) if r['negatives']], dtype=torch.int64)
        results['hard_sizes'] = torch.tensor([len(group) for group in groups], dtype=torch.int64)
        return results


@TRANSFORMS.register_module()
class PackRegionTextInputs:
    """``inputs``, the image as (3, H, W) uint8, and ``data_samples``, a :class:`RegionTextSample`."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        pixels = np.asarray(results['img'])  # (H, W, 3)
        height, width = pixels.shape[:2]
        boxes = np.array([r['bbox'] for r in results['regions']], dtype=np.float32).reshape(-1, 4)
        sample = RegionTextSample(
            metainfo=dict(
                key=results['sample_key'], img_shape=(height, width), ori_shape=results['ori_shape'], skipped=()
            )
        )
        sample.boxes = torch.from_numpy(boxes * np.array([width, height, width, height], dtype=np.float32))
        for name in ('long_ids', 'short_ids', 'region_ids', 'hard_regions', 'hard_ids', 'hard_sizes'):
            setattr(sample, name, results[name])
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        return dict(inputs=image, data_samples=sample)
