"""Which files and streams an input stands for, and which words a vocabulary."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.structures.vocabulary_files import ENDINGS
from fgdet.utils.checks import UserError

IMAGE_ENDINGS = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif', '.avif', '.ppm'}
VIDEO_ENDINGS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.ts', '.mjpeg'}

#: A file, or what OpenCV opens as a stream: a URL, or the number of a camera.
Input = Path | str


class FileResult(NamedTuple):
    """What came of one file or stream."""

    path: Input
    detections: Detections | None  # None where it failed, and of a video
    error: str | None
    note: str | None = None  # what a user should know of it although it is done
    frames: int | None = None  # of a video: those that were searched


def read_vocabulary(text: str) -> Vocabulary:
    """What a user gives as vocabulary: names between commas, or a ``.txt`` or ``.json`` file.

    Raises:
        UserError: no such file, a file of another kind, or the names are empty or repeated.
    """
    from_file = text.endswith(ENDINGS) or (Path(text).suffix != '' and Path(text).is_file())
    return Vocabulary.from_file(text) if from_file else Vocabulary.from_text(text)


def is_video(source: Input) -> bool:
    """Whether an input of :func:`find_inputs` has frames: a stream, or a file with the ending of one."""
    return isinstance(source, str) or source.suffix.lower() in VIDEO_ENDINGS


def find_inputs(inputs: Sequence[str]) -> tuple[list[Input], list[FileResult]]:
    """Expand files, folders (with their subfolders), glob patterns, URLs and camera numbers.

    Returns:
        images and videos without repeats, in the order of ``inputs`` and sorted within a folder or pattern; and a
        failed result for each input that holds none.
    """
    found: dict[Input, None] = {}
    failures = []
    for text in inputs:
        path = Path(text)
        matches: list[Input]
        if path.is_file():
            matches = [path]
        elif '://' in text or text.isdigit():
            matches = [text]
        elif path.is_dir():
            endings = IMAGE_ENDINGS | VIDEO_ENDINGS
            matches = sorted(each for each in path.rglob('*') if each.suffix.lower() in endings and each.is_file())
        else:
            matches = sorted(Path(each) for each in glob.glob(text, recursive=True) if Path(each).is_file())
        found.update(dict.fromkeys(matches))
        if not matches:
            reason = 'no image or video in this folder' if path.is_dir() else 'no such file, folder or match'
            failures.append(FileResult(path, None, f'input {text}: {reason}'))
    return list(found), failures


def find_images(inputs: Sequence[str]) -> list[Path]:
    """The images among what :func:`find_inputs` finds.

    Raises:
        UserError: an input holds nothing, or there is no image at all.
    """
    found, failures = find_inputs(inputs)
    if failures:
        raise UserError(failures[0].error or '')
    images = [source for source in found if isinstance(source, Path) and not is_video(source)]
    if not images:
        raise UserError(f'input {", ".join(inputs)}: no image in it')
    return images
