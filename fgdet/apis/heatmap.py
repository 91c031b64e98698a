"""Where in an image a text has its likeness: dense similarity of FG-CLIP, or of a detector's frozen tower.

Axes: h x w pixels of a map, d dimension of an embedding.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch import Tensor

from fgdet.apis.detection import Detector
from fgdet.apis.detector_files import choose_device
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.checkpoints.loading import read_state_file
from fgdet.models.fg_clip import FGCLIP
from fgdet.structures.preprocessing import INTERPOLATIONS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.visualization.draw import draw_heatmap

#: Longer side that an image is drawn at, at most.
MAX_SIDE = 1600
#: Patches of the longer side, at most: every patch attends to every other, which grows with the fourth power.
MAX_PATCHES = 160


class DenseMap(NamedTuple):
    """What an image tower sees of one image, place by place."""

    features: Tensor  # (d, h, w)
    stride: float  # pixels of the network's input a cell
    size_hw: tuple[int, int]  # the image in the input; what is beyond is padding

    def similarity(self, text: Tensor) -> np.ndarray:
        """Cosine of each place with a text (d,): enlarged to the input's size without its padding, float32."""
        cosine = torch.einsum('dhw,d->hw', F.normalize(self.features.float(), dim=0), F.normalize(text.float(), dim=0))
        enlarged = F.interpolate(cosine[None, None], scale_factor=self.stride, mode='bilinear')[0, 0]
        return enlarged[: self.size_hw[0], : self.size_hw[1]].cpu().numpy()


def _check_size(size: int | None, patch: int) -> None:
    if size is not None and not patch <= size <= MAX_PATCHES * patch:
        raise UserError(
            f'size: expected {patch} to {MAX_PATCHES * patch} pixels, 1 to {MAX_PATCHES} patches of {patch}, got {size}'
        )


class HeatmapModel:
    """FG-CLIP or a detector, whichever a checkpoint holds.

    Args:
        checkpoint: weights as for :meth:`~fgdet.models.fg_clip.FGCLIP.from_pretrained`, or what a detector's training
            wrote.
        size: longer side in pixels that images are resized to, at their own aspect ratio; None: the one the weights
            were trained with, or the detector's.
        device: as for :meth:`~fgdet.apis.detection.Detector.from_pretrained`.

    Raises:
        UserError: nothing usable is there, or the size is less than a patch or more than ``MAX_PATCHES`` of them.
    """

    def __init__(self, checkpoint: str | Path, size: int | None = None, device: str = 'auto') -> None:
        self._model: Detector | FGCLIP
        if _is_detector(checkpoint):
            self._model = Detector.from_pretrained(
                checkpoint=checkpoint, device=device, settings=InferenceSettings(scale=size)
            )
            _check_size(size, self._model.model.backbone.visual.patch_size)
            return
        self._model = FGCLIP.from_pretrained(checkpoint).to(choose_device(device))
        self._size = size or self._model.preprocessing.image_size
        _check_size(self._size, self._model.patch_size)

    def similarities(self, image: np.ndarray, texts: Sequence[str]) -> list[np.ndarray]:
        """Cosines of an image's places with texts.

        Args:
            image: (H, W, 3) uint8 RGB.
            texts: taken as they stand, without a template; one longer than the short context takes the long one.

        Returns:
            for each text (h, w) float32 in -1..1, over the whole image.

        Raises:
            UserError: a text is empty.
        """
        for text in texts:
            if not text.strip():
                raise UserError('text: it is empty; give the words to look for')
        seen = self._dense_map(image)
        return [seen.similarity(self._embed(text)) for text in texts]

    @torch.no_grad()
    def _embed(self, text: str) -> Tensor:
        """(d,)"""
        if isinstance(self._model, Detector):
            return self._model.model.class_embeddings(
                Vocabulary([text], templates=['{}'], negatives=[], background=[])
            )[0]
        model = self._model
        short, long = model.tokenize([text]), model.tokenize([text], long=True)
        is_long = int(model.text.pooled_position(long)) >= short.shape[1]
        return model.encode_text((long if is_long else short).to(model.logit_scale.device), long=is_long)[0]

    @torch.no_grad()
    def _dense_map(self, image: np.ndarray) -> DenseMap:
        if isinstance(self._model, Detector):
            detector = self._model.model
            data = detector.data_preprocessor(pseudo_collate([self._model.prepare(image)]), False)
            features = detector.backbone(data['inputs'])[-1][0]  # (d, h, w)
            stride = data['inputs'].shape[-1] / features.shape[-1]
            return DenseMap(features, stride, tuple(data['data_samples'][0].img_shape[:2]))
        wanted, patch = self._model.preprocessing, self._model.patch_size
        factor = self._size / max(image.shape[:2])
        width, height = (max(1, round(side * factor / patch)) * patch for side in image.shape[1::-1])
        method = Image.Resampling(INTERPOLATIONS[wanted.interpolation])
        resized = np.array(Image.fromarray(image).resize((width, height), method))
        pixels = wanted.normalize(torch.from_numpy(resized).permute(2, 0, 1).float() / 255)
        dense = self._model.encode_dense(pixels[None].to(self._model.logit_scale.device))[0]  # (d, h, w)
        return DenseMap(dense, patch, (height, width))


def draw_panels(image: np.ndarray, maps: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """Maps over an image side by side, in rows of up to three, all with one range of colours.

    Args:
        image: (H, W, 3) uint8 RGB; a large one is drawn smaller.
        maps: one (h, w) for each text, one at least.
        texts: the titles.

    Returns:
        uint8 RGB.
    """
    columns = min(3, len(maps))
    shrink = MAX_SIDE / max(image.shape[:2]) / (1 if columns == 1 else 1.5)
    if shrink < 1:
        size = tuple(max(1, round(side * shrink)) for side in image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    value_range = min(float(each.min()) for each in maps), max(float(each.max()) for each in maps)
    panels = [draw_heatmap(image, each, text, value_range) for each, text in zip(maps, texts, strict=True)]
    height, width = panels[0].shape[:2]
    sheet = np.full((-(-len(panels) // columns) * height, columns * width, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = panel
    return sheet


def summary(text: str, similarity: np.ndarray, image_hw: tuple[int, int]) -> dict[str, Any]:
    """What a map says in numbers: ``text, min, mean, max`` and ``peak``, x and y of the best place in the image."""
    row, column = np.unravel_index(int(similarity.argmax()), similarity.shape)
    peak = [(column + 0.5) * image_hw[1] / similarity.shape[1], (row + 0.5) * image_hw[0] / similarity.shape[0]]
    numbers = {name: float(getattr(similarity, name)()) for name in ('min', 'mean', 'max')}
    return dict(text=text, **numbers, peak=[round(float(each), 1) for each in peak])


def _is_detector(checkpoint: str | Path) -> bool:
    """Whether a file is a checkpoint of a detector's training: such a one has a box head."""
    if not Path(checkpoint).is_file() or Path(checkpoint).suffix != '.pth':
        return False
    content = read_state_file(checkpoint)
    return any('class_embeddings.text' in name for name in content.get('state_dict', content))
