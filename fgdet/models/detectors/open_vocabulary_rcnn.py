"""A two-stage detector whose classes are words.

Axes: B images, H x W pixels, h x w patches, K classes, D width of the tower, d dimension of an embedding.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from torch import Tensor

from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


@MODELS.register_module()
class OpenVocabularyRCNN(TwoStageDetector):
    """mmdet's two stages on a tower that also gives a dense map, with a text tower that turns names into classes.

    The detector is self-contained: both towers are in its checkpoint. It trains on the base names of ``vocabulary`` and
    then looks for any names, see :meth:`set_vocabulary`.

    Args:
        backbone: config of a :class:`~fgdet.models.backbones.clip_vit.CLIPViTBackbone`.
        neck: config of what makes a pyramid of the taps, or a list of them in order.
        rpn_head: config of the proposal head.
        roi_head: config of an :class:`~fgdet.models.roi_heads.open_vocabulary_roi_head.OpenVocabularyRoIHead`.
        class_embeddings: config of a :class:`~fgdet.models.classifiers.class_embeddings.ClassEmbeddings`.
        vocabulary: arguments of :class:`~fgdet.structures.vocabulary.Vocabulary`: the names that training labels index,
            of which ``base`` have boxes. The same as the data sets'.
        train_cfg: mmdet's ``rpn``, ``rpn_proposal`` and ``rcnn``.
        test_cfg: mmdet's ``rpn`` and ``rcnn``.
        data_preprocessor: config of the preprocessor; its padding must leave whole patches.
        init_cfg: as for :class:`mmengine.model.BaseModule`.

    Attributes:
        training_vocabulary: the vocabulary of the config.
        vocabulary: the one that :meth:`predict` looks for.

    Raises:
        UserError: the vocabulary is malformed or has no base names.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any] | list[dict[str, Any]],
        rpn_head: dict[str, Any],
        roi_head: dict[str, Any],
        class_embeddings: dict[str, Any],
        vocabulary: dict[str, Any],
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        roi_head = copy.deepcopy(roi_head)  # mmdet writes into it
        super().__init__(backbone, neck, rpn_head, roi_head, train_cfg, test_cfg, data_preprocessor, init_cfg)
        self.class_embeddings = MODELS.build(class_embeddings)
        self.training_vocabulary = Vocabulary(**vocabulary)
        if not self.training_vocabulary.base:
            raise UserError('detector vocabulary base: no names; give those that have boxes in training')
        self.vocabulary = self.training_vocabulary
        self._current_embeddings: Tensor | None = None

    def set_vocabulary(self, vocabulary: Vocabulary | Sequence[str]) -> None:
        """Look for other names from now on; training keeps its own.

        A name among the base names of training keeps a base class's weight in the scores, every other one is novel.

        Args:
            vocabulary: names, which take the training vocabulary's templates and synonyms; or a vocabulary of its own.

        Raises:
            UserError: the names are empty, repeated or no strings.
        """
        if not isinstance(vocabulary, Vocabulary):
            trained = self.training_vocabulary
            vocabulary = Vocabulary(vocabulary, templates=trained.templates)
            known = {name: words for name, words in trained.synonyms.items() if name in vocabulary.names}
            vocabulary = Vocabulary(vocabulary.names, templates=trained.templates, synonyms=known)
        self.vocabulary = vocabulary

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) normalised pixels -> the levels of the pyramid."""
        return self.neck(self.backbone(batch_inputs, dense=False))

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """mmdet's losses of both stages; labels index the training vocabulary."""
        self._use(self.training_vocabulary)
        return super().loss(batch_inputs, batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detections of each image.

        Args:
            batch_inputs: (B, 3, H, W) normalised pixels.
            batch_data_samples: with each image's ``img_shape``, ``batch_input_shape`` and ``scale_factor``.
            rescale: return boxes in pixels of the original image rather than of the network's input.

        Returns:
            the samples with ``pred_instances``: ``bboxes`` (N, 4) xyxy, ``scores`` (N,), ``labels`` (N,) that index
            :attr:`vocabulary`.
        """
        self._use(self.vocabulary)
        *taps, dense = self.backbone(batch_inputs)
        pyramid = self.neck(taps)
        proposals = self.rpn_head.predict(pyramid, batch_data_samples, rescale=False)
        results = self.roi_head.predict((*pyramid, dense), proposals, batch_data_samples, rescale=rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> tuple:
        self._use(self.vocabulary)
        return super()._forward(batch_inputs, batch_data_samples)

    def _use(self, vocabulary: Vocabulary) -> None:
        """Hand the embeddings of a vocabulary to the box head, unless it has them already."""
        embeddings = self.class_embeddings(vocabulary)  # (K, d)
        if embeddings is self._current_embeddings:
            return
        trained = set(self.training_vocabulary.base)
        is_trained = torch.tensor([name in trained for name in vocabulary.names])  # (K,)
        self.roi_head.bbox_head.set_classes(embeddings, is_trained)
        self._current_embeddings = embeddings
