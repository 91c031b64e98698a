"""FG-CLIP: the two towers, the region pooler and the three scales; features only, no loss.

Axes: B images, R regions, T texts, L tokens, h x w patches, d embedding.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD, config_to_hf, state_to_hf
from fgdet.checkpoints.loading import CONFIG_FILE, WEIGHTS_FILE, load_checkpoint
from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.models.region_poolers.roi_align_pooler import RoIAlignPooler
from fgdet.registry import MODELS
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError

#: CLIP's initial temperature: scale exp(2.6592) = 14.3 (arXiv 2103.00020, section 2.5).
LOGIT_SCALE_INIT = 2.6592


@MODELS.register_module()
class FGCLIP(nn.Module):
    """Fine-grained CLIP (arXiv 2505.05071).

    Args:
        vision: arguments of :class:`~fgdet.models.encoders.vision_transformer.VisionTransformer`.
        text: arguments of :class:`~fgdet.models.encoders.text_transformer.TextTransformer`.
        pooler: arguments of :class:`~fgdet.models.region_poolers.roi_align_pooler.RoIAlignPooler`.
        checkpoint: weights to start from, as for :meth:`from_pretrained`; their sizes must be those given here.
        tokenizer: turns texts into ids; CLIP's own is read when it is first needed.

    Raises:
        ValueError: the towers' ``output_dim`` differ.
        UserError: the checkpoint does not fit; as for :meth:`from_pretrained`.
    """

    def __init__(
        self,
        vision: dict[str, Any],
        text: dict[str, Any],
        pooler: dict[str, Any] | None = None,
        checkpoint: str | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        self.visual = VisionTransformer(**vision)
        self.text = TextTransformer(**text)
        if self.visual.output_dim != self.text.output_dim:
            raise ValueError(
                f'both towers need one output_dim, got {self.visual.output_dim} (vision) and '
                f'{self.text.output_dim} (text)'
            )
        self.pooler = RoIAlignPooler(**(pooler or {}))
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.logit_scale_region = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.logit_scale_hard_negative = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.config = dict(vision=dict(vision), text=dict(text))
        self._tokenizer = tokenizer
        if checkpoint is not None:
            self._load(load_checkpoint(checkpoint).state, checkpoint)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> 'FGCLIP':
        """FG-CLIP in eval mode, float32, on the CPU.

        Args:
            path: a folder in the Hugging Face layout of FG-CLIP or CLIP, an OpenAI or open_clip state dict, a
                checkpoint of fgdet's own pretraining, or a hub id; told apart by content.

        Raises:
            UserError: nothing usable is there, or weights are missing, left over, or of other sizes than the config
                says; they are listed.
        """
        config, state, tokenizer_folder = load_checkpoint(path)
        tokenizer = Tokenizer.from_folder(tokenizer_folder) if tokenizer_folder else None
        model = cls(**config, tokenizer=tokenizer)
        model._load(state, path)
        return model.float().eval()

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.visual.patch_size

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that came with the weights, else CLIP's.

        Raises:
            ValueError: the weights came without one and their vocabulary is not CLIP's.
        """
        if self._tokenizer is None:
            tokenizer = Tokenizer.clip()
            if tokenizer.vocab_size != self.text.vocab_size:
                raise ValueError(
                    f'the model knows {self.text.vocab_size} tokens and CLIP has {tokenizer.vocab_size}; its folder '
                    'must hold the vocab.json and merges.txt of its own tokenizer'
                )
            self._tokenizer = tokenizer
        return self._tokenizer

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Global image features: (B, 3, H, W) normalised pixels -> (B, d); ``normalize`` scales rows to length 1."""
        self._check_pixels(pixels)
        return _maybe_normalize(self.visual(pixels), normalize)

    def encode_dense(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Dense features: (B, 3, H, W) -> (B, d, h, w), h = H // patch, w = W // patch; H and W need not be equal.

        What a patch does not fill at the right and bottom border is left out, as in the official code.
        """
        self._check_pixels(pixels)
        dense = self.visual.forward_intermediates(pixels).dense
        assert dense is not None
        return _maybe_normalize(dense, normalize)

    def encode_regions(self, pixels: Tensor, boxes: Sequence[Tensor], normalize: bool = False) -> Tensor:
        """Region features.

        Args:
            pixels: (B, 3, H, W) normalised pixels.
            boxes: B tensors (N_i, 4), xyxy in pixels of ``pixels``; N_i may be 0. A box without area gives zeros.
            normalize: scale rows to length 1.

        Returns:
            (sum N_i, d), image by image.
        """
        return _maybe_normalize(self.pool_regions(self.encode_dense(pixels), boxes), normalize)

    def pool_regions(self, dense: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Region features from a dense map (B, d, h, w) already at hand; boxes as for :meth:`encode_regions`."""
        return self.pooler(dense, boxes, self.patch_size)

    def encode_text(self, token_ids: Tensor, long: bool = False, normalize: bool = False) -> Tensor:
        """Text features: (T, L) int64 -> (T, d); ``long`` takes the 248-token table and its projection."""
        return _maybe_normalize(self.text(token_ids, long=long), normalize)

    @torch.no_grad()
    def clamp_logit_scales(self, maximum: float) -> None:
        """Bound the three exponentiated scales from above, in place; from below they stop at 1."""
        for scale in (self.logit_scale, self.logit_scale_region, self.logit_scale_hard_negative):
            scale.clamp_(0.0, math.log(maximum))

    def tokenize(self, texts: str | Sequence[str], long: bool = False) -> Tensor:
        """Token ids (T, 77), or (T, 248) with ``long``, int64, on the CPU."""
        return self.tokenizer(texts, self.text.long_context_length if long else self.text.context_length)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, weights, preprocessing and tokenizer files, with the official key names.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in state_to_hf(self.state_dict()).items()}
        save_file(state, folder / WEIGHTS_FILE, metadata={'format': 'pt'})
        dtype = str(self.logit_scale.dtype).removeprefix('torch.')
        size = self.visual.image_size
        preprocessor = dict(
            image_processor_type='CLIPImageProcessor',
            do_resize=True,
            size=dict(height=size, width=size),
            do_center_crop=False,
            do_normalize=True,
            image_mean=IMAGE_MEAN,
            image_std=IMAGE_STD,
        )
        (folder / CONFIG_FILE).write_text(json.dumps(config_to_hf(self._full_config(), dtype), indent=2) + '\n')
        (folder / 'preprocessor_config.json').write_text(json.dumps(preprocessor, indent=2) + '\n')
        if self._tokenizer is not None or self.text.vocab_size == 49408:
            self.tokenizer.save(folder)

    def _check_pixels(self, pixels: Tensor) -> None:
        """Raise ValueError unless the shape is (B, 3, H, W) with room for a patch; what is left of one is cut off."""
        shape = tuple(pixels.shape)
        if len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < self.patch_size:
            raise ValueError(f'pixels: expected (B, 3, H, W) with H and W at least {self.patch_size}, got {shape}')

    def _load(self, state: dict[str, Tensor], source: str | Path) -> None:
        own = self.state_dict()
        sizes = [
            f'{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}'
            for name, value in own.items()
            if name in state and state[name].shape != value.shape
        ]
        problems = {
            'missing': own.keys() - state.keys(),
            'left over': state.keys() - own.keys(),
            'of another size': sizes,
        }
        if any(problems.values()):
            lists = [f'{what}: {", ".join(sorted(names))}' for what, names in problems.items() if names]
            raise UserError(f'checkpoint {source}: it does not fit the model; weights {"; weights ".join(lists)}')
        self.load_state_dict(state)

    def _full_config(self) -> dict[str, Any]:
        """The towers' sizes with every default written out."""
        vision, text = self.visual, self.text
        return dict(
            vision=dict(
                image_size=vision.image_size,
                patch_size=vision.patch_size,
                width=vision.width,
                num_layers=vision.num_layers,
                num_heads=vision.num_heads,
                mlp_width=vision.mlp_width,
                output_dim=vision.output_dim,
            ),
            text=dict(
                vocab_size=text.vocab_size,
                width=text.width,
                num_layers=text.num_layers,
                num_heads=text.num_heads,
                mlp_width=text.mlp_width,
                context_length=text.context_length,
                eos_token_id=text.eos_token_id,
            ),
        )


def _maybe_normalize(features: Tensor, normalize: bool) -> Tensor:
    return F.normalize(features, dim=1) if normalize else features
