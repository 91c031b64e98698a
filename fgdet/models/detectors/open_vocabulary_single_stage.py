"""A one-stage detector whose classes are words.

Axes: B images, H x W pixels, d dimension of an embedding.
"""

import copy
from typing import Any

from mmdet.models.detectors import SingleStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.registry import MODELS


@MODELS.register_module()
class OpenVocabularySingleStage(OpenVocabularyMixin, SingleStageDetector):
    """mmdet's single stage on a tower that also gives a dense map, with a text tower that turns names into classes.

    The detector is self-contained: both towers are in its checkpoint. It trains on the base names of ``vocabulary`` and
    then looks for any names, see :meth:`set_vocabulary`.

    Args:
        backbone: config of a :class:`~fgdet.models.backbones.clip_vit.CLIPViTBackbone`.
        neck: config of what makes a pyramid of the taps, or a list of them in order.
        bbox_head: config of an :class:`~fgdet.models.dense_heads.ov_atss_head.OVATSSHead`, or of another head that
            takes classes and whose ``predict`` takes the dense map as last feature.
        class_embeddings: config of a :class:`~fgdet.models.classifiers.class_embeddings.ClassEmbeddings`.
        vocabulary: arguments, name or file of a :meth:`~fgdet.structures.vocabulary.Vocabulary.build`: the names that
            training labels index, of which ``base`` have boxes. The same as the data sets'.
        train_cfg: the head's.
        test_cfg: the head's.
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
        bbox_head: dict[str, Any],
        class_embeddings: dict[str, Any],
        vocabulary: dict[str, Any] | str,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        bbox_head = copy.deepcopy(bbox_head)  # mmdet writes into it
        super().__init__(backbone, neck, bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg)
        self.init_vocabulary(class_embeddings, vocabulary)

    def heads(self) -> list[Any]:
        """The only head."""
        return [self.bbox_head]

    def predict_levels(
        self, levels: tuple[Tensor, ...], dense: Tensor, batch_data_samples: list[DetDataSample], rescale: bool
    ) -> list[InstanceData]:
        """See :meth:`~fgdet.models.detectors.open_vocabulary.OpenVocabularyMixin.predict_levels`."""
        return self.bbox_head.predict((*levels, dense), batch_data_samples, rescale=rescale)
