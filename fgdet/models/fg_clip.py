"""FG-CLIP: the two towers, the region pooler and the three scales; features only, no loss.

Axes: B images, R regions, T texts, L tokens, h x w patches, d embedding.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD
from fgdet.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from fgdet.checkpoints.lora_state import merge_lora_state
from fgdet.checkpoints.saving import write_hf_folder
from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.models.layers.lora import ATTENTION, add_lora_
from fgdet.models.region_poolers.roi_align_pooler import RoIAlignPooler
from fgdet.registry import MODELS
from fgdet.structures.preprocessing import Preprocessing
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
        checkpoint: weights to start from, as for :meth:`from_pretrained`; their sizes and activation must be those
            given here. Their tokenizer and the preprocessing of their images come with them.
        tokenizer: turns texts into ids; CLIP's own is read when it is first needed.
        preprocessing: fields of :class:`~fgdet.structures.preprocessing.Preprocessing` to use in the place of the
            checkpoint's or CLIP's: ``dict(image_size=336)`` for a model that sees images of another side than that of
            its position table.

    Attributes:
        preprocessing: how images and texts must be made for these weights, a
            :class:`~fgdet.structures.preprocessing.Preprocessing`.

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
        preprocessing: dict[str, Any] | None = None,
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
        images: dict[str, Any] = {}
        if checkpoint is not None:
            loaded = load_checkpoint(checkpoint, vision.get('activation'))
            self._check_activations(loaded.config, checkpoint)
            self._load(loaded.state, checkpoint)
            images = loaded.preprocessing
            self._tokenizer = tokenizer or _read_tokenizer(loaded.tokenizer_folder)
        self._check_tokenizer()
        self.preprocessing = self._preprocessing(images | dict(preprocessing or {}))

    @classmethod
    def from_pretrained(
        cls, path: str | Path, dtype: torch.dtype | None = torch.float32, activation: str | None = None
    ) -> 'FGCLIP':
        """FG-CLIP in eval mode, on the CPU.

        Args:
            path: a folder in the Hugging Face layout of FG-CLIP or CLIP or in open_clip's, an OpenAI or open_clip state
                dict, OpenAI's TorchScript archive, a checkpoint of fgdet's own pretraining, or a hub id; told apart by
                content.
            dtype: of the weights; None leaves each as it is stored.
            activation: ``quick_gelu`` or ``gelu``, for a state dict that does not say; as for
                :func:`~fgdet.checkpoints.loading.load_checkpoint`.

        Raises:
            UserError: nothing usable is there, or weights are missing, left over, or of other sizes than the config
                says; they are listed.
        """
        return cls.from_loaded(load_checkpoint(path, activation), path, dtype)

    @classmethod
    def from_loaded(
        cls, loaded: LoadedCheckpoint, source: str | Path, dtype: torch.dtype | None = torch.float32
    ) -> 'FGCLIP':
        """As :meth:`from_pretrained`, from what was read already; ``source`` is how an error names it."""
        tokenizer = _read_tokenizer(loaded.tokenizer_folder)
        try:
            with torch.device('meta'):  # nothing is drawn only to be overwritten
                model = cls(**loaded.config, tokenizer=tokenizer, preprocessing=loaded.preprocessing)
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise UserError(f'checkpoint {source}: its config describes no FG-CLIP ({error})') from error
        dtypes = {name: dtype if value.is_floating_point() else None for name, value in loaded.state.items()}
        model._load({n: value.to(dtypes[n] or value.dtype, copy=True) for n, value in loaded.state.items()}, source)
        return model.eval()

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

    def preprocess(self, images: Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray]) -> Tensor:
        """Images to pixels as these weights want them.

        Args:
            images: one or B of them, Pillow images or uint8 arrays (H, W, 3) or (H, W), of any sizes.

        Returns:
            (B, 3, S, S) float32, squashed to the side S and normalised; a box scales with it, x by S / W, y by S / H.
        """
        return self.preprocessing.to_pixels([images] if isinstance(images, Image.Image | np.ndarray) else images)

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

    def touched_patches(self, boxes: Sequence[Tensor], size_hw: tuple[int, int]) -> Tensor:
        """The patches that :meth:`pool_regions` may read, (B, h, w) bool; ``size_hw`` is the images', in pixels."""
        grid = (size_hw[0] // self.patch_size, size_hw[1] // self.patch_size)
        return self.pooler.touched(boxes, grid, self.patch_size)

    def encode_text(self, token_ids: Tensor, long: bool = False, normalize: bool = False) -> Tensor:
        """Text features: (T, L) int64 -> (T, d); ``long`` takes the 248-token table and its projection."""
        return _maybe_normalize(self.text(token_ids, long=long), normalize)

    @torch.no_grad()
    def clamp_logit_scales(self, maximum: float) -> None:
        """Bound the three exponentiated scales from above, in place; from below they stop at 1."""
        for scale in (self.logit_scale, self.logit_scale_region, self.logit_scale_hard_negative):
            scale.clamp_(0.0, math.log(maximum))

    def freeze_(self, names: Sequence[str]) -> None:
        """Stop parts from learning, in place.

        Args:
            names: modules or parameters by their path, such as ``visual``, ``text.blocks.0`` or ``logit_scale``.

        Raises:
            ValueError: a name is none of them.
        """
        parts: dict[str, nn.Module | nn.Parameter] = {**dict(self.named_modules()), **dict(self.named_parameters())}
        for name in names:
            if not name or name not in parts:
                top = sorted(part for part in parts if part and '.' not in part)
                raise ValueError(f'frozen: no part of FG-CLIP is called {name!r}; the largest are {", ".join(top)}')
            parts[name].requires_grad_(False)

    def add_lora_(
        self, rank: int, alpha: float, towers: Sequence[str] = ('visual', 'text'), targets: Sequence[str] = ATTENTION
    ) -> None:
        """Freeze towers and let low-rank adapters on their linear layers learn instead, in place.

        What :meth:`save_pretrained` writes, and what a run's checkpoint loads as, are plain weights all the same.

        Args:
            rank, alpha, targets: as for :func:`~fgdet.models.layers.lora.add_lora_`.
            towers: ``visual``, ``text`` or both.

        Raises:
            ValueError: a tower has another name, or as :func:`~fgdet.models.layers.lora.add_lora_`.
        """
        if not towers or not set(towers) <= {'visual', 'text'}:
            raise ValueError(f"LoRA towers must be 'visual', 'text' or both, got {list(towers)}")
        for tower in towers:
            add_lora_(self.get_submodule(tower), rank, alpha, targets)

    def tokenize(self, texts: str | Sequence[str], long: bool = False) -> Tensor:
        """Token ids (T, 77), or (T, 248) with ``long``, int64, on the CPU; the lengths are ``preprocessing``'s."""
        wanted = self.preprocessing
        return self.tokenizer(texts, wanted.long_context_length if long else wanted.context_length)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, weights, preprocessing and tokenizer files, with the official key names.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        write_hf_folder(folder, merge_lora_state(self.state_dict()), self.full_config(), self.preprocessing)
        self.save_tokenizer(folder)

    def save_tokenizer(self, folder: str | Path) -> None:
        """Write the files of the tokenizer, where there is one for this vocabulary."""
        if self._tokenizer is not None or self.text.vocab_size == 49408:
            self.tokenizer.save(folder)

    def full_config(self) -> dict[str, Any]:
        """The arguments of this class with every size written out, and the pooler's where they are not FG-CLIP's."""
        vision, text = self.visual, self.text
        pooler = {name: getattr(self.pooler, name) for name in ('output_size', 'sampling_ratio', 'aligned')}
        return dict(
            **({} if pooler == dict(output_size=1, sampling_ratio=-1, aligned=True) else dict(pooler=pooler)),
            vision=dict(
                image_size=vision.image_size,
                patch_size=vision.patch_size,
                width=vision.width,
                num_layers=vision.num_layers,
                num_heads=vision.num_heads,
                mlp_width=vision.mlp_width,
                output_dim=vision.output_dim,
                activation=vision.activation,
            ),
            text=dict(
                vocab_size=text.vocab_size,
                width=text.width,
                num_layers=text.num_layers,
                num_heads=text.num_heads,
                mlp_width=text.mlp_width,
                output_dim=text.output_dim,
                context_length=text.context_length,
                long_context_length=text.long_context_length,
                eos_token_id=text.eos_token_id,
                activation=text.activation,
            ),
        )

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
            'that are no real numbers': [name for name, value in state.items() if not value.is_floating_point()],
        }
        if any(problems.values()):
            lists = [f'{what}: {", ".join(sorted(names))}' for what, names in problems.items() if names]
            raise UserError(f'checkpoint {source}: it does not fit the model; weights {"; weights ".join(lists)}')
        assign = next(self.parameters()).is_meta
        self.load_state_dict(state, assign=assign)

    def _check_activations(self, config: dict[str, Any], source: str | Path) -> None:
        for name, tower in (('vision', self.visual), ('text', self.text)):
            trained = config[name]['activation']
            if trained != tower.activation:
                raise UserError(
                    f'checkpoint {source}: its {name} tower was trained with activation {trained!r}, and the model has '
                    f'{tower.activation!r}; set activation={trained!r} under {name} in the config'
                )

    def _check_tokenizer(self) -> None:
        """Raise ValueError where the tokenizer's ids are not the text tower's."""
        given, text = self._tokenizer, self.text
        if given is not None and (given.vocab_size, given.end_id) != (text.vocab_size, text.eos_token_id):
            raise ValueError(
                f'the text tower has {text.vocab_size} tokens, of which {text.eos_token_id} ends a text, and its '
                f'tokenizer has {given.vocab_size} and {given.end_id}; give the one that the weights were trained with'
            )

    def _preprocessing(self, given: dict[str, Any]) -> Preprocessing:
        fields: dict[str, Any] = dict(
            image_size=self.visual.image_size,
            mean=IMAGE_MEAN,
            std=IMAGE_STD,
            context_length=self.text.context_length,
            long_context_length=self.text.long_context_length,
        )
        unknown = sorted(given.keys() - set(Preprocessing._fields))
        if unknown:
            raise ValueError(f'preprocessing: unknown {unknown[0]!r}; it has {", ".join(Preprocessing._fields)}')
        fields |= {name: tuple(value) if name in ('mean', 'std') else value for name, value in given.items()}
        return Preprocessing(**fields)


def _read_tokenizer(folder: Path | None) -> Tokenizer | None:
    """The tokenizer whose files lie beside the weights, if any do.

    Raises:
        UserError: they are damaged.
    """
    if folder is None:
        return None
    try:
        return Tokenizer.from_folder(folder)
    except Exception as error:  # the library has an exception of its own for merges that the vocabulary lacks
        raise UserError(f'tokenizer {folder}: vocab.json and merges.txt cannot be read ({error})') from error


def _maybe_normalize(features: Tensor, normalize: bool) -> Tensor:
    return F.normalize(features, dim=1) if normalize else features
