"""Names to unit vectors: the text tower inside a detector.

Axes: K names, N negative and background prompts, P prompts of all of them, L tokens, d dimension shared with the image
tower.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from fgdet.checkpoints.loading import load_tower_into
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError

#: Texts that pass the text tower at once.
BATCH_SIZE = 256


@MODELS.register_module()
class ClassEmbeddings(BaseModule):
    """One unit vector a class: the mean of its prompts' unit vectors, normalised (CLIP, arXiv 2103.00020, 3.1.4).

    The text tower is frozen and saved with the detector, so a detector's checkpoint takes any vocabulary without a
    further file. Embeddings are computed when they are first asked for and kept for each class by its prompts, so a
    name that two vocabularies share is encoded once; loading weights or moving the module forgets them.

    Args:
        text_encoder: config of a :class:`~fgdet.models.encoders.text_transformer.TextTransformer` with CLIP's tokens;
            or one that is there already.
        checkpoint: FG-CLIP or CLIP weights that :meth:`init_weights` loads (see :func:`fgdet.checkpoints.loading`).
        init_cfg: as for :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        text_encoder: dict[str, Any] | nn.Module,
        checkpoint: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        text: Any = text_encoder if isinstance(text_encoder, nn.Module) else MODELS.build(text_encoder)
        self.text = text.eval().requires_grad_(False)
        self.checkpoint = checkpoint
        self._tokenizer: Tokenizer | None = None
        self._by_prompts: dict[tuple[str, ...], Tensor] = {}
        self._last: tuple[Vocabulary, Tensor] | None = None

    def init_weights(self) -> None:
        """Load the text tower from ``checkpoint``, if one was given.

        Raises:
            UserError: nothing usable is there, or it is of another architecture than ``text_encoder``.
        """
        super().init_weights()
        if self.checkpoint is not None:
            load_tower_into(self.text, self.checkpoint, 'text')
            self.forget()

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """Embeddings of a vocabulary, of length 1; the same tensor again while nothing changed.

        Returns:
            (K + N, d): the names, the vocabulary's image prompts among them, then its negatives, then its background.

        Raises:
            UserError: an image prompt is of another length than d.
        """
        if self._last is None or (self._last[0] is not vocabulary and self._last[0] != vocabulary):
            self._last = (vocabulary, self._embed(vocabulary))
        return self._last[1]

    def _embed(self, vocabulary: Vocabulary) -> Tensor:
        number = len(vocabulary) + vocabulary.num_negatives
        from_image = {
            vocabulary.names.index(name): torch.from_numpy(vector.copy())
            for name, vector in vocabulary.image_prompts.items()
        }
        prompts = {i: tuple(vocabulary.prompts(i)) for i in range(number) if i not in from_image}
        self._encode_missing(list(prompts.values()))
        weight = self.text.projection.weight
        embeddings = torch.empty(number, len(weight), device=weight.device)  # (K + N, d)
        for index, each in prompts.items():
            embeddings[index] = self._by_prompts[each]
        for index, vector in from_image.items():
            if len(vector) != len(weight):
                raise UserError(
                    f'vocabulary image_prompts of {vocabulary.names[index]!r}: expected {len(weight)} numbers, as the '
                    f'text tower gives, got {len(vector)}'
                )
            embeddings[index] = vector.to(embeddings)
        return embeddings

    def forget(self) -> None:
        """Drop what was computed from earlier weights."""
        self._by_prompts.clear()
        self._last = None

    def train(self, mode: bool = True) -> 'ClassEmbeddings':
        """The text tower stays in eval mode."""
        super().train(mode)
        self.text.eval()
        return self

    @torch.no_grad()
    def _encode_missing(self, prompts: list[tuple[str, ...]]) -> None:
        missing = [each for each in dict.fromkeys(prompts) if each not in self._by_prompts]
        if not missing:
            return
        token_ids = self._tokenize([text for each in missing for text in each])  # (P, L)
        # Sorted by length, a batch is cut where its longest text ends.
        order = self.text.pooled_position(token_ids).argsort()
        batches = [F.normalize(self.text(batch).float(), dim=1) for batch in token_ids[order].split(BATCH_SIZE)]
        encoded = torch.cat(batches)[order.argsort()]  # (P, d)
        for each, rows in zip(missing, encoded.split([len(each) for each in missing]), strict=True):
            self._by_prompts[each] = F.normalize(rows.mean(dim=0), dim=0)  # (d,)

    def _tokenize(self, texts: list[str]) -> Tensor:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.clip()
        if self._tokenizer.vocab_size != self.text.vocab_size:
            raise ValueError(
                f'text_encoder: expected the {self._tokenizer.vocab_size} tokens of CLIP, got {self.text.vocab_size}'
            )
        device = self.text.projection.weight.device
        return self._tokenizer(texts, self.text.context_length).to(device)

    def _load_from_state_dict(self, *args: Any) -> None:
        self.forget()
        super()._load_from_state_dict(*args)

    def _apply(self, *args: Any, **kwargs: Any) -> 'ClassEmbeddings':
        self.forget()
        return super()._apply(*args, **kwargs)
