"""The command: its picture and its numbers."""

import json
from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from fgdet.cli.heatmap import command
from tests.detector_builders import write_detector, write_picture


def test_heatmap__writes_a_picture_and_numbers(tmp_path: Path) -> None:
    write_picture(tmp_path / 'a.png', (60, 100))
    write_detector(tmp_path / 'detector.pth')
    options = [
        '--checkpoint',
        tmp_path / 'detector.pth',
        '--device',
        'cpu',
        '--size',
        64,
        '--json',
        tmp_path / 'a.json',
    ]
    texts = ['--text', 'red mug', '--text', 'a striped cat']
    result = CliRunner().invoke(
        command, [str(each) for each in (tmp_path / 'a.png', *options, *texts, '--out', tmp_path / 'b.png')]
    )
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / 'b.png') as picture:
        assert picture.format == 'PNG' and picture.width > 2 * picture.height
    content = json.loads((tmp_path / 'a.json').read_text())
    assert [each['text'] for each in content['texts']] == ['red mug', 'a striped cat']
    for each in content['texts']:
        assert -1 <= each['min'] <= each['mean'] <= each['max'] <= 1
        assert 0 <= each['peak'][0] <= 100 and 0 <= each['peak'][1] <= 60
        assert f'{each["text"]}: similarity {each["min"]:.3f} to {each["max"]:.3f}' in result.output
