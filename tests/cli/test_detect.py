"""The command: what it writes, how it fails, what an interruption leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from fgdet.apis.detection import Detector
from fgdet.cli.detect import command
from tests.detector_builders import NAMES, write_detector, write_picture
from tests.input_builders import write_video


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp('detector') / 'detector.pth')


def run(checkpoint: Path, *arguments: str | Path) -> Result:
    options = ('--checkpoint', checkpoint, '--device', 'cpu', '--score-threshold', '0.05', *arguments)
    return CliRunner().invoke(command, [str(each) for each in options])


def predictions(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8'))


def test_detect__writes_pictures_and_predictions(checkpoint: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / 'in' / 'a.png', (48, 64))
    write_picture(tmp_path / 'in' / 'sub' / 'a.png', (60, 40), seed=1)
    result = run(
        checkpoint, tmp_path / 'in', '--out', tmp_path / 'out', '--vocab', 'owl, red mug', '--json', tmp_path / 'p.json'
    )
    assert result.exit_code == 0, result.output
    content = predictions(tmp_path / 'out' / 'predictions.json')
    assert content == predictions(tmp_path / 'p.json')
    assert content['categories'] == [dict(id=1, name='owl'), dict(id=2, name='red mug')]
    assert [(image['id'], image['width'], image['height']) for image in content['images']] == [(1, 64, 48), (2, 40, 60)]
    assert [image['file_name'] for image in content['images']] == [
        str(tmp_path / 'in' / 'a.png'),
        str(tmp_path / 'in' / 'sub' / 'a.png'),
    ]
    (expected,) = _detect(checkpoint, tmp_path / 'in' / 'a.png')
    of_first = [entry for entry in content['annotations'] if entry['image_id'] == 1]
    assert of_first == expected.to_coco(1, [1, 2])
    # Two images of one name: two pictures.
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.jpg')) == ['a-2.jpg', 'a.jpg']
    with Image.open(tmp_path / 'out' / 'a.jpg') as picture:
        assert picture.width % 64 == 0  # small images are drawn enlarged
    assert '[2/2]' in result.output and '2 of 2 done' in result.output


def _detect(checkpoint: Path, path: Path) -> Any:
    detector = Detector.from_pretrained(checkpoint=checkpoint, device='cpu')
    detector.set_vocabulary(['owl', 'red mug'])
    return detector.detect(path, score_threshold=0.05)


def test_detect__without_vocabulary_looks_for_the_trained_names(checkpoint: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / 'a.png')
    assert run(checkpoint, tmp_path / 'a.png', '--out', tmp_path / 'out').exit_code == 0
    content = predictions(tmp_path / 'out' / 'predictions.json')
    assert [category['name'] for category in content['categories']] == NAMES


def test_detect__goes_on_past_what_fails_and_names_it(checkpoint: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / 'good.png')
    (tmp_path / 'text.jpg').write_text('hello')
    result = run(
        checkpoint, tmp_path / 'text.jpg', tmp_path / 'none.png', tmp_path / 'good.png', '--out', tmp_path / 'out'
    )
    assert result.exit_code == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 3
    assert 'none.png: no such file, folder or match' in lines[0]
    assert 'text.jpg: it cannot be read as an image' in lines[1]
    assert lines[2].startswith('fgdet: error: failed: ') and 'none.png' in lines[2] and 'text.jpg' in lines[2]
    assert [
        Path(image['file_name']).name for image in predictions(tmp_path / 'out' / 'predictions.json')['images']
    ] == ['good.png']


def test_detect__no_input_at_all_leaves_older_results(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'predictions.json').write_text('older')
    result = run(checkpoint, tmp_path / 'none.png', '--out', tmp_path / 'out')
    assert result.exit_code == 1
    assert result.stderr.strip().endswith('none.png: no such file, folder or match')
    assert (tmp_path / 'out' / 'predictions.json').read_text() == 'older'


def test_detect__an_interruption_leaves_what_is_done(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('a.png', 'b.png'):
        write_picture(tmp_path / 'in' / name)
    detect, calls = Detector.detect_arrays, []

    def interrupted(self: Detector, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return detect(self, *arguments)

    monkeypatch.setattr(Detector, 'detect_arrays', interrupted)
    result = run(checkpoint, tmp_path / 'in', '--out', tmp_path / 'out')
    assert result.exit_code == 1
    assert '1 of 2 done' in result.output
    assert result.stderr == 'fgdet: error: interrupted; what was done is written\n'
    assert (tmp_path / 'out' / 'a.jpg').is_file()
    assert len(predictions(tmp_path / 'out' / 'predictions.json')['images']) == 1


def test_detect__a_video_and_options_of_the_search(checkpoint: Path, tmp_path: Path) -> None:
    write_video(tmp_path / 'in' / 'a.avi', 6, (160, 120))
    options = ('--batch-size', '2', '--tile', '96', '--tile-overlap', '0.3', '--nms', 'agnostic', '--nms-iou', '0.4')
    more = ('--max-per-image', '3', '--scale', '64', '--every', '2', '--max-frames', '2', '--threads', '1')
    result = run(checkpoint, tmp_path / 'in', '--out', tmp_path / 'out', *options, *more)
    assert result.exit_code == 0, result.output
    assert '[1/1]' in result.output and '2 frames' in result.output and '1 of 1 done' in result.output
    content = predictions(tmp_path / 'out' / 'predictions.json')
    assert [(image['frame_index'], image['width'], image['height']) for image in content['images']] == [
        (0, 160, 120),
        (2, 160, 120),
    ]
    assert content['annotations'] and (tmp_path / 'out' / 'a.mp4').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--vocab', ' '), 'vocabulary names'),
        (('--vocab', 'cat, cat'), 'repeats'),
        (('--device', 'gpu'), 'torch knows no such device'),
        (('--config', 'none.py'), 'config none.py: no such file'),
        (('--checkpoint', 'none.pth'), 'checkpoint none.pth: no such file'),
        pytest.param(
            ('--device', 'cuda'),
            "device 'cuda': torch sees no GPU here; give 'auto' or 'cpu'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU'),
        ),
    ],
)
def test_detect__refuses_before_it_writes(
    checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_picture(tmp_path / 'a.png')
    result = run(checkpoint, tmp_path / 'a.png', '--out', tmp_path / 'out', *arguments)
    assert result.exit_code == 1
    assert message in str(result.exception)  # fgdet.cli.main prints it in one line
    assert not (tmp_path / 'out').exists()


def test_detect__usage() -> None:
    assert CliRunner().invoke(command, ['--checkpoint', 'x', '--out', 'y']).exit_code == 2
    assert (
        CliRunner().invoke(command, ['a', '--checkpoint', 'x', '--out', 'y', '--score-threshold', '30']).exit_code == 2
    )
