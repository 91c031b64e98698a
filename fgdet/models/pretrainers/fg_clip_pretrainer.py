"""FG-CLIP's training step: the model's features meet the losses here and nowhere else.

Axes: B images, R regions of the batch, M regions with hard negatives, T hard-negative texts, L tokens, d embedding.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from fgdet.ops.token_tree import text_labels
from fgdet.registry import MODELS
from fgdet.structures.preprocessing import check_preprocessing
from fgdet.structures.region_text_sample import RegionTextSample
from fgdet.utils.checks import NonFiniteLossError


@MODELS.register_module()
class FGCLIPPretrainer(BaseModel):
    """Pretraining of FG-CLIP (arXiv 2505.05071, section 3): global, region and hard-negative losses.

    Stage 1 has the global loss alone, stage 2 all three; the loss of a stage that is not wanted is None.

    Args:
        clip: config of the model, ``fgdet.FGCLIP``.
        global_loss: config of the image-text loss; used for the long and for the short captions.
        region_loss: config of the region-text loss, or None.
        hard_negative_loss: config of the hard-negative loss, or None.
        duplicate_aware: leave equal captions, and equal phrases, out of each other's negatives, on other ranks too. The
            official code does not; False reproduces it.
        max_logit_scale: upper bound on the three scales in each step, as CLIP trains (arXiv 2103.00020, section 2.5:
            100); None leaves them free, as the official FG-CLIP code does.
        data_preprocessor: config of the preprocessor.
        frozen: parts that do not learn, as for :meth:`fgdet.FGCLIP.freeze_`: ``visual`` is the image tower.
        lora: arguments of :meth:`fgdet.FGCLIP.add_lora_`, after freezing: its towers learn through low-rank adapters
            alone. None for none.
    """

    def __init__(
        self,
        clip: dict[str, Any],
        global_loss: dict[str, Any],
        region_loss: dict[str, Any] | None = None,
        hard_negative_loss: dict[str, Any] | None = None,
        duplicate_aware: bool = True,
        max_logit_scale: float | None = 100.0,
        data_preprocessor: dict[str, Any] | None = None,
        frozen: Sequence[str] = (),
        lora: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='fgdet.RegionTextDataPreprocessor'))
        self.clip = MODELS.build(clip)
        self._match_preprocessing(clip)
        self.global_loss = MODELS.build(global_loss)
        self.region_loss = MODELS.build(region_loss) if region_loss else None
        self.hard_negative_loss = MODELS.build(hard_negative_loss) if hard_negative_loss else None
        self.duplicate_aware = duplicate_aware
        self.max_logit_scale = max_logit_scale
        self._batch_keys: list[str] = []
        # A parameter that no loss reaches would stop a run of several processes.
        self.clip.logit_scale_region.requires_grad_(self.region_loss is not None)
        self.clip.logit_scale_hard_negative.requires_grad_(self.hard_negative_loss is not None)
        self.clip.freeze_(frozen)
        if lora:
            self.clip.add_lora_(**lora)

    def forward(
        self, inputs: Tensor, data_samples: Sequence[RegionTextSample] | None = None, mode: str = 'tensor'
    ) -> Any:
        """One of mmengine's modes.

        Args:
            inputs: (B, 3, H, W) normalised pixels.
            data_samples: B samples; needed in the modes ``loss`` and ``predict``.
            mode: ``tensor`` gives global image features (B, d); ``loss`` the dict of losses; ``predict`` the samples,
                each with its normalised features.

        Raises:
            ValueError: the mode is unknown, or it lacks its samples.
        """
        if mode == 'tensor':
            return self.clip.encode_image(inputs)
        if data_samples is None:
            raise ValueError(f"mode '{mode}' needs data_samples")
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got '{mode}'")

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the losses and what is logged; alone and in every wrapper, this comes before the backward pass.

        Raises:
            NonFiniteLossError: the sum is not a finite number; the weights are still those from before the step.
        """
        total, log_vars = super().parse_losses(losses)
        if not torch.isfinite(total):
            raise NonFiniteLossError({name: float(value.detach()) for name, value in losses.items()}, self._batch_keys)
        return total, log_vars

    def loss(self, inputs: Tensor, data_samples: Sequence[RegionTextSample]) -> dict[str, Tensor]:
        """The weighted losses of a batch, each a scalar; their sum is what is minimised.

        The scales are brought within their bound first: here, because a wrapper for several processes calls nothing
        else of ours in each step.
        """
        self._batch_keys = [sample.key for sample in data_samples]
        if self.max_logit_scale is not None:
            self.clip.clamp_logit_scales(self.max_logit_scale)
        uses_regions = self.region_loss is not None or self.hard_negative_loss is not None
        patches = None
        # On the CPU before the image tower starts: the texts are sorted there while another device computes.
        long_ids = torch.stack([s.long_ids for s in data_samples]).cpu()
        short_ids = torch.stack([s.short_ids for s in data_samples]).cpu()
        groups = [(long_ids, True), (short_ids, False)]
        if uses_regions:
            patches = self.clip.touched_patches([s.boxes.cpu() for s in data_samples], inputs.shape[-2:])
            region_ids = torch.cat([s.region_ids for s in data_samples]).cpu()
            groups += [(region_ids, False), (torch.cat([s.hard_ids for s in data_samples]).cpu(), False)]
        vision = self.clip.visual.forward_intermediates(inputs, dense=uses_regions, pooled=True, patches=patches)
        long, short, *phrases = self.clip.text.encode_groups(groups)
        scale = self.clip.logit_scale.exp()
        losses = dict(
            loss_long=self.global_loss(vision.pooled, long, scale, self._labels(long_ids, inputs)),
            loss_short=self.global_loss(vision.pooled, short, scale, self._labels(short_ids, inputs)),
        )
        if not uses_regions:
            return losses

        region_texts, hard_texts = phrases
        regions = self.clip.pool_regions(vision.dense, [s.boxes for s in data_samples])  # (R, d)
        if self.region_loss is not None:
            losses['loss_region'] = self.region_loss(
                regions, region_texts, self.clip.logit_scale_region.exp(), self._labels(region_ids, inputs)
            )
        if self.hard_negative_loss is not None:
            losses['loss_hard_negative'] = self.hard_negative_loss(
                regions[_offset_indices(data_samples)],  # (M, d)
                hard_texts,
                torch.cat([s.hard_sizes for s in data_samples]),
                self.clip.logit_scale_hard_negative.exp(),
            )
        return losses

    def predict(self, inputs: Tensor, data_samples: Sequence[RegionTextSample]) -> Sequence[RegionTextSample]:
        """Add L2-normalised features to each sample.

        ``image_feature``, ``long_feature``, ``short_feature`` are (d,); ``region_features`` and ``phrase_features``
        (R, d); ``hard_features`` (T, d).

        Raises:
            UserError: images or texts are not of the sizes that the weights want (``model.clip.preprocessing``).
        """
        first = data_samples[0]
        check_preprocessing(
            self.clip.preprocessing,
            'evaluate at that, or set model.clip.preprocessing.{field} in the config',
            image_size=inputs.shape[-2:],
            context_length=len(first.short_ids),
            long_context_length=len(first.long_ids),
        )
        vision = self.clip.visual.forward_intermediates(inputs, pooled=True)
        regions = self.clip.pool_regions(vision.dense, [s.boxes for s in data_samples])
        images = F.normalize(vision.pooled, dim=-1)
        phrase_ids = [ids for s in data_samples for ids in (s.region_ids, s.hard_ids)]
        groups = [
            (torch.stack([s.long_ids for s in data_samples]), True),
            (torch.stack([s.short_ids for s in data_samples]), False),
            (torch.cat(phrase_ids), False),
        ]
        long, short, phrases = (F.normalize(features, dim=-1) for features in self.clip.text.encode_groups(groups))
        phrase_rows = phrases.split([len(ids) for ids in phrase_ids])
        region_rows = F.normalize(regions, dim=-1).split([len(s.boxes) for s in data_samples])
        for i, sample in enumerate(data_samples):
            sample.image_feature, sample.long_feature, sample.short_feature = images[i], long[i], short[i]
            sample.region_features = region_rows[i]
            sample.phrase_features, sample.hard_features = phrase_rows[2 * i], phrase_rows[2 * i + 1]
        return data_samples

    def encode_text(self, token_ids: Tensor) -> Tensor:
        """L2-normalised features of short texts, (T, L) -> (T, d).

        A forward pass of its own: FSDP gathers weights around methods of the module that it wraps, not of its parts.
        """
        return self.clip.encode_text(token_ids, normalize=True)

    def _match_preprocessing(self, clip: dict[str, Any]) -> None:
        """A fresh model takes on the mean and deviation of the preprocessor; those of a checkpoint must be the same.

        Raises:
            UserError: they differ.
        """
        given = getattr(self.data_preprocessor, 'normalization', {})
        if clip.get('checkpoint') is None:
            told = clip.get('preprocessing') or {}
            fresh = {name: values for name, values in given.items() if name not in told}
            self.clip.preprocessing = self.clip.preprocessing._replace(**fresh)
        fix = 'set model.data_preprocessor.{field} to that, or model.clip.preprocessing.{field} to what is meant'
        check_preprocessing(self.clip.preprocessing, fix, **given)

    def _labels(self, token_ids: Tensor, inputs: Tensor) -> Tensor | None:
        """The content labels of texts on the device of the inputs, (T, L) -> (T,), where equal texts count as one."""
        if not self.duplicate_aware:
            return None
        return text_labels(token_ids, self.clip.text.eos_token_id).to(inputs.device, non_blocking=True)


def _offset_indices(data_samples: Sequence[RegionTextSample]) -> Tensor:
    """Rows of the regions with hard negatives among the regions of the whole batch, (M,)."""
    offset, rows = 0, []
    for sample in data_samples:
        rows.append(sample.hard_regions + offset)
        offset += len(sample.boxes)
    return torch.cat(rows)
