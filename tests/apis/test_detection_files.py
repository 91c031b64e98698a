"""What is written, when, and what is left after a failure, a full disk or an interruption."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgdet.apis import detection_files
from fgdet.apis.detection_files import FileWriter, RunSettings
from fgdet.apis.image_files import find_inputs
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.video_files import VideoReader
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import write_picture
from tests.input_builders import damaged_files, write_video


class Brightness:
    """A detector that reports the whole picture, its mean as score; the width of ``fails_at`` fails."""

    vocabulary = Vocabulary(['dark', 'light'])

    def __init__(self, batch_size: int = 1, fails_at: int = -1, masks: bool = False) -> None:
        self.settings = InferenceSettings(batch_size=batch_size)
        self.fails_at, self.masks, self.calls = fails_at, masks, 0

    def detect_array(self, image: np.ndarray, score_threshold: float, source: str | None = None) -> Detections:
        return self.detect_arrays([image], score_threshold)[0]

    def detect_arrays(self, images: Sequence[np.ndarray], score_threshold: float) -> list[Detections]:
        self.calls += 1
        found = []
        for image in images:
            height, width = image.shape[:2]
            if width == self.fails_at:
                raise UserError('out of memory')
            score = float(image.mean()) / 255
            masks = np.ones((1, height, width), bool) if self.masks else None
            each = Detections([[0, 0, width, height]], [score], [int(score > 0.5)], ['dark or light'], masks)
            found.append(each.filter(score_threshold))
        return found


def predictions(folder: Path) -> dict[str, Any]:
    return json.loads((folder / 'predictions.json').read_text(encoding='utf-8'))


def run(detector: Any, inputs: Sequence[Path], out: Path, **settings: Any) -> list[Any]:
    with FileWriter(out, detector.vocabulary, settings=RunSettings(score_threshold=0.0, **settings)) as writer:
        return list(writer.process(detector, list(inputs)))


@pytest.mark.parametrize(('threads', 'batch_size'), [(0, 1), (2, 1), (3, 4)])
def test_process__images_and_videos_in_order(tmp_path: Path, threads: int, batch_size: int) -> None:
    for number in range(9):
        write_picture(tmp_path / 'in' / f'{number}.png', (40, 50 + number), seed=number)
    write_video(tmp_path / 'in' / '4b.avi', 7)
    inputs, _ = find_inputs([str(tmp_path / 'in')])
    results = run(Brightness(batch_size, masks=True), inputs, tmp_path / 'out', threads=threads)
    assert [result.path.name for result in results] == [path.name for path in inputs]
    assert [result.frames for result in results] == [None] * 5 + [7] + [None] * 4
    content = predictions(tmp_path / 'out')
    assert [image['id'] for image in content['images']] == list(range(1, 17))
    names = [Path(image['file_name']).name for image in content['images']]
    assert names == [f'{n}.png' for n in range(5)] + ['4b.avi'] * 7 + [f'{n}.png' for n in range(5, 9)]
    frames = [image for image in content['images'] if 'frame_index' in image]
    assert [frame['frame_index'] for frame in frames] == list(range(7))
    assert [frame['time'] for frame in frames] == pytest.approx([n / 5 for n in range(7)], abs=1e-3)
    for image, found in zip(content['images'], content['annotations'], strict=True):
        assert found['image_id'] == image['id']
        assert found['bbox'] == [0, 0, image['width'], image['height']]
        assert found['segmentation']['size'] == [image['height'], image['width']]
    with Image.open(tmp_path / 'out' / '3.jpg') as picture:
        assert picture.width % 53 == 0
    assert len(list(VideoReader(tmp_path / 'out' / '4b.mp4'))) == 7
    assert len(list((tmp_path / 'out').iterdir())) == 11  # nothing beside them is left


def test_process__every_kind_of_bad_image_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    cases = damaged_files(tmp_path / 'in')
    write_picture(tmp_path / 'in' / 'wide.png', (40, 77))
    Image.new('RGB', (1, 1), 'white').save(tmp_path / 'in' / 'dot.png')
    animation = Image.new('RGB', (30, 20))
    animation.save(tmp_path / 'in' / 'moving.gif', save_all=True, append_images=[Image.new('RGB', (30, 20), 'red')])
    inputs = [path for path in sorted((tmp_path / 'in').iterdir())]
    detector = Brightness(batch_size=3, fails_at=77)
    with FileWriter(tmp_path / 'out', detector.vocabulary) as writer:
        results = {result.path.name: result for result in writer.process(detector, inputs)}
        assert writer.num_done == 3
    for name, message in cases.items():
        assert message in results[name].error and name in results[name].error and '\n' not in results[name].error
    assert results['wide.png'].error == f'{tmp_path / "in" / "wide.png"}: out of memory'
    assert results['moving.gif'].note == 'it has several frames, of which the first is taken'
    written = {Path(image['file_name']).name for image in predictions(tmp_path / 'out')['images']}
    assert written == {'dot.png', 'moving.gif', 'whole.png'}


def test_process__videos_that_are_cut_broken_or_fail(tmp_path: Path) -> None:
    data = write_video(tmp_path / 'in' / 'a.avi', size_wh=(320, 240)).read_bytes()
    (tmp_path / 'in' / 'b.avi').write_bytes(data[: int(len(data) * 0.7)])
    (tmp_path / 'in' / 'c.mp4').write_text('hello')
    write_video(tmp_path / 'in' / 'd.mp4', size_wh=(78, 48))
    inputs, _ = find_inputs([str(tmp_path / 'in')])
    whole, cut, text, failed = run(Brightness(fails_at=78), inputs, tmp_path / 'out', every=2)
    assert (whole.frames, whole.error, whole.note) == (6, None, None)
    assert cut.error is None and 'it ends early, after' in cut.note
    assert len(list(VideoReader(tmp_path / 'out' / 'b.mp4'))) == cut.frames
    assert 'c.mp4: it cannot be opened' in text.error
    assert failed.error.endswith('d.mp4: out of memory')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['a.mp4', 'b.mp4', 'predictions.json']


@pytest.mark.parametrize('name', ['images', 'a.avi'])
def test_process__an_interruption_loses_nothing(tmp_path: Path, name: str) -> None:
    for number in range(8):
        write_picture(tmp_path / 'images' / f'{number}.png', seed=number)
    write_video(tmp_path / 'a.avi')

    class Interrupted(Brightness):
        def detect_arrays(self, images: Sequence[np.ndarray], score_threshold: float) -> list[Detections]:
            if self.calls == 5:
                raise KeyboardInterrupt
            return super().detect_arrays(images, score_threshold)

    inputs, _ = find_inputs([str(tmp_path / name)])
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), inputs, tmp_path / 'out')
    content = predictions(tmp_path / 'out')
    assert len(content['images']) == len(content['annotations']) == 5
    if name == 'a.avi':
        assert len(list(VideoReader(tmp_path / 'out' / 'a.mp4'))) == 5
    else:
        assert sorted(path.stem for path in (tmp_path / 'out').glob('*.jpg')) == list('01234')
    assert not list((tmp_path / 'out').glob('.*'))


def test_process__a_full_disk_ends_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        write_picture(tmp_path / 'in' / f'{number}.png', seed=number)
    write_bytes, written = detection_files.write_bytes, []

    def fill(path: Path, data: bytes) -> None:
        written.append(path)
        if path.name in ('3.jpg', '4.jpg', '5.jpg'):
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        write_bytes(path, data)

    monkeypatch.setattr(detection_files, 'write_bytes', fill)
    inputs, _ = find_inputs([str(tmp_path / 'in')])
    with pytest.raises(OSError, match=r'No space left on device: .*3.jpg'):
        run(Brightness(), inputs, tmp_path / 'out')
    assert len(predictions(tmp_path / 'out')['images']) == 3


def test_process__one_picture_that_cannot_be_written_stops_no_other(tmp_path: Path) -> None:
    for name in ('a', 'b', 'c'):
        write_picture(tmp_path / 'in' / f'{name}.png')
    (tmp_path / 'out' / 'b.jpg').mkdir(parents=True)
    inputs, _ = find_inputs([str(tmp_path / 'in')])
    results = run(Brightness(), inputs, tmp_path / 'out')
    assert [result.error is None for result in results] == [True, False, True]
    assert 'b.jpg' in results[1].error
    assert len(predictions(tmp_path / 'out')['images']) == 2


def test_writer__refuses_a_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'it cannot be written into .Not a directory'):
        FileWriter(tmp_path / 'file' / 'out', Brightness.vocabulary)

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    monkeypatch.setattr(detection_files, 'write_bytes', refuse)
    with pytest.raises(UserError, match=r'output folder .*out: it cannot be written into .Permission denied'):
        FileWriter(tmp_path / 'out', Brightness.vocabulary)


def test_writer__large_pictures_are_drawn_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection_files, 'MAX_PICTURE_SIDE', 400)
    write_picture(tmp_path / 'a.png', (500, 1000))
    run(Brightness(masks=True), [tmp_path / 'a.png'], tmp_path / 'out')
    with Image.open(tmp_path / 'out' / 'a.jpg') as picture:
        assert picture.size == (400, 200)
    assert predictions(tmp_path / 'out')['annotations'][0]['bbox'] == [0, 0, 1000, 500]
