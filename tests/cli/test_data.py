"""``fgdet data``: options, what is printed and written, exit status."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fgdet.cli.data import command
from fgdet.utils.checks import UserError
from tests.builders import record, write_image, write_records


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four records, one of which has no image, as records.jsonl beside images/."""
    for i in range(3):
        write_image(tmp_path / 'images' / f'{i}.jpg', size=(64, 48), seed=i)
    write_records(tmp_path / 'records.jsonl', [record(f'{i}.jpg', caption=f'Caption {i}.') for i in range(4)])
    return tmp_path


def run(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments])


def test_verify__prints_writes_and_fails(data: Path) -> None:
    arguments = ('verify', data / 'records.jsonl', '--images', data / 'images', '--json', data / 'v.json')
    result = run(*arguments, '--sheet', data / 'sheet.png')
    assert result.exit_code == 1, result.output
    lines = result.output.split('\n')
    assert lines[1] == 'missing-image: 1 (images that do not exist)'
    assert lines[2] == f'  {data}/records.jsonl:4: image {data}/images/3.jpg does not exist'
    assert lines[3:5] == ['3 of 4 samples can be used', f'3 samples drawn: {data}/sheet.png']
    assert json.loads((data / 'v.json').read_text())['counts']['missing-image'] == 1
    with Image.open(data / 'sheet.png') as sheet:
        assert sheet.width == 3 * 480 + 4 * 12
    assert run(*arguments, '--allow', 'missing-image').exit_code == 0
    assert run(*arguments, '--allow', 'box').exit_code == 1
    assert run(*arguments, '--allow', 'all').exit_code == 0
    assert isinstance(run(*arguments, '--allow', 'boxes').exception, UserError)


def test_verify__sheet_needs_images_and_usable_samples(data: Path) -> None:
    result = run('verify', data / 'records.jsonl', '--sheet', data / 'sheet.png')
    assert 'give their folder by --images' in str(result.exception)
    write_records(data / 'bad.jsonl', [record('3.jpg')])
    result = run('verify', data / 'bad.jsonl', '--images', data / 'images', '--sheet', data / 'sheet.png')
    assert 'no sample of' in str(result.exception)
    assert not (data / 'sheet.png').exists()


def test_pack_and_stats__over_the_shards(data: Path) -> None:
    result = run(
        'pack', data / 'records.jsonl', '--images', data / 'images', '--out', data / 'out', '--shard-samples', '2'
    )
    assert result.exit_code == 0, result.output
    assert 'left out: 1 missing-image, such as' in result.output
    assert result.output.endswith(f'3 of 4 records in 2 shards: {data}/out\n')
    result = run('stats', data / 'out', '--json', data / 's.json', '--plot', data / 's.png')
    assert result.exit_code == 0, result.output
    stats = json.loads((data / 's.json').read_text())
    assert (stats['samples'], stats['usable']) == (3, 3)
    assert stats['measures']['image_width'] == dict(count=3, min=64, mean=64, median=64, p95=64, p99=64, max=64)
    assert 'boxes                          3      1      1.0' in result.output
    with Image.open(data / 's.png') as plot:
        assert np.asarray(plot).std() > 1
    sheet = run('verify', data / 'out', '--sheet', data / 'sheet.png', '--sheet-samples', '2', '--workers', '1')
    assert sheet.exit_code == 0 and '2 samples drawn' in sheet.output


def test_view__same_seed_same_picture(data: Path) -> None:
    arguments = ('view', data / 'records.jsonl', '--images', data / 'images', '--samples', '2', '--out')
    for name, seed in (('a', 1), ('b', 1), ('c', 3)):
        assert run(*arguments, data / f'{name}.png', '--seed', seed).output == f'2 samples drawn: {data}/{name}.png\n'
    a, b, c = ((data / f'{name}.png').read_bytes() for name in 'abc')
    assert a == b != c


def test_commands__wrong_paths_name_the_path(data: Path) -> None:
    for name in ('verify', 'stats', 'view'):
        out = ('--out', data / 'a.png') if name == 'view' else ()
        assert 'none.jsonl: no such file' in str(run(name, data / 'none.jsonl', *out).exception)
    result = run('pack', data / 'records.jsonl', '--images', data / 'none', '--out', data / 'out')
    assert f'images {data}/none: no such folder' in str(result.exception)
    assert not (data / 'out').exists()
