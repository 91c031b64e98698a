"""A detector without training: the boxes of another one, named by FG-CLIP.

Axes: R boxes of one image, K names and N negative prompts, d dimension of an embedding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from fgdet.apis.detector_files import choose_device
from fgdet.apis.image_reading import ImageInput, load_image
from fgdet.apis.proposals import DetectedProposals, Proposals, SavedProposals
from fgdet.models.classifiers.class_embeddings import ClassEmbeddings
from fgdet.models.fg_clip import FGCLIP
from fgdet.models.post_processing.class_suppression import suppress
from fgdet.models.post_processing.region_fusion import NO_LABEL, region_fusion
from fgdet.structures.detections import Detections
from fgdet.structures.preprocessing import INTERPOLATIONS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


class FusionSettings(NamedTuple):
    """How boxes are named."""

    size: int | None = None  # longer side of what FG-CLIP sees, in pixels; None: the side that the weights want
    alpha: float = 0.5  # weight of FG-CLIP against the detector, 0..1
    temperature: float | None = None  # of the softmax over the names; None: the weights' own of regions
    class_aware: bool = True  # a box that comes with a name of the vocabulary, or a synonym, leans to it
    nms_iou: float | None = 0.5  # boxes of one name that overlap more are suppressed; None: none are
    max_per_img: int = 100


class RegionFusionDetector:
    """Names the boxes of a proposal source with FG-CLIP, see
    :func:`~fgdet.models.post_processing.region_fusion.region_fusion`.

    Each image passes FG-CLIP once, at its own aspect ratio.

    Args:
        model: FG-CLIP on the device where it is to run.
        proposals: the source of boxes.
        vocabulary: what to look for; None takes the names that the source knows.
        settings: how boxes are named.

    Attributes:
        num_clipped: boxes that reached out of their image and were clipped, so far.
        num_dropped: boxes that were left out, so far: without area inside of the image, or no box at all in the file.

    Raises:
        UserError: a setting is out of range, or there are no names.
    """

    def __init__(
        self,
        model: FGCLIP,
        proposals: Proposals,
        vocabulary: Vocabulary | Sequence[str] | None = None,
        settings: FusionSettings | None = None,
    ) -> None:
        self.settings = settings or FusionSettings()
        _check(self.settings, model.patch_size)
        self.model = model.eval().requires_grad_(False)
        self.proposals = proposals
        self.num_clipped = 0
        self.num_dropped = getattr(proposals, 'num_dropped', 0)
        self._class_embeddings = ClassEmbeddings(model.text)
        if vocabulary is None and not proposals.names:
            raise UserError('vocabulary: the proposals know no names; give those to look for (--vocab)')
        self.set_vocabulary(proposals.names if vocabulary is None else vocabulary)

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        proposals: str | Path | tuple[str | Path | Config | None, str | Path],
        vocabulary: Vocabulary | Sequence[str] | None = None,
        device: str = 'auto',
        *,
        settings: FusionSettings | None = None,
        proposals_images: str | Path | None = None,
    ) -> 'RegionFusionDetector':
        """Load FG-CLIP and the source of boxes.

        Args:
            checkpoint: FG-CLIP or CLIP weights, as for :meth:`fgdet.models.fg_clip.FGCLIP.from_pretrained`.
            proposals: a JSON file, see :class:`~fgdet.apis.proposals.SavedProposals`; or the config (None: the stored
                one) and the checkpoint of any of mmdet's detectors.
            vocabulary: what to look for; None takes the names that the proposals know.
            device: ``'auto'`` takes the GPU if there is one; else as for torch, such as ``'cpu'`` or ``'cuda:1'``.
            settings: how boxes are named.
            proposals_images: the annotation file with the images of a JSON file that is a list of results.

        Raises:
            UserError: a file is missing or damaged, or as for the class.
        """
        torch_device = choose_device(device)
        source: Proposals
        if isinstance(proposals, tuple):
            source = DetectedProposals(*proposals, device)
        else:
            source = SavedProposals(proposals, proposals_images)
        return cls(FGCLIP.from_pretrained(checkpoint).to(torch_device), source, vocabulary, settings)

    @property
    def vocabulary(self) -> Vocabulary:
        """What is looked for."""
        return self._vocabulary

    def set_vocabulary(self, vocabulary: Vocabulary | Sequence[str]) -> None:
        """Look for these names from now on.

        Raises:
            UserError: the names are empty, repeated or no strings.
        """
        self._vocabulary = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
        words = [(word, i) for i, name in enumerate(self._vocabulary.names) for word in self._words(name)]
        self._labels = dict(reversed(words))  # a name comes before another one's synonym
        self._labels.update({name: i for i, name in enumerate(self._vocabulary.names)})

    def detect(self, images: ImageInput | Sequence[ImageInput], score_threshold: float = 0.3) -> list[Detections]:
        """As :meth:`fgdet.apis.detection.Detector.detect`; boxes of a file need images that are paths.

        Raises:
            UserError: a path holds no image, the proposals do not know it, or the threshold is out of range.
        """
        if isinstance(images, str | Path | np.ndarray | Image.Image):
            images = [images]
        sources = [str(each) if isinstance(each, str | Path) else None for each in images]
        return [
            self.detect_array(load_image(image), score_threshold, source)
            for image, source in zip(images, sources, strict=True)
        ]

    @torch.no_grad()
    def detect_array(self, image: np.ndarray, score_threshold: float = 0.3, source: str | None = None) -> Detections:
        """Detections of one (H, W, 3) uint8 RGB image, the best first; ``source`` is the file that it came from."""
        if not 0 <= score_threshold <= 1:
            raise UserError(f'score_threshold: expected 0..1, got {score_threshold}')
        height, width = image.shape[:2]
        given = self.proposals.boxes_of(image, source)
        boxes = given.boxes.clip(0, [width, height, width, height])  # (R, 4)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        self.num_dropped += int((~inside).sum())
        self.num_clipped += int((boxes != given.boxes).any(axis=1)[inside].sum())
        if not inside.any():
            return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64), [])
        names = [given.names[index] for index in np.flatnonzero(inside)]
        found = self._name(image, torch.from_numpy(boxes[inside]), torch.from_numpy(given.scores[inside]), names)
        kept_boxes, scores, labels = (each.numpy() for each in found)
        words = [self.vocabulary.names[label] for label in labels]
        detections = Detections(kept_boxes, scores, labels, words)
        return detections.filter(np.array([self.vocabulary.threshold_of(word, score_threshold) for word in words]))

    def _name(
        self, image: np.ndarray, boxes: Tensor, scores: Tensor, names: list[str | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (R, 4) and scores (R,) of the source to those, and labels, that stay."""
        settings, device = self.settings, self.model.logit_scale.device
        pixels, scale = self._pixels(image)
        dense = self.model.encode_dense(pixels[None].to(device))
        features = self.model.pool_regions(dense, [(boxes * scale).to(device)])  # (R, d)
        labels = None
        if settings.class_aware:
            labels = torch.tensor([NO_LABEL if n is None else self._labels.get(n, NO_LABEL) for n in names])
        fused, best = region_fusion(
            features.cpu(),
            self._class_embeddings(self.vocabulary).cpu(),
            scores,
            labels,
            alpha=settings.alpha,
            temperature=settings.temperature or float((-self.model.logit_scale_region).exp()),
            num_negatives=self.vocabulary.num_negatives,
        )
        columns = fused.new_zeros(len(fused), len(self.vocabulary)).scatter(1, best[:, None], fused[:, None])  # (R, K)
        nms = None if settings.nms_iou is None else dict(type='nms', iou_threshold=settings.nms_iou)
        return suppress(boxes, columns, 0.0, nms, settings.max_per_img)

    def _pixels(self, image: np.ndarray) -> tuple[Tensor, Tensor]:
        """(H, W, 3) uint8 -> (3, H', W') of whole patches, and the four factors that boxes scale with."""
        wanted, patch = self.model.preprocessing, self.model.patch_size
        height, width = image.shape[:2]
        factor = (self.settings.size or wanted.image_size) / max(height, width)
        new_h, new_w = (max(1, round(side * factor / patch)) * patch for side in (height, width))
        method = Image.Resampling(INTERPOLATIONS[wanted.interpolation])
        resized = np.array(Image.fromarray(image).resize((new_w, new_h), method))
        pixels = wanted.normalize(torch.from_numpy(resized).permute(2, 0, 1).float() / 255)
        return pixels, torch.tensor([new_w / width, new_h / height] * 2)

    def _words(self, name: str) -> tuple[str, ...]:
        return (name, *self._vocabulary.synonyms.get(name, ()))


def _check(settings: FusionSettings, patch: int) -> None:
    size, temperature, iou = settings.size, settings.temperature, settings.nms_iou
    problems = {
        f'alpha: expected 0..1, got {settings.alpha}': not 0 <= settings.alpha <= 1,
        f'temperature: expected above 0, got {temperature}': temperature is not None and temperature <= 0,
        f'size: expected at least a patch of {patch} pixels, got {size}': size is not None and size < patch,
        f'nms_iou: expected 0..1 or None, got {iou}': iou is not None and not 0 <= iou <= 1,
        f'max_per_img: expected at least 1, got {settings.max_per_img}': settings.max_per_img < 1,
    }
    for problem, applies in problems.items():
        if applies:
            raise UserError(f'fusion {problem}')
