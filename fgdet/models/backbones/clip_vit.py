"""CLIP's image tower as a detector's backbone.

Axes: B images, H x W pixels, P patch side, h x w patches, D width, d dimension shared with the text tower.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from fgdet.checkpoints.loading import load_tower_into
from fgdet.checkpoints.lora_state import base_lora_state, name_as
from fgdet.models.backbones.feature_cache import FeatureCache, computing_state
from fgdet.models.encoders.vision_transformer import VisionTransformer, tokens_to_map
from fgdet.models.layers.lora import ATTENTION, add_lora_, lora_disabled, merge_lora_
from fgdet.models.layers.transformer_block import TransformerBlock
from fgdet.registry import MODELS
from fgdet.utils.checks import UserError
from fgdet.utils.fingerprint import state_fingerprint

_ALL_LEARNS = (
    'backbone.frozen=False: the dense map is that of weights that change with the detection loss, which knows nothing '
    'of other classes; with unfreeze_last or lora it stays the original one'
)


@MODELS.register_module()
class CLIPViTBackbone(BaseModule):
    """Maps of some blocks, all of the tower's stride, and FG-CLIP's dense map in the space of the texts.

    The taps feed a pyramid (F-ViT, CLIPSelf, arXiv 2310.01403, section 4). A frozen tower keeps what it knows of the
    open vocabulary, and the detector learns on top of it. Where a part of it learns, the dense map, with which scores
    of regions are joined, still is that of the original weights, as in CFM-ViT (arXiv 2309.00775): they are kept beside
    the learned ones, and a prediction, which alone needs the map, passes those blocks twice. The dense map never takes
    a gradient, so that the last norm and the projection, which lead to no tap, never learn.

    Any size of the input will do that the patch size divides: a detector's ``data_preprocessor.pad_size_divisor`` sees
    to it. The position table is interpolated to the grid.

    Args:
        vision: arguments of :class:`~fgdet.models.encoders.vision_transformer.VisionTransformer`; for large inputs with
            ``window_size``.
        out_indices: blocks that are tapped, 0 for the first, in the order of the outputs.
        checkpoint: FG-CLIP or CLIP weights that :meth:`init_weights` loads (see :func:`fgdet.checkpoints.loading`).
            They are not needed to build the model, nor to load a detector's own checkpoint.
        frozen: False lets everything learn that leads to a tap, and nothing is kept of the original weights.
        unfreeze_last: how many blocks learn, counted back from the last one that is tapped; what comes before them runs
            without gradient and stays in eval mode.
        lora: the blocks learn through low-rank adapters, their weights being frozen: ``rank``, ``alpha`` (2 rank
            unless given) and ``targets``, as for :func:`~fgdet.models.layers.lora.add_lora_`. The last
            ``unfreeze_last`` blocks have them, or all that lead to a tap where that is 0.
        feature_cache: arguments of :class:`~fgdet.models.backbones.feature_cache.FeatureCache`, which keeps outputs of
            a frozen tower on disk; it pays where the same pixels come again, padding included.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Attributes:
        preprocessing: ``mean`` and ``std`` of RGB in 0..1 that the weights of :meth:`init_weights` were trained with;
            None before.
        feature_cache: the :class:`~fgdet.models.backbones.feature_cache.FeatureCache` in use, or None.

    Raises:
        ValueError: a tapped block does not exist, or what is to learn contradicts itself; it says how.
        UserError: a feature cache for a tower of which a part learns.
    """

    def __init__(
        self,
        vision: dict[str, Any],
        out_indices: Sequence[int] = (3, 5, 7, 11),
        checkpoint: str | None = None,
        frozen: bool = True,
        unfreeze_last: int = 0,
        lora: Mapping[str, Any] | None = None,
        feature_cache: Mapping[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.visual = VisionTransformer(**vision)
        if not out_indices or not all(0 <= index < self.visual.num_layers for index in out_indices):
            last = self.visual.num_layers - 1
            raise ValueError(f'out_indices: expected blocks in 0..{last}, got {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.checkpoint = checkpoint
        self.frozen = frozen
        self.preprocessing: dict[str, tuple[float, ...]] | None = None
        self._stop = max(self.out_indices) + 1
        self._learned = self._choose(unfreeze_last, lora)
        #: The original weights of blocks that learn, by number; the dense map is computed with them.
        self.frozen_blocks = nn.ModuleDict()
        self._let_learn(lora)
        self.feature_cache = None if feature_cache is None else FeatureCache(**feature_cache)
        self._fingerprint: str | None = None
        if self.feature_cache is not None and (self._learned or not frozen):
            raise UserError(
                'backbone.feature_cache: features of a tower that learns change with every step; leave it out, or '
                'frozen=True, unfreeze_last=0 and lora=None'
            )
        self.train(self.training)

    def init_weights(self) -> None:
        """Load the tower from ``checkpoint``, if one was given.

        Raises:
            UserError: nothing usable is there, or it is of another architecture than ``vision``.
        """
        super().init_weights()
        if self.checkpoint is not None:
            self.preprocessing = load_tower_into(self.visual, self.checkpoint, 'visual')
            for index, block in self.frozen_blocks.items():
                block.load_state_dict(self.visual.blocks[int(index)].state_dict())
            self._fingerprint = None

    def forward(self, pixels: Tensor, dense: bool = True) -> tuple[Tensor, ...]:
        """Taps, then the dense map.

        Args:
            pixels: (B, 3, H, W) normalised pixels; the patch size divides H and W.
            dense: whether the dense map is wanted; training has no use for it.

        Returns:
            one (B, D, h, w) for each of ``out_indices``, then, if it is wanted, the dense map (B, d, h, w).

        Raises:
            ValueError: the patch size does not divide H and W, or they are 0.
        """
        patch, size_hw = self.visual.patch_size, tuple(pixels.shape[-2:])
        if pixels.ndim != 4 or pixels.shape[1] != 3 or any(side % patch or not side for side in size_hw):
            raise ValueError(
                f'pixels: expected (B, 3, H, W) with H and W multiples of the patch size {patch}, got '
                f'{tuple(pixels.shape)}; set data_preprocessor.pad_size_divisor to a multiple of {patch}'
            )
        return self._features(pixels, dense) if self.feature_cache is None else self._cached(pixels, dense)

    def train(self, mode: bool = True) -> 'CLIPViTBackbone':
        """Set the mode of all but what is frozen."""
        if mode != self.training:
            self._fingerprint = None  # moving averages may have changed places with the weights
        super().train(mode)
        if self.frozen:
            self.visual.eval()
            self.frozen_blocks.eval()
            for index in self._learned:
                self.visual.blocks[index].train(mode)
        return self

    def merge_lora(self) -> None:
        """Write the adapters into the weights, in place; the original ones move aside for the dense map.

        The outputs stay the same up to rounding, no product of adapters is computed any more, and the state dict loads
        into a backbone with ``unfreeze_last`` in the place of ``lora``. Nothing learns afterwards.
        """
        for index in self._learned:
            visual, block = self.visual, self.visual.blocks[index]
            if str(index) not in self.frozen_blocks:
                original = TransformerBlock(visual.width, visual.num_heads, visual.mlp_width, visual.activation)
                original.to(visual.class_embedding).load_state_dict(base_lora_state(block.state_dict()))
                self.frozen_blocks[str(index)] = original.eval().requires_grad_(False)
            merge_lora_(block)

    def _choose(self, unfreeze_last: int, lora: Mapping[str, Any] | None) -> range:
        """The blocks that learn while the rest is frozen."""
        if not 0 <= unfreeze_last <= self._stop:
            raise ValueError(
                f'unfreeze_last: expected 0..{self._stop}, the blocks up to the last tap, got {unfreeze_last}'
            )
        if not self.frozen and (unfreeze_last or lora is not None):
            raise ValueError('frozen=False lets the whole tower learn; unfreeze_last and lora go with frozen=True')
        unknown = sorted(set(lora or ()) - {'rank', 'alpha', 'targets'})
        if unknown or (lora is not None and 'rank' not in lora):
            raise ValueError(f'lora: expected rank and optionally alpha and targets, got {dict(lora or {})}')
        count = self._stop if lora is not None and not unfreeze_last else unfreeze_last
        return range(self._stop - count, self._stop)

    def _let_learn(self, lora: Mapping[str, Any] | None) -> None:
        visual = self.visual.requires_grad_(not self.frozen)
        blocks = [visual.blocks[index] for index in self._learned]
        if not self.frozen:
            print_log(_ALL_LEARNS, 'current', logging.WARNING)
            for module in (visual.post_norm, visual.projection, *visual.blocks[self._stop :]):
                module.requires_grad_(False)
        elif lora is not None:
            rank = lora['rank']
            add_lora_(nn.ModuleList(blocks), rank, lora.get('alpha', 2 * rank), lora.get('targets', ATTENTION))
        else:
            for index, block in zip(self._learned, blocks, strict=True):
                self.frozen_blocks[str(index)] = copy.deepcopy(block)
                block.requires_grad_(True)

    def _features(self, pixels: Tensor, dense: bool) -> tuple[Tensor, ...]:
        visual, last, taps = self.visual, self.visual.num_layers - 1, dict[int, Tensor]()
        wants_gradient = torch.is_grad_enabled()
        # Up to here the taps and the dense map share their tokens.
        shared = self._learned.start if self._learned else min(last, last if dense else self._stop)
        with torch.set_grad_enabled(wants_gradient and not self.frozen):
            tokens, size_hw = visual.embed(pixels)
            for index in range(shared):
                taps[index] = tokens = visual.run_block(index, tokens, size_hw)
        branch = tokens
        with torch.set_grad_enabled(wants_gradient and bool(self._learned or not self.frozen)):
            for index in range(shared, self._stop):
                taps[index] = tokens = visual.run_block(index, tokens, size_hw)
        maps = [tokens_to_map(taps[index][:, 1:], size_hw) for index in self.out_indices]
        return (*maps, self._dense_map(branch, size_hw, shared)) if dense else tuple(maps)

    @torch.no_grad()
    def _dense_map(self, tokens: Tensor, size_hw: tuple[int, int], start: int) -> Tensor:
        """The dense map of the original weights, from the tokens that enter block ``start``."""
        original: dict[int, Any] = {int(index): block for index, block in self.frozen_blocks.items()}
        last = self.visual.num_layers - 1
        with lora_disabled(self.visual):
            for index in range(start, last):
                tokens = self.visual.run_block(index, tokens, size_hw, original.get(index))
            return self.visual.dense_map(tokens, size_hw, original.get(last))

    def _cached(self, pixels: Tensor, dense: bool) -> tuple[Tensor, ...]:
        """As :meth:`_features`; images that were seen before come from the disk."""
        assert self.feature_cache is not None
        if self._fingerprint is None:
            self._fingerprint = state_fingerprint(self.visual)
        visual = self.visual
        settings = (
            *(self._fingerprint, self.out_indices, dense, visual.patch_size, visual.num_heads, visual.activation),
            *(visual.window_size, visual.global_blocks, computing_state(pixels.device)),
        )
        keys = [self.feature_cache.key(image, settings) for image in pixels]
        rows = [self.feature_cache.load(key, pixels.device) for key in keys]  # for each image its outputs (h, w, C)
        missing = [i for i, row in enumerate(rows) if row is None]
        outputs: tuple[Tensor, ...] = ()
        if missing or not rows:
            outputs = self._features(pixels[missing] if len(missing) < len(rows) else pixels, dense)
        for place, i in enumerate(missing):
            row = rows[i] = [output[place].permute(1, 2, 0) for output in outputs]
            self.feature_cache.store(keys[i], row)
        if len(missing) == len(rows):
            return outputs
        columns = zip(*rows, strict=True)
        return tuple(_join(column, class_token=i < len(self.out_indices)) for i, column in enumerate(columns))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """A checkpoint of a frozen tower also gives the original weights, and the base of adapters."""
        self._fingerprint = None
        own = {f'{prefix}{name}' for name in self.state_dict()}
        plain = {name: state_dict[name] for name in list(state_dict) if name.startswith(prefix) and name not in own}
        for name in plain:
            del state_dict[name]
        state_dict.update(name_as(plain, own))
        for name in own - state_dict.keys():
            source = name.replace(f'{prefix}frozen_blocks.', f'{prefix}visual.blocks.', 1)
            if source in state_dict:
                state_dict[name] = state_dict[source]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, *args: Any, **kwargs: Any) -> 'CLIPViTBackbone':
        self._fingerprint = None
        return super()._apply(*args, **kwargs)


def _join(images: Sequence[Tensor], class_token: bool) -> Tensor:
    """Outputs (h, w, C) of B images as the tower gives them, strides included: (B, C, h, w) over rows of tokens.

    The strides matter to those who come after: other strides may choose another kernel, which rounds differently.
    """
    height, width, channels = images[0].shape
    skipped = int(class_token)
    tokens = images[0].new_empty(len(images), skipped + height * width, channels)[:, skipped:]
    torch.stack([image.flatten(0, 1) for image in images], out=tokens)
    return tokens_to_map(tokens, (height, width))
