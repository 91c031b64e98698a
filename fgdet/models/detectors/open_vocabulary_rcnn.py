"""A two-stage detector whose classes are words.

Axes: B images, H x W pixels, h x w patches, K classes, D width of the tower, d dimension of an embedding.
"""

import copy
from typing import Any

from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularyRCNN(OpenVocabularyMixin, TwoStageDetector):
    """mmdet's two stages on a tower that also gives a dense map, with a text tower that turns names into classes.

    The detector is self-contained: both towers are in its checkpoint. It trains on the base names of ``vocabulary`` and
    then looks for any names, see :meth:`set_vocabulary`.

    Args:
        backbone: config of a :class:`~fgdet.models.backbones.clip_vit.CLIPViTBackbone`.
        neck: config of what makes a pyramid of the taps, or a list of them in order.
        rpn_head: config of the proposal head.
        roi_head: config of an :class:`~fgdet.models.roi_heads.open_vocabulary_roi_head.OpenVocabularyRoIHead`, with or
            without masks, or of an
            :class:`~fgdet.models.roi_heads.open_vocabulary_cascade_roi_head.OpenVocabularyCascadeRoIHead`.
        class_embeddings: config of a :class:`~fgdet.models.classifiers.class_embeddings.ClassEmbeddings`.
        vocabulary: arguments, name or file of a :meth:`~fgdet.structures.vocabulary.Vocabulary.build`: the names that
            training labels index, of which ``base`` have boxes. The same as the data sets'.
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
        vocabulary: dict[str, Any] | str,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        roi_head = copy.deepcopy(roi_head)  # mmdet writes into it
        super().__init__(backbone, neck, rpn_head, roi_head, train_cfg, test_cfg, data_preprocessor, init_cfg)
        self.init_vocabulary(class_embeddings, vocabulary)

    def heads(self) -> list[Any]:
        """The box head, or those of a cascade."""
        return self.roi_head.box_heads

    def predict_levels(
        self, levels: tuple[Tensor, ...], dense: Tensor, batch_data_samples: list[DetDataSample], rescale: bool
    ) -> list[InstanceData]:
        """See :meth:`~fgdet.models.detectors.open_vocabulary.OpenVocabularyMixin.predict_levels`."""
        proposals = self.rpn_head.predict(levels, batch_data_samples, rescale=False)
        return self.roi_head.predict((*levels, dense), proposals, batch_data_samples, rescale=rescale)
