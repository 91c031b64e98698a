"""Videos that OpenCV writes, whole, cut and damaged."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fgdet.apis.video_files import VideoReader, VideoWriter
from fgdet.utils.checks import UserError
from tests.input_builders import write_video


def greys(reader: VideoReader) -> list[int]:
    return [round((float(frame.pixels.mean()) - 4.5) / 20) for frame in reader]


@pytest.mark.parametrize('name', ['a.avi', 'a.mp4'])
def test_read__every_frame_with_its_time(tmp_path: Path, name: str) -> None:
    reader = VideoReader(write_video(tmp_path / name))
    frames = list(reader)
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.seconds for frame in frames] == pytest.approx([number / 5 for number in range(12)], abs=1e-3)
    assert frames[0].pixels.shape == (48, 64, 3)
    assert (reader.fps, reader.num_expected, reader.note) == (5.0, 12, None)
    assert greys(VideoReader(tmp_path / name)) == list(range(12))


def test_read__every_third_and_at_most(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.avi')
    reader = VideoReader(path, every=3)
    assert (greys(reader), reader.num_expected, reader.note) == ([0, 3, 6, 9], 4, None)
    reader = VideoReader(path, every=3, max_frames=2)
    assert (greys(reader), reader.num_expected, reader.note) == ([0, 3], 2, None)


def test_read__a_file_that_was_cut_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    data = write_video(tmp_path / 'a.avi', size_wh=(320, 240)).read_bytes()
    (tmp_path / 'cut.avi').write_bytes(data[: int(len(data) * 0.7)])
    reader = VideoReader(tmp_path / 'cut.avi')
    seen = greys(reader)
    assert 3 < len(seen) < 12 and seen == list(range(len(seen)))
    assert reader.note == f'it ends early, after {len(seen)} of 12 frames'


def test_read__damaged_frames_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaged:
        """Frame 2 does not decode, before frame 4 one is not there."""

        def __init__(self, source: str) -> None:
            self.place, self.calls = -1, 0

        def isOpened(self) -> bool:
            return True

        def get(self, what: int) -> float:
            return {cv2.CAP_PROP_FPS: 0.0, cv2.CAP_PROP_FRAME_COUNT: 7.0}.get(what, 0.0)

        def grab(self) -> bool:
            self.calls += 1
            there = self.calls != 5 and self.place < 5
            self.place += there
            return there

        def retrieve(self) -> tuple[bool, np.ndarray | None]:
            return (False, None) if self.place == 2 else (True, np.full((4, 6, 3), self.place, np.uint8))

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, 'VideoCapture', Damaged)
    reader = VideoReader(tmp_path / 'a.mp4')
    frames = list(reader)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 1, 3, 4, 5]
    assert [frame.seconds for frame in frames] == [
        0,
        0.04,
        0.12,
        0.16,
        0.2,
    ]  # at the 25 frames a second it is taken for
    assert reader.note == 'it ends early, after 6 of 7 frames and 2 damaged frames are left out'


def test_read__refuses_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / 'text.mp4').write_text('hello')
    (tmp_path / 'empty.avi').write_bytes(b'')
    for name in ('text.mp4', 'empty.avi'):
        with pytest.raises(UserError, match=f'video .*{name}: it cannot be opened'):
            VideoReader(tmp_path / name)


@pytest.mark.parametrize('size_hw', [(48, 64), (49, 65), (1, 1)])
def test_write__reads_back(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    writer = VideoWriter(tmp_path / 'a.mp4', 4.0)
    for number in range(6):
        writer.write(np.full((*size_hw, 3), 40 * number, np.uint8))
        assert not (tmp_path / 'a.mp4').exists()
    writer.write(np.full((30, 30, 3), 200, np.uint8))  # of another size
    writer.close()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']
    frames = list(VideoReader(tmp_path / 'a.mp4'))
    assert frames[0].pixels.shape[:2] == tuple(max(2, side // 2 * 2) for side in size_hw)
    assert [float(frame.pixels.mean()) for frame in frames] == pytest.approx([*range(0, 240, 40), 200], abs=4)
    assert frames[4].seconds == 1.0


def test_write__a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / 'a.mp4', 4.0)
    for _ in range(5):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.num_written += 1  # one that OpenCV did not write and did not speak of
    with pytest.raises(UserError, match=r'a.mp4: it could not be written whole; is the disk full'):
        writer.close()
    assert list(tmp_path.iterdir()) == []
    writer = VideoWriter(tmp_path / 'none' / 'a.mp4', 4.0)
    with pytest.raises(UserError, match=r'a.mp4: it cannot be written there'):
        writer.write(np.zeros((16, 16, 3), np.uint8))
