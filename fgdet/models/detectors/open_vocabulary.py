"""What every detector whose classes are words has in common: a text tower, a vocabulary, and heads that take classes.

Axes: B images, K names, N negative prompts or boxes of an image, d dimension of an embedding.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fgdet.models.detectors.input_check import check_input
from fgdet.ops.roi_align import region_pool
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


class TakesClasses(Protocol):
    """A head whose classes may change between two calls."""

    def set_classes(self, class_embeddings: Tensor, is_trained: Tensor, num_negatives: int = 0) -> None:
        """Take the classes of the following calls.

        Args:
            class_embeddings: (K + N, d), of length 1: the names, then the negative prompts.
            is_trained: (K + N,) bool, True for a class with boxes in training.
            num_negatives: N: classes that compete with the names but are never reported.
        """


class OpenVocabularyMixin:
    """The vocabulary of a detector, to be mixed into one of mmdet's.

    A detector calls :meth:`init_vocabulary` at the end of its ``__init__``, names its heads in :meth:`heads`, and
    predicts in :meth:`predict_levels`.

    Attributes:
        class_embeddings: the text tower, a :class:`~fgdet.models.classifiers.class_embeddings.ClassEmbeddings`.
        training_vocabulary: the vocabulary of the config; training labels index its names.
        vocabulary: the one that predictions look for.
    """

    backbone: Any
    neck: Any
    add_pred_to_datasample: Any
    data_preprocessor: Any
    class_embeddings: Any
    training_vocabulary: Vocabulary
    vocabulary: Vocabulary

    def init_vocabulary(self, class_embeddings: dict[str, Any], vocabulary: dict[str, Any] | str) -> None:
        """Build the text tower and take the names of the config.

        Args:
            class_embeddings: config of the text tower.
            vocabulary: arguments, name or file of a :meth:`~fgdet.structures.vocabulary.Vocabulary.build`.

        Raises:
            UserError: the vocabulary is malformed or has no base names.
        """
        self.class_embeddings = MODELS.build(class_embeddings)
        self.training_vocabulary = Vocabulary.build(vocabulary)
        if not self.training_vocabulary.base:
            raise UserError('detector vocabulary base: no names; give those that have boxes in training')
        self.vocabulary = self.training_vocabulary
        self._current_embeddings: Tensor | None = None

    def init_weights(self) -> None:
        """Load the towers from the checkpoints of their configs, if those were given.

        Raises:
            UserError: a checkpoint does not fit its tower, or the image tower was trained on pixels that are normalised
                otherwise than the config's ``data_preprocessor`` does.
        """
        super().init_weights()  # type: ignore[misc]
        wanted = getattr(self.backbone, 'preprocessing', None)
        if wanted is not None:
            check_input(self.data_preprocessor, wanted)

    def heads(self) -> Iterable[TakesClasses]:
        """The heads that tell classes apart."""
        raise NotImplementedError

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised pixels -> the levels of the pyramid."""
        return self.neck(self.backbone(batch_inputs, dense=False))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[Any]) -> dict[str, Tensor]:
        """mmdet's losses; labels index the training vocabulary."""
        self.use(self.training_vocabulary)
        return super().loss(batch_inputs, batch_data_samples)  # type: ignore[misc]

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[Any], rescale: bool = True) -> list[Any]:
        """Detections of each image.

        Args:
            batch_inputs: (B, 3, H, W) normalised pixels.
            batch_data_samples: with each image's ``img_shape``, ``batch_input_shape`` and ``scale_factor``.
            rescale: return boxes in pixels of the original image rather than of the network's input.

        Returns:
            the samples with ``pred_instances``: ``bboxes`` (M, 4) xyxy, ``scores`` (M,), ``labels`` (M,) that index
            :attr:`vocabulary`, and ``masks`` where the detector makes them.
        """
        self.use(self.vocabulary)
        *taps, dense = self.backbone(batch_inputs)
        results = self.predict_levels(self.neck(taps), dense, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def predict_vocabularies(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[Any],
        vocabularies: Iterable[Vocabulary],
        rescale: bool = True,
    ) -> Iterator[list[Any]]:
        """Yield the ``pred_instances`` of each image for one vocabulary after another, as :meth:`predict` gives them.

        The tower and the neck see the images once. Each vocabulary is completed as by :meth:`set_vocabulary`, and
        :attr:`vocabulary` stays the last one.
        """
        *taps, dense = self.backbone(batch_inputs)
        levels = self.neck(taps)
        for vocabulary in vocabularies:
            self.set_vocabulary(vocabulary)
            self.use(self.vocabulary)
            yield self.predict_levels(levels, dense, batch_data_samples, rescale)

    def predict_levels(
        self, levels: tuple[Tensor, ...], dense: Tensor, batch_data_samples: list[Any], rescale: bool
    ) -> list[Any]:
        """The ``pred_instances`` of :meth:`predict`, from the pyramid's levels and the dense map (B, d, h, w)."""
        raise NotImplementedError

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[Any] | None = None) -> tuple:
        self.use(self.vocabulary)
        return super()._forward(batch_inputs, batch_data_samples)  # type: ignore[misc]

    def set_vocabulary(self, vocabulary: Vocabulary | Sequence[str]) -> None:
        """Look for other names from now on; training keeps its own.

        A name among the base names of training keeps a base class's weight in the scores, every other one is novel.

        Args:
            vocabulary: names or a vocabulary. The templates, synonyms, negatives and background that it leaves open are
                those of training.

        Raises:
            UserError: the names are empty, repeated or no strings.
        """
        self.vocabulary = Vocabulary.build(vocabulary).completed_by(self.training_vocabulary)

    def region_features(self, batch_inputs: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """What the frozen tower sees in boxes, as the heads' region scores take it.

        Args:
            batch_inputs: (B, 3, H, W) normalised pixels.
            boxes: for each image (N, 4) xyxy in pixels of ``batch_inputs``.

        Returns:
            (sum of N, d), of length 1, in the space of the class embeddings; zeros for a box without area.
        """
        dense = self.backbone(batch_inputs)[-1]  # (B, d, h, w)
        scale = dense.shape[-1] / batch_inputs.shape[-1]
        return F.normalize(region_pool(dense, list(boxes), spatial_scale=scale)[..., 0, 0].float(), dim=1)

    def use(self, vocabulary: Vocabulary) -> None:
        """Hand the embeddings of a vocabulary to the heads, unless they have them already."""
        embeddings = self.class_embeddings(vocabulary)  # (K + N, d)
        if embeddings is self._current_embeddings:
            return
        trained = set(self.training_vocabulary.base)
        num_negatives = len(embeddings) - len(vocabulary)
        is_trained = torch.tensor([name in trained for name in vocabulary.names] + [False] * num_negatives)
        for head in self.heads():
            head.set_classes(embeddings, is_trained, num_negatives)
        self._current_embeddings = embeddings
