"""Frames of video files and streams, read and written through OpenCV."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fgdet.apis.image_files import Input
from fgdet.utils.checks import UserError

#: Frames a second of a stream that does not say.
DEFAULT_FPS = 25.0
#: Times that reading goes on past a frame that is not there before a file counts as ended.
TRIES = 10
#: Longer side of a written video; what players and the codec take.
MAX_SIDE = 4096


class Frame(NamedTuple):
    """One picture of a video."""

    number: int  # from 0, those that were passed over counted
    seconds: float  # from the beginning
    pixels: np.ndarray  # (H, W, 3) uint8 RGB


class VideoReader:
    """A video file, a URL or a camera.

    Args:
        source: the file, a URL, or the number of a camera.
        every: 1 gives every frame, 3 every third, from the first on.
        max_frames: frames that are given at most; a stream may have no end.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, source: Input, every: int = 1, max_frames: int | None = None) -> None:
        self.source, self.every, self.max_frames = source, every, max_frames
        is_camera = isinstance(source, str) and source.isdigit()
        self._capture = cv2.VideoCapture(int(source) if is_camera else str(source))  # type: ignore[arg-type]
        if not self._capture.isOpened():
            what = f'camera {source}' if is_camera else f'video {source}'
            raise UserError(f'{what}: it cannot be opened; is it {"there" if is_camera else "a video, and complete"}?')
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else DEFAULT_FPS
        stated = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_stated = int(stated) if isinstance(source, Path) and 0 < stated < 1e9 else None
        self.num_read, self.num_damaged, self._ended = 0, 0, False

    @property
    def num_expected(self) -> int | None:
        """Frames that will be given, as far as it is known."""
        expected = None if self.num_stated is None else -(-self.num_stated // self.every)
        return min(filter(None, (expected, self.max_frames)), default=None)

    @property
    def note(self) -> str | None:
        """What a user should know after the last frame: that it ended early, or that frames are damaged."""
        notes = []
        if self._ended and self.num_stated is not None and self.num_read < self.num_stated:
            notes.append(f'it ends early, after {self.num_read} of {self.num_stated} frames')
        if self.num_damaged:
            notes.append(f'{self.num_damaged} damaged frames are left out')
        return ' and '.join(notes) or None

    def __iter__(self) -> Iterator[Frame]:
        given = 0
        try:
            while (self.max_frames is None or given < self.max_frames) and self._grab():
                index, self.num_read = self.num_read, self.num_read + 1
                if index % self.every:
                    continue
                seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                intact, pixels = self._capture.retrieve()
                if not intact or pixels is None:
                    self.num_damaged += 1
                    continue
                given += 1
                seconds = seconds if seconds > 0 else index / self.fps
                yield Frame(index, round(seconds, 4), np.ascontiguousarray(pixels[..., ::-1]))
        finally:
            self._capture.release()

    def _grab(self) -> bool:
        """Go to the next frame; past some that are not there in a file that should have more."""
        for lost in range(TRIES):
            if self._capture.grab():
                self.num_damaged += lost
                return True
            if self.num_stated is None or self.num_read >= self.num_stated:
                break
        self._ended = True
        return False


class VideoWriter:
    """Writes an ``.mp4`` file; it has its name only when it is closed, so nothing half-written is left under it.

    Args:
        path: the file.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps, self.num_written = path, fps, 0
        self._part = path.with_name(f'.{path.stem}.part.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, picture: np.ndarray) -> None:
        """Append a picture (H, W, 3) uint8 RGB; later ones are resized to the size of the first.

        Raises:
            UserError: the file cannot be begun.
        """
        if self._writer is None:
            shrink = min(1.0, MAX_SIDE / max(picture.shape[:2]))
            self._size = tuple(max(2, int(side * shrink) // 2 * 2) for side in picture.shape[1::-1])  # type: ignore
            self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*'mp4v'), self.fps, self._size)
            if not self._writer.isOpened():
                self._writer = None
                raise UserError(
                    f'video {self.path}: it cannot be written there; is the folder writable, the disk full?'
                )
        height, width = picture.shape[:2]
        if (width // 2 * 2, height // 2 * 2) == self._size:  # the codec halves the colours: even sides only
            picture = picture[: self._size[1], : self._size[0]]
        else:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))
        self.num_written += 1

    def close(self) -> None:
        """Finish the file and give it its name; a second call does nothing.

        Raises:
            UserError: frames are missing in it, as when the disk is full.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        written = cv2.VideoCapture(str(self._part))
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
        written.release()
        if count < self.num_written:
            self._part.unlink(missing_ok=True)
            raise UserError(f'video {self.path}: it could not be written whole; is the disk full?')
        self._part.replace(self.path)
