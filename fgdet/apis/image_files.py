"""Detections for files on disk: from paths, folders and patterns to pictures and a COCO-form JSON file."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fgdet.apis.detection import Detector, load_image
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json
from fgdet.visualization.draw import draw_detections

IMAGE_ENDINGS = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


class FileResult(NamedTuple):
    """What came of one file."""

    path: Path
    detections: Detections | None  # None where it failed
    error: str | None


def read_vocabulary(text: str) -> Vocabulary | list[str]:
    """What a user gives as vocabulary: names between commas, or a ``.txt`` or ``.json`` file.

    Returns:
        the names, for the detector's own prompt templates; a vocabulary where a ``.json`` file gives more than names.

    Raises:
        UserError: no such file, or the names are empty or repeated.
    """
    from_file = text.endswith(('.txt', '.json'))
    vocabulary = Vocabulary.from_file(text) if from_file else Vocabulary.from_text(text)
    return list(vocabulary.names) if vocabulary == Vocabulary(vocabulary.names) else vocabulary


def find_images(inputs: Sequence[str]) -> tuple[list[Path], list[FileResult]]:
    """Expand files, folders (with their subfolders) and glob patterns.

    Returns:
        the images without repeats, in the order of ``inputs`` and sorted within a folder or pattern; and a failed
        result for each input that holds none.
    """
    images: dict[Path, None] = {}
    failures = []
    for text in inputs:
        path = Path(text)
        if path.is_file():
            found = [path]
        elif path.is_dir():
            found = sorted(each for each in path.rglob('*') if each.suffix.lower() in IMAGE_ENDINGS and each.is_file())
        else:
            found = sorted(Path(each) for each in glob.glob(text, recursive=True) if Path(each).is_file())
        images.update(dict.fromkeys(found))
        if not found:
            reason = 'no image in this folder' if path.is_dir() else 'no such file, folder or match'
            failures.append(FileResult(path, None, f'input {text}: {reason}'))
    return list(images), failures


class FileWriter:
    """Writes a picture as soon as its image is done, and all predictions at the end, also when it comes early.

    The JSON file has COCO's form: ``images`` (id, file_name, width, height), ``categories`` (id, name) and
    ``annotations`` (image_id, category_id, bbox as x, y, width, height in pixels of the image, score).

    Args:
        folder: pictures go there as ``<name>.jpg``, the predictions as ``predictions.json``.
        vocabulary: the names; their ids count from 1.
        json_file: where the predictions go as well.
    """

    def __init__(self, folder: str | Path, vocabulary: Vocabulary, json_file: str | Path | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f'output folder {folder}: it cannot be made ({error.strerror})') from error
        self.vocabulary = vocabulary
        self.json_files = [self.folder / 'predictions.json', *([Path(json_file)] if json_file else [])]
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._taken: set[str] = set()

    def __enter__(self) -> 'FileWriter':
        return self

    def __exit__(self, *exception: object) -> None:
        categories = [{'id': i, 'name': name} for i, name in enumerate(self.vocabulary.names, 1)]
        content = {'images': self._images, 'categories': categories, 'annotations': self._annotations}
        for path in self.json_files:
            write_json(path, content, indent=None)

    def process(self, detector: Detector, paths: Sequence[Path], score_threshold: float) -> Iterator[FileResult]:
        """Detect on each file and write what was found; a file that fails does not stop the others."""
        for path in paths:
            try:
                image = load_image(path)
                (detections,) = detector.detect(image, score_threshold)
            except (UserError, OSError) as error:
                reason = str(error)
                yield FileResult(path, None, reason if str(path) in reason else f'{path}: {reason}')
                continue
            height, width = image.shape[:2]
            picture = draw_detections(image, detections, color_names=self.vocabulary.names)
            self._save(picture, self.folder / self._picture_name(path))
            image_id = len(self._images) + 1
            self._images.append({'id': image_id, 'file_name': str(path), 'width': width, 'height': height})
            self._annotations += detections.to_coco(image_id, range(1, len(self.vocabulary) + 1))
            yield FileResult(path, detections, None)

    @staticmethod
    def _save(picture: np.ndarray, path: Path) -> None:
        try:
            Image.fromarray(picture).save(path, quality=92)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error

    def _picture_name(self, path: Path) -> str:
        """``<stem>.jpg``, or ``<stem>-2.jpg`` for the second image of that name."""
        name, number = f'{path.stem}.jpg', 2
        while name in self._taken:
            name, number = f'{path.stem}-{number}.jpg', number + 1
        self._taken.add(name)
        return name
