"""A trained detector as one object: pictures in, boxes with names out."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from PIL import Image

from fgdet.apis.competing_names import with_competition
from fgdet.apis.detector_files import load_detector, one_line
from fgdet.apis.image_reading import ImageInput, load_image
from fgdet.apis.inference_settings import InferenceSettings, with_scale, with_suppression
from fgdet.apis.tiling import detect_tiled
from fgdet.models.detectors.open_vocabulary import OpenVocabularyMixin
from fgdet.models.post_processing.calibration import calibrate
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError

#: Pixels that a mask may have when mmdet makes it: 2048 x 2048; on larger images masks are made so and enlarged.
MAX_MASK_PIXELS = 2**22


class Detector:
    """Finds things named in words.

    Args:
        model: a detector with its weights, on the device where it is to run; one of mmdet's with an
            :class:`~fgdet.models.detectors.open_vocabulary.OpenVocabularyMixin`.
        pipeline: mmdet's test transforms without the one that reads the image; they take ``img`` as BGR.
        settings: batches, suppression, tiles.
        calibration: ``scale`` and ``bias`` of :func:`~fgdet.models.post_processing.calibration.calibrate`, applied to
            the scores after suppression; None leaves them.

    Raises:
        UserError: the pipeline cannot be built.
    """

    def __init__(
        self,
        model: Any,
        pipeline: Sequence[dict[str, Any]],
        settings: InferenceSettings | None = None,
        calibration: Mapping[str, float] | None = None,
    ) -> None:
        self.model = model.eval()
        self._steps = list(pipeline)
        self._calibration = None if calibration is None else dict(calibration)
        self._test_cfg = copy.deepcopy(getattr(_last_head(model), 'test_cfg', None))
        self.settings = settings or InferenceSettings()

    @property
    def settings(self) -> InferenceSettings:
        """How it runs; may be replaced at any time."""
        return self._settings

    @settings.setter
    def settings(self, settings: InferenceSettings) -> None:
        init_default_scope('mmdet')
        steps = [dict(type='mmdet.LoadImageFromNDArray'), *with_scale(self._steps, settings.scale)]
        try:
            self._pipeline = Compose(steps)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f'detector config: its test pipeline cannot be built ({one_line(error)})') from error
        if self._test_cfg is not None:
            _last_head(self.model).test_cfg = with_suppression(self._test_cfg, settings)
        self._settings = settings

    @classmethod
    def from_pretrained(
        cls,
        config: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        device: str = 'auto',
        settings: InferenceSettings | None = None,
    ) -> 'Detector':
        """Build a detector and load its weights.

        Args:
            config: a config file or config; None takes the one that training stored in the checkpoint.
            checkpoint: what training wrote, a ``.pth`` file. It holds both towers: nothing else is read or fetched.
            device: ``'auto'`` takes the GPU if there is one; else as for torch, such as ``'cpu'`` or ``'cuda:1'``.
            settings: as for the class.

        Raises:
            UserError: a file is missing or damaged, the config describes no detector, or weights and config do not fit.
        """
        if checkpoint is None:
            raise UserError('detector checkpoint: none given; give the .pth file that training wrote')
        expected = 'no detector whose classes are words such as fgdet.OpenVocabularyRCNN'
        files = load_detector(config, checkpoint, device, OpenVocabularyMixin, expected)
        return cls(files.model, files.pipeline, settings, files.config.get('calibration'))

    @property
    def vocabulary(self) -> Vocabulary:
        """What is looked for."""
        return self.model.vocabulary

    @property
    def pipeline(self) -> list[dict[str, Any]]:
        """The test transforms of an image in memory, at the scale of the settings."""
        return with_scale(self._steps, self.settings.scale)

    def set_vocabulary(self, vocabulary: Vocabulary | Sequence[str]) -> None:
        """Look for these names from now on; no reload, no retraining.

        What the vocabulary leaves open is as in training. Unless ``settings.compete`` is False, the other trained names
        stand against it, see :mod:`fgdet.apis.competing_names`; not so where it was given negatives, or none
        (``negatives=()``).

        Raises:
            UserError: the names are empty, repeated or no strings.
        """
        self.model.set_vocabulary(self._with_rivals(vocabulary))

    def detect(self, images: ImageInput | Sequence[ImageInput], score_threshold: float = 0.3) -> list[Detections]:
        """Detections of each image, the best first.

        Images of one size after resizing and padding pass together, ``settings.batch_size`` at a time; those of others
        never do: padded to a common size, the features of one would depend on the size of the others.

        Args:
            images: one or a list of paths, arrays (H, W, 3) uint8 RGB, or PIL images. A turned photograph (EXIF) is set
                upright first, from a path and from PIL alike.
            score_threshold: detections below are left out, 0..1; a name with a threshold of its own keeps that.

        Returns:
            one :class:`Detections` an image, boxes in pixels of the original image; a list for a single image too.

        Raises:
            UserError: a path holds no image, an image is too narrow to be resized, the threshold is out of range, or
                memory is short.
            ValueError: an array is of another form.
        """
        _check_threshold(score_threshold)
        if isinstance(images, str | Path | np.ndarray | Image.Image):
            images = [images]
        window = self.settings.batch_size
        found: list[Detections] = []
        for start in range(0, len(images), window):
            found += self.detect_arrays([load_image(each) for each in images[start : start + window]], score_threshold)
        return found

    def detect_array(self, image: np.ndarray, score_threshold: float = 0.3, source: str | None = None) -> Detections:
        """Detections of one (H, W, 3) uint8 RGB array; ``source``, the file that it came from, is not looked at."""
        return self.detect_arrays([image], score_threshold)[0]

    def detect_arrays(self, images: Sequence[np.ndarray], score_threshold: float = 0.3) -> list[Detections]:
        """As :meth:`detect`, for arrays that are in memory already."""
        _check_threshold(score_threshold)
        tile = self.settings.tile
        large = [tile is not None and max(image.shape[:2]) > tile for image in images]
        small = iter(self._predict([image for image, is_large in zip(images, large, strict=True) if not is_large]))
        return [
            self._detect_tiled(image, score_threshold) if is_large else self._above(next(small), score_threshold)
            for image, is_large in zip(images, large, strict=True)
        ]

    @torch.no_grad()
    def detect_vocabularies(
        self,
        image: np.ndarray,
        vocabularies: Sequence[Vocabulary | Sequence[str]],
        score_threshold: float = 0.0,
    ) -> Iterator[Detections]:
        """Yield what is found of one vocabulary after another; the towers see the image once, and as a whole.

        Args:
            image: (H, W, 3) uint8 RGB.
            vocabularies: as for :meth:`set_vocabulary`; afterwards the detector has the last one.
            score_threshold: as for :meth:`detect`.
        """
        _check_threshold(score_threshold)
        inputs = self.prepare(image)
        frame_hw = inputs['data_samples'].ori_shape
        batch = self.model.data_preprocessor(pseudo_collate([inputs]), False)
        completed = map(self._with_rivals, vocabularies)
        for (found,) in self.model.predict_vocabularies(batch['inputs'], batch['data_samples'], completed):
            yield self._above(self._read(found.cpu().numpy(), frame_hw, image.shape[:2]), score_threshold)

    @torch.no_grad()
    def region_features(self, image: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        """What the frozen tower sees in boxes: (N, 4) in pixels of an (H, W, 3) uint8 RGB array -> (N, d) of length 1.

        The image passes the test pipeline as a whole, and the boxes are scaled with it.
        """
        inputs = self.prepare(image)
        sample, (height, width) = inputs['data_samples'], image.shape[:2]
        frame_h, frame_w = sample.ori_shape
        factor_x, factor_y = sample.scale_factor[0] * frame_w / width, sample.scale_factor[1] * frame_h / height
        boxes = torch.as_tensor(boxes_xyxy, dtype=torch.float32) * torch.tensor([factor_x, factor_y] * 2)
        batch = self.model.data_preprocessor(pseudo_collate([inputs]), False)['inputs']
        return self.model.region_features(batch, [boxes.to(batch.device)]).cpu().numpy()

    def _with_rivals(self, vocabulary: Vocabulary | Sequence[str]) -> Vocabulary:
        """A vocabulary and, where the settings want them, the trained names that stand against it."""
        vocabulary = Vocabulary.build(vocabulary)
        compete = self.settings.compete
        return with_competition(vocabulary, self.model.training_vocabulary) if compete else vocabulary

    def _detect_tiled(self, image: np.ndarray, score_threshold: float) -> Detections:
        settings = self.settings
        assert settings.tile is not None
        return detect_tiled(
            image,
            lambda parts: [self._above(found, score_threshold) for found in self._predict(parts)],
            settings.tile,
            settings.tile_overlap,
            settings.batch_size,
            settings.nms == 'agnostic',
            settings.iou,
        )

    def _above(self, found: Detections, default: float) -> Detections:
        """Those that reach the threshold of their name."""
        thresholds = [self.vocabulary.threshold_of(name, default) for name in found.names]
        return found.filter(np.array(thresholds))

    @torch.no_grad()
    def _predict(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """(H, W, 3) uint8 RGB each -> their detections, whatever the score; one size at a time."""
        inputs = [self.prepare(image) for image in images]
        divisor = getattr(self.model.data_preprocessor, 'pad_size_divisor', 1)
        sizes = [tuple(-(-side // divisor) for side in each['inputs'].shape[-2:]) for each in inputs]
        found: dict[int, Detections] = {}
        for size in dict.fromkeys(sizes):
            members = [index for index, each in enumerate(sizes) if each == size]
            for start in range(0, len(members), self.settings.batch_size):
                chunk = members[start : start + self.settings.batch_size]
                outputs = self._forward([inputs[index] for index in chunk])
                for index, output in zip(chunk, outputs, strict=True):
                    found[index] = self._read(output, inputs[index]['data_samples'].ori_shape, images[index].shape[:2])
        return [found[index] for index in range(len(images))]

    def prepare(self, image: np.ndarray) -> dict[str, Any]:
        """(H, W, 3) uint8 RGB -> what mmdet's models take, before batches are made."""
        height, width = image.shape[:2]
        try:
            inputs = self._pipeline(dict(img=np.ascontiguousarray(image[..., ::-1]), img_id=0))
        except cv2.error as error:  # a side that would become less than a pixel
            raise UserError(f'image of {width} x {height} pixels: too narrow to be resized for the detector') from error
        shrink = (MAX_MASK_PIXELS / (height * width)) ** 0.5
        if shrink < 1 and getattr(self.model, 'with_mask', False):  # boxes and masks in pixels of a smaller frame
            sample = inputs['data_samples']
            frame = max(1, round(height * shrink)), max(1, round(width * shrink))
            factor_x, factor_y = sample.scale_factor
            scale_factor = (factor_x * width / frame[1], factor_y * height / frame[0])
            sample.set_metainfo(dict(ori_shape=frame, scale_factor=scale_factor))
        return inputs

    def _forward(self, inputs: list[dict[str, Any]]) -> list[InstanceData]:
        try:
            outputs = self.model.test_step(pseudo_collate(inputs))
        except (torch.OutOfMemoryError, MemoryError) as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            height, width = inputs[0]['inputs'].shape[-2:]
            raise UserError(
                f'out of memory on {len(inputs)} images of {width} x {height} pixels; a lower batch size '
                '(--batch-size), a lower test scale (--scale), tiles of that scale for large images (--tile) or '
                '--device cpu need less'
            ) from error
        return [output.pred_instances.cpu().numpy() for output in outputs]

    def _read(self, found: InstanceData, frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> Detections:
        """What the model says in pixels of a frame, in those of the image."""
        height, width = frame_hw
        boxes, scores = found.bboxes.clip(0, [width, height, width, height]), found.scores
        if self._calibration is not None:
            scores = calibrate(scores, **self._calibration)
        names = [self.vocabulary.names[label] for label in found.labels]
        detections = Detections(boxes, scores, found.labels, names, found.masks if 'masks' in found else None)
        return detections if frame_hw == size_hw else detections.resized(frame_hw, size_hw)


def _last_head(model: Any) -> Any:
    """The head whose ``test_cfg`` says how boxes suppress each other."""
    return getattr(model, 'roi_head', None) or getattr(model, 'bbox_head', None)


def _check_threshold(score_threshold: float) -> None:
    if not 0 <= score_threshold <= 1:
        raise UserError(f'score_threshold: expected 0..1, got {score_threshold}')
