"""A trained detector as one object: pictures in, boxes with names out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image, ImageOps

from fgdet.checkpoints.loading import read_state_file
from fgdet.checkpoints.stored_config import read_stored_config
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.registry import MODELS
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.configs import read_config
from fgdet.utils.imports import import_quietly

#: A path, an (H, W, 3) uint8 RGB array, or a PIL image.
ImageInput = str | Path | np.ndarray | Image.Image


class Detector:
    """Finds things named in words.

    Args:
        model: a detector with its weights, on the device where it is to run.
        pipeline: mmdet's test transforms without the one that reads the image; they take ``img`` as BGR.
    """

    def __init__(self, model: OpenVocabularyRCNN, pipeline: Sequence[dict[str, Any]]) -> None:
        self.model = model.eval()
        init_default_scope('mmdet')
        self._pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *pipeline])

    @classmethod
    def from_pretrained(
        cls, config: str | Path | Config | None = None, checkpoint: str | Path | None = None, device: str = 'auto'
    ) -> 'Detector':
        """Build a detector and load its weights.

        Args:
            config: a config file or config; None takes the one that training stored in the checkpoint.
            checkpoint: what training wrote, a ``.pth`` file. It holds both towers: nothing else is read or fetched.
            device: ``'auto'`` takes the GPU if there is one; else as for torch, such as ``'cpu'`` or ``'cuda:1'``.

        Raises:
            UserError: a file is missing or damaged, the config describes no detector, or weights and config do not fit.
        """
        if checkpoint is None:
            raise UserError('detector checkpoint: none given; give the .pth file that training wrote')
        content = read_state_file(existing_file(checkpoint, 'checkpoint'))
        cfg = _read_config(config, content, Path(checkpoint))
        import_quietly('mmdet.datasets', 'mmdet.datasets.transforms')
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        if 'model' not in cfg:
            raise UserError('detector config: it has no model')
        try:
            model = MODELS.build(cfg.model)
        except (KeyError, TypeError) as error:
            message = ' '.join(str(error.args[0] if error.args else error).split())
            raise UserError(f'detector config: its model cannot be built ({message})') from error
        if not isinstance(model, OpenVocabularyRCNN):
            raise UserError(f'detector config: its model is a {type(model).__name__}, not a fgdet.OpenVocabularyRCNN')
        try:
            model.load_state_dict(content.get('state_dict', content))
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()[1:3]]
            raise UserError(
                f'checkpoint {checkpoint}: its weights do not fit the config ({" ".join(lines)})'
            ) from error
        return cls(model.to(_device(device)), _pipeline(cfg))

    @property
    def vocabulary(self) -> Vocabulary:
        """What is looked for."""
        return self.model.vocabulary

    def set_vocabulary(self, vocabulary: Vocabulary | Sequence[str]) -> None:
        """Look for these names from now on; no reload, no retraining.

        Raises:
            UserError: the names are empty, repeated or no strings.
        """
        self.model.set_vocabulary(vocabulary)

    def detect(self, images: ImageInput | Sequence[ImageInput], score_threshold: float = 0.3) -> list[Detections]:
        """Detections of each image, the best first.

        Images pass one by one: padded to a common size, the features of one would depend on the size of the others.

        Args:
            images: one or a list of paths, arrays (H, W, 3) uint8 RGB, or PIL images. A turned photograph (EXIF) is set
                upright first, from a path and from PIL alike.
            score_threshold: detections below are left out, 0..1.

        Returns:
            one :class:`Detections` an image, boxes in pixels of the original image; a list for a single image too.

        Raises:
            UserError: a path holds no image, an image is too narrow to be resized, or the threshold is out of range.
            ValueError: an array is of another form.
        """
        if not 0 <= score_threshold <= 1:
            raise UserError(f'score_threshold: expected 0..1, got {score_threshold}')
        if isinstance(images, str | Path | np.ndarray | Image.Image):
            images = [images]
        return [self._detect_one(load_image(image)).filter(score_threshold) for image in images]

    @torch.no_grad()
    def _detect_one(self, image: np.ndarray) -> Detections:
        """(H, W, 3) uint8 RGB -> its detections."""
        height, width = image.shape[:2]
        try:
            inputs = self._pipeline(dict(img=np.ascontiguousarray(image[..., ::-1]), img_id=0))
        except cv2.error as error:  # a side that would become less than a pixel
            raise UserError(f'image of {width} x {height} pixels: too narrow to be resized for the detector') from error
        found = self.model.test_step(pseudo_collate([inputs]))[0].pred_instances.cpu().numpy()
        boxes = found.bboxes.clip(0, [width, height, width, height])
        return Detections(boxes, found.scores, found.labels, [self.vocabulary.names[label] for label in found.labels])


def load_image(image: ImageInput) -> np.ndarray:
    """Any of the accepted forms as (H, W, 3) uint8 RGB, upright.

    Raises:
        UserError: a path holds no image.
        ValueError: an array is of another form.
    """
    if isinstance(image, str | Path):
        data = np.fromfile(existing_file(image, 'image'), dtype=np.uint8)
        try:
            decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None  # as mmdet reads it, EXIF included
        except cv2.error as error:
            raise UserError(f'image {image}: OpenCV refuses it ({" ".join(error.err.split())})') from error
        if decoded is None:
            raise UserError(f'image {image}: it cannot be read as an image; is it one, and complete?')
        return decoded[..., ::-1]
    if isinstance(image, Image.Image):
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        found = f'{image.shape} {image.dtype}' if is_array else type(image).__name__
        raise ValueError(f'image: expected a path, a PIL image or an (H, W, 3) uint8 RGB array, got {found}')
    return image


def _read_config(config: str | Path | Config | None, content: dict[str, Any], checkpoint: Path) -> Config:
    if isinstance(config, Config):
        return config
    if config is not None:
        return read_config(config)
    text = content.get('meta', {}).get('cfg') if isinstance(content.get('meta'), dict) else None
    if not text:
        raise UserError(f'checkpoint {checkpoint}: it holds no config; give the one that it was trained with')
    try:
        return Config(read_stored_config(text))
    except ValueError as error:
        raise UserError(f'checkpoint {checkpoint}: {error}; give the config that it was trained with') from error


def _pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The steps of the config's test pipeline that follow the reading of the file."""
    steps = (((cfg.get('test_dataloader') or {}).get('dataset')) or {}).get('pipeline')
    if not steps:
        raise UserError(
            'detector config: it has no test_dataloader.dataset.pipeline, which says how images are resized'
        )
    return [step for step in steps if not step['type'].split('.')[-1].startswith('Load')]


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device {name!r}: torch knows no such device; give 'auto', 'cpu' or 'cuda'") from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch sees no GPU here; give 'auto' or 'cpu'")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r}: torch cannot compute on it here ({reason}); give 'auto' or 'cpu'") from error
    return device
