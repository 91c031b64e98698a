"""Names to unit vectors: the text tower inside a detector.

Axes: K names, N negative and background prompts, P prompts of all of them, L tokens, d dimension shared with the image
tower.
"""

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from fgdet.checkpoints.loading import load_tower_into
from fgdet.models.classifiers.embedding_store import ENDING, EmbeddingStore, default_folder
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from fgdet.utils.fingerprint import state_fingerprint

#: Texts that pass the text tower at once.
BATCH_SIZE = 256
#: Rows whose prompts are encoded, averaged and kept before the next ones.
ROWS_AT_ONCE = 256
#: From so many prompts on a user is told what takes time: about 10 s on a CPU core with the text tower of ViT-B/16.
MANY_PROMPTS = 2500
#: Changes with the meaning of what is kept on disk.
_FORMAT = 1


@MODELS.register_module()
class ClassEmbeddings(BaseModule):
    """One unit vector a class: the mean of its prompts' unit vectors, normalised (CLIP, arXiv 2103.00020, 3.1.4).

    The text tower is frozen and saved with the detector, so a detector's checkpoint takes any vocabulary without a
    further file. Embeddings are computed when they are first asked for and kept by their prompts, in memory and in one
    file for each text tower, so a name that two vocabularies or two starts share is encoded once. The file is named
    after the content of the tower (weights and settings): another tower never finds it.

    A prompt of more tokens than the tower reads (77) is cut, as open_clip does, and a warning names the first such
    names. Names that differ in case alone read alike to CLIP; a warning names them too.

    Args:
        text_encoder: config of a :class:`~fgdet.models.encoders.text_transformer.TextTransformer` with CLIP's tokens;
            or one that is there already.
        checkpoint: FG-CLIP or CLIP weights that :meth:`init_weights` loads (see :func:`fgdet.checkpoints.loading`).
        cache_dir: folder of the files; ``'auto'`` is ``class_embeddings`` in ``$FGDET_CACHE`` or, where that is not
            set, in ``~/.cache/fgdet``. None, or an empty ``$FGDET_CACHE``, keeps nothing on disk.
        lazy: for inference: the tower is neither initialised nor moved with the module before a prompt is missing; it
            stays in memory as :meth:`load_state_dict` was given it, and saves its building (1 s for ViT-B/16) and its
            place on the GPU.
        init_cfg: as for :class:`mmengine.model.BaseModule`.
    """

    text: Any
    device_of: Tensor

    def __init__(
        self,
        text_encoder: dict[str, Any] | nn.Module,
        checkpoint: str | None = None,
        cache_dir: str | Path | None = 'auto',
        lazy: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        with torch.device('meta') if lazy else contextlib.nullcontext():
            text: Any = text_encoder if isinstance(text_encoder, nn.Module) else MODELS.build(text_encoder)
        # In a list torch does not see it: it is neither moved nor counted among the parameters.
        self._aside: list[nn.Module] = [text.eval().requires_grad_(False)]
        if not lazy:
            self.text = self._aside.pop()
        self.register_buffer('device_of', torch.empty(0), persistent=False)
        self.checkpoint = checkpoint
        self.cache_dir = cache_dir
        self._tokenizer: Tokenizer | None = None
        self._store: EmbeddingStore | None = None
        self._last: tuple[Vocabulary, Tensor] | None = None

    def init_weights(self) -> None:
        """Load the text tower from ``checkpoint``, if one was given.

        Raises:
            UserError: nothing usable is there, or it is of another architecture than ``text_encoder``.
        """
        super().init_weights()
        if self.checkpoint is not None:
            self._aside = [tower.to_empty(device='cpu') for tower in self._aside]
            load_tower_into(self._held, self.checkpoint, 'text')
            self.forget()

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """Embeddings of a vocabulary, of length 1; the same tensor again while nothing changed.

        Returns:
            (K + N, d) float32: the names, the vocabulary's image prompts among them, then its negatives, then its
            background.

        Raises:
            UserError: an image prompt is of another length than d.
        """
        if self._last is None or (self._last[0] is not vocabulary and self._last[0] != vocabulary):
            self._last = (vocabulary, self._embed(vocabulary))
        return self._last[1]

    def forget(self) -> None:
        """Drop what was computed from earlier weights."""
        self._store = None
        self._last = None

    def train(self, mode: bool = True) -> 'ClassEmbeddings':
        """The text tower stays in eval mode."""
        super().train(mode)
        self._held.eval()
        return self

    @property
    def _held(self) -> Any:
        """The text tower, wherever it is."""
        return self._aside[0] if self._aside else self.text

    def _embed(self, vocabulary: Vocabulary) -> Tensor:
        _warn_alike(vocabulary.names)
        if self._store is None:
            self._store = EmbeddingStore(self._held.output_dim, self._file())
        is_text = [name not in vocabulary.image_prompts for name in vocabulary.names]
        indices = [i for i in range(len(vocabulary) + vocabulary.num_negatives) if i >= len(is_text) or is_text[i]]
        keys = vocabulary.prompt_keys()
        self._encode_missing(vocabulary, {keys[i]: i for i in indices if keys[i] not in self._store}, self._store)
        embeddings = np.empty((len(keys), self._held.output_dim), dtype=np.float32)  # (K + N, d)
        embeddings[indices] = self._store.rows([keys[i] for i in indices])
        for name, vector in vocabulary.image_prompts.items():
            if len(vector) != self._held.output_dim:
                raise UserError(
                    f'vocabulary image_prompts of {name!r}: expected {self._held.output_dim} numbers, as the text '
                    f'tower gives, got {len(vector)}'
                )
            embeddings[vocabulary.names.index(name)] = vector
        return torch.from_numpy(embeddings).to(self.device_of.device)

    def _file(self) -> Path | None:
        """Where the embeddings of this tower are kept; the name says all that they depend on but for the prompts."""
        folder = default_folder() if self.cache_dir == 'auto' else self.cache_dir
        if folder is None:
            return None
        tower = self._held
        settings = (_FORMAT, tower.activation, tower.num_heads, tower.context_length, tower.eos_token_id)
        content = f'{settings} {state_fingerprint(tower)}'
        return Path(folder) / f'{hashlib.sha256(content.encode()).hexdigest()[:32]}{ENDING}'

    def _encode_missing(self, vocabulary: Vocabulary, missing: dict[bytes, int], store: EmbeddingStore) -> None:
        """Encode the prompts of rows of a vocabulary, by key, and keep them as they come."""
        if not missing:
            return
        if self._aside:
            self.text = self._aside.pop().to(self.device_of.device, torch.float32)
        keys, too_long = list(missing), []
        num_prompts = len(missing) * len(vocabulary.templates)
        if num_prompts >= MANY_PROMPTS:
            place = f'kept in {store.path}' if store.path else 'not kept, as there is no cache_dir'
            print_log(
                f'class embeddings: {len(missing)} names in {len(vocabulary.templates)} templates are encoded; {place}',
                'current',
            )
        for start in range(0, len(keys), ROWS_AT_ONCE):
            some = keys[start : start + ROWS_AT_ONCE]
            prompts = [vocabulary.prompts(missing[key]) for key in some]
            rows, is_long = self._encode(prompts)
            store.add(some, rows.cpu().numpy())
            too_long += [vocabulary.words(missing[key])[0] for key, long in zip(some, is_long, strict=True) if long]
        if too_long:
            shown = ', '.join(repr(_shortened(name)) for name in too_long[:3])
            print_log(
                f'vocabulary: the prompts of {len(too_long)} names are longer than the {self.text.context_length} '
                f'tokens that the text tower reads; what comes after is not seen: {shown}',
                'current',
                logging.WARNING,
            )

    @torch.no_grad()
    def _encode(self, prompts: Sequence[Sequence[str]]) -> tuple[Tensor, list[bool]]:
        """The mean of each row's prompts, (n, d), and which rows have a prompt that was cut."""
        texts = [text for each in prompts for text in each]
        order = sorted(range(len(texts)), key=texts.__getitem__)  # equal beginnings, computed once, side by side
        token_ids, is_cut = self._tokenize([texts[i] for i in order])  # (P, L)
        device = self.device_of.device
        with torch.autocast(device.type, enabled=False):
            encoded = [self.text.encode_groups([(batch, False)])[0].float() for batch in token_ids.split(BATCH_SIZE)]
        back = torch.tensor(order).argsort()
        units = F.normalize(torch.cat(encoded), dim=1)[back.to(device)]  # (P, d)
        counts = [len(each) for each in prompts]
        means = torch.stack([rows.mean(dim=0) for rows in units.split(counts)])  # (n, d)
        return F.normalize(means, dim=1), [bool(rows.any()) for rows in is_cut[back].split(counts)]

    def _tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token ids (P, L) on the CPU, and which texts were cut to fit, (P,) bool."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.clip()
        if self._tokenizer.vocab_size != self.text.vocab_size:
            raise ValueError(
                f'text_encoder: expected the {self._tokenizer.vocab_size} tokens of CLIP, got {self.text.vocab_size}'
            )
        length = self.text.context_length
        longer = self._tokenizer(texts, length + 1)
        is_cut = longer[:, length - 1] != self._tokenizer.end_id
        token_ids = longer[:, :length].clone()
        token_ids[is_cut, -1] = self._tokenizer.end_id
        return token_ids, is_cut

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.forget()
        if not self._aside:
            super()._load_from_state_dict(state_dict, prefix, *args)
            return
        _local_metadata, _strict, missing, unexpected, errors = args
        start = f'{prefix}text.'
        weights = {name.removeprefix(start): value for name, value in state_dict.items() if name.startswith(start)}
        try:
            unfit = self._aside[0].load_state_dict(weights, strict=False, assign=True)
        except RuntimeError as error:
            errors += [line.strip() for line in str(error).splitlines()[1:]]
            return
        self._aside[0].requires_grad_(False)
        missing += [start + name for name in unfit.missing_keys]
        unexpected += [start + name for name in unfit.unexpected_keys]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for tower in self._aside:
            tower.state_dict(destination=destination, prefix=f'{prefix}text.', keep_vars=keep_vars)

    def _apply(self, *args: Any, **kwargs: Any) -> 'ClassEmbeddings':
        self.forget()
        return super()._apply(*args, **kwargs)


def _warn_alike(names: Sequence[str]) -> None:
    """Say which names CLIP cannot tell apart, as it reads lower case."""
    by_text: dict[str, str] = {}
    alike = [(by_text[name.lower()], name) for name in names if by_text.setdefault(name.lower(), name) != name]
    if alike:
        shown = ', '.join(f'{first!r} and {second!r}' for first, second in alike[:3])
        print_log(
            f'vocabulary: the text tower reads lower case, so these are one class to it: {shown}; '
            'give one of them as a synonym of the other',
            'current',
            logging.WARNING,
        )


def _shortened(name: str, length: int = 60) -> str:
    return name if len(name) <= length else f'{name[:length]} ...'
