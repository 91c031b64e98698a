"""Detections for files on disk: from images and videos to pictures, annotated videos and a COCO-form JSON file."""

import contextlib
import errno
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from PIL import Image

from fgdet.apis.image_files import FileResult, Input, is_video
from fgdet.apis.image_reading import read_image
from fgdet.apis.read_ahead import read_ahead, windows
from fgdet.apis.video_files import Frame, VideoReader, VideoWriter
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes, write_json
from fgdet.visualization.draw import draw_detections

#: Longer side of a written picture: larger images are drawn smaller.
MAX_PICTURE_SIDE = 8192
#: Failures after which no other file can be written either.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class DetectorLike(Protocol):
    """What is needed of a detector; ``detect_arrays`` and ``settings`` are used where it has them."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What is looked for."""

    def detect_array(self, image: np.ndarray, score_threshold: float, source: str | None = None) -> Detections:
        """Detections of an (H, W, 3) uint8 RGB image; ``source`` is the file that it came from."""


class RunSettings(NamedTuple):
    """How files are gone through."""

    score_threshold: float = 0.3
    threads: int = 2  # that read and decode ahead, and as many that draw and write behind; 0: none
    every: int = 1  # of a video: every n-th frame
    max_frames: int | None = None  # of a video: searched frames at most


class _Reading(NamedTuple):
    """An image that was read, or why not."""

    path: Input
    pixels: np.ndarray | None
    note: str | None
    error: str | None


class _Written(NamedTuple):
    """An image or frame whose picture is being written, with its entry of ``images``; or a file that is through."""

    written: Future | None
    result: FileResult
    entry: dict[str, Any] | None = None
    detections: Detections | None = None


class FileWriter:
    """Searches files, writes a picture as soon as its image is done, and all predictions at the end, also when it comes
    early.

    The JSON file has COCO's form: ``images`` (id, file_name, width, height; of a video's frame also frame_index, from
    0, and time in seconds), ``categories`` (id, name) and ``annotations`` (image_id, category_id, bbox as x, y, width,
    height in pixels of the image, score, and the mask where there is one).

    Args:
        folder: pictures go there as ``<name>.jpg``, videos as ``<name>.mp4``, the predictions as ``predictions.json``.
        vocabulary: the names; their ids count from 1.
        json_file: where the predictions go as well.
        settings: threshold, threads, frames.
        on_frame: called with a video, its frames so far, and how many there will be where that is known.

    Attributes:
        num_done: images and videos whose results are written.

    Raises:
        UserError: the folder cannot be made or written into.
    """

    def __init__(
        self,
        folder: str | Path,
        vocabulary: Vocabulary,
        json_file: str | Path | None = None,
        settings: RunSettings | None = None,
        on_frame: Callable[[Input, int, int | None], None] = lambda source, done, expected: None,
    ) -> None:
        self.folder, self.vocabulary, self.settings = Path(folder), vocabulary, settings or RunSettings()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self.folder / '.fgdet-probe', b'')
            (self.folder / '.fgdet-probe').unlink()
        except OSError as error:
            raise UserError(f'output folder {folder}: it cannot be written into ({error.strerror})') from error
        self.json_files = [self.folder / 'predictions.json', *([Path(json_file)] if json_file else [])]
        self.num_done = 0
        self._on_frame = on_frame
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._taken: set[str] = set()
        self._pending: deque[_Written] = deque()
        self._video: VideoWriter | None = None
        self._drawers = ThreadPoolExecutor(max(1, self.settings.threads), 'draw')
        self._video_drawer = ThreadPoolExecutor(1, 'draw-frames')

    def __enter__(self) -> 'FileWriter':
        return self

    def __exit__(self, *exception: object) -> None:
        """Write what is done, whatever ended it."""
        problems: list[Exception] = []
        try:
            list(self._finished(0, problems))
            self._close_video()
        except (UserError, OSError) as error:
            problems.append(error)
        self._drawers.shutdown()
        self._video_drawer.shutdown()
        categories = [{'id': i, 'name': name} for i, name in enumerate(self.vocabulary.names, 1)]
        content = {'images': self._images, 'categories': categories, 'annotations': self._annotations}
        for path in self.json_files:
            try:
                write_json(path, content, indent=None)
            except OSError as error:
                problems.append(error)
        if problems and exception[0] is None:
            raise problems[0]

    def process(self, detector: DetectorLike, inputs: Sequence[Input]) -> Iterator[FileResult]:
        """Search each input and write what was found; one that fails does not stop the others.

        Raises:
            OSError: the disk is full or was taken away.
        """
        for has_frames, group in itertools.groupby(inputs, is_video):
            if not has_frames:
                yield from self._process_images(detector, list(group))
                continue
            for source in group:
                yield self._process_video(detector, source)

    def _process_images(self, detector: DetectorLike, paths: Sequence[Input]) -> Iterator[FileResult]:
        batch = _batch_size(detector)
        readings = read_ahead(_read, paths, self.settings.threads, 2 * batch + self.settings.threads, _bytes_of)
        try:
            for window in windows(readings, batch):
                images = [each.pixels for each in window if each.pixels is not None]
                sources = [str(each.path) for each in window if each.pixels is not None]
                found = iter(_detect_each(detector, images, self.settings.score_threshold, sources))
                for reading in window:
                    self._begin_picture(reading, next(found) if reading.error is None else str(reading.error))
                yield from self._finished(2 * batch)
            yield from self._finished(0)
        finally:
            readings.close()

    def _begin_picture(self, reading: _Reading, found: Detections | str) -> None:
        path = Path(reading.path)
        if isinstance(found, str):
            error = found if str(path) in found else f'{path}: {found}'
            self._pending.append(_Written(None, FileResult(path, None, error)))
            return
        assert reading.pixels is not None
        picture = self.folder / self._free_name(path.stem, '.jpg')
        written = self._drawers.submit(_write_picture, reading.pixels, found, self.vocabulary.names, picture)
        height, width = reading.pixels.shape[:2]
        entry = {'file_name': str(path), 'width': width, 'height': height}
        self._pending.append(_Written(written, FileResult(path, found, None, reading.note), entry, found))

    def _finished(self, keep: int, problems: list[Exception] | None = None) -> Iterator[FileResult]:
        """Results whose pictures are written, in order; waits until ``keep`` of them wait at most.

        What stops all further writing is raised, or put into ``problems``.
        """
        while self._pending and (len(self._pending) > keep or _is_through(self._pending[0])):
            item = self._pending[0]
            if item.written is not None:
                item.written.exception()  # waits; what is interrupted here is still there for the next call
            self._pending.popleft()
            error = None if item.written is None else item.written.exception()
            if isinstance(error, OSError) and error.errno in _FATAL and problems is None:
                raise error
            if error is not None and not isinstance(error, UserError | OSError):
                raise error
            if error is not None:
                (problems if problems is not None else []).append(error)
                yield FileResult(item.result.path, None, str(error))
                continue
            self._record(item)
            yield item.result

    def _record(self, item: _Written) -> None:
        if item.entry is None or item.detections is None:
            return
        image_id = len(self._images) + 1
        self._images.append({'id': image_id, **item.entry})
        self._annotations += item.detections.to_coco(image_id, range(1, len(self.vocabulary) + 1))
        self.num_done += 'frame_index' not in item.entry

    def _process_video(self, detector: DetectorLike, source: Input) -> FileResult:
        settings = self.settings
        done, frames = 0, None
        try:
            video = VideoReader(source, settings.every, settings.max_frames)
            name = self._free_name(_stem(source), '.mp4')
            self._video = VideoWriter(self.folder / name, video.fps / settings.every)
            batch, given = _batch_size(detector), iter(video)
            frames = read_ahead(
                lambda _: next(given, None), itertools.count(), min(1, settings.threads), 2 * batch + 2, _bytes_of
            )
            for window in windows(itertools.takewhile(lambda frame: frame is not None, frames), batch):
                self._search_frames(detector, [frame for frame in window if frame is not None], source)
                done += sum(1 for _ in self._frames_through(2 * batch))
                self._on_frame(source, done, video.num_expected)
            done += sum(1 for _ in self._frames_through(0))
            self._close_video()
        except UserError as error:
            done += sum(result.error is None for result in self._finished(0))
            with contextlib.suppress(UserError):
                self._close_video()
            text = str(error) if str(source) in str(error) else f'video {source}: {error}'
            return FileResult(source, None, text, frames=done)
        finally:
            if frames is not None:
                frames.close()
        if not done:
            return FileResult(source, None, f'video {source}: no frame of it can be read')
        self.num_done += 1
        return FileResult(source, None, None, video.note, done)

    def _search_frames(self, detector: DetectorLike, frames: Sequence[Frame], source: Input) -> None:
        """Detect on frames, which fail together, and begin to draw them."""
        assert self._video is not None
        images = [frame.pixels for frame in frames]
        found = _detect_each(detector, images, self.settings.score_threshold, [str(source)] * len(images))
        for frame, each in zip(frames, found, strict=True):
            if isinstance(each, str):
                raise UserError(each)
            height, width = frame.pixels.shape[:2]
            entry = {'file_name': str(source), 'width': width, 'height': height}
            entry |= {'frame_index': frame.number, 'time': frame.seconds}
            written = self._video_drawer.submit(_write_frame, frame.pixels, each, self.vocabulary.names, self._video)
            self._pending.append(_Written(written, FileResult(source, each, None), entry, each))

    def _frames_through(self, keep: int) -> Iterator[FileResult]:
        for result in self._finished(keep):
            if result.error is not None:
                raise UserError(result.error)
            yield result

    def _close_video(self) -> None:
        if self._video is not None:
            video, self._video = self._video, None
            video.close()

    def _free_name(self, stem: str, ending: str) -> str:
        """``<stem><ending>``, or ``<stem>-2<ending>`` for the second of that name."""
        name, number = f'{stem}{ending}', 2
        while name in self._taken:
            name, number = f'{stem}-{number}{ending}', number + 1
        self._taken.add(name)
        return name


def _batch_size(detector: DetectorLike) -> int:
    settings = getattr(detector, 'settings', None)
    return settings.batch_size if settings is not None and hasattr(detector, 'detect_arrays') else 1


def _detect_each(
    detector: DetectorLike, images: Sequence[np.ndarray], score_threshold: float, sources: Sequence[str]
) -> list[Detections | str]:
    """Detections of each image, or why it has none; where a batch fails, its images are tried one by one."""
    if len(images) > 1:
        try:
            return list(detector.detect_arrays(images, score_threshold))  # type: ignore[attr-defined]
        except UserError:
            pass
    found: list[Detections | str] = []
    for image, source in zip(images, sources, strict=True):
        try:
            found.append(detector.detect_array(image, score_threshold, source=source))
        except UserError as error:
            found.append(str(error))
    return found


def _read(path: Input) -> _Reading:
    try:
        image = read_image(path)
    except (UserError, OSError) as error:
        return _Reading(path, None, None, str(error))
    return _Reading(path, image.pixels, image.note, None)


def _bytes_of(item: _Reading | Frame | None) -> int:
    return 0 if item is None or item.pixels is None else item.pixels.nbytes


def _is_through(item: _Written) -> bool:
    return item.written is None or item.written.done()


def _stem(source: Input) -> str:
    """The name of a file without its ending; of a stream what may be in a file's name."""
    if isinstance(source, Path):
        return source.stem
    return f'camera-{source}' if source.isdigit() else re.sub(r'[^\w.-]+', '-', source.split('@')[-1]).strip('-')[-80:]


def _draw(image: np.ndarray, found: Detections, names: Sequence[str], max_side: int) -> np.ndarray:
    height, width = image.shape[:2]
    shrink = max_side / max(height, width)
    if shrink < 1:
        size_hw = max(1, round(height * shrink)), max(1, round(width * shrink))
        image = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)
        found = found.resized((height, width), size_hw)
    return draw_detections(image, found, color_names=names)


def _write_picture(image: np.ndarray, found: Detections, names: Sequence[str], path: Path) -> None:
    encoded = BytesIO()
    Image.fromarray(_draw(image, found, names, MAX_PICTURE_SIDE)).save(encoded, 'JPEG', quality=92)
    write_bytes(path, encoded.getvalue())


def _write_frame(image: np.ndarray, found: Detections, names: Sequence[str], video: VideoWriter) -> None:
    video.write(_draw(image, found, names, MAX_PICTURE_SIDE))
