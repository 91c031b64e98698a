"""The commands over features: from the shell's arguments to files and exit codes."""

import json

import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from fgdet.cli.embed import command
from fgdet.cli.evaluate import command as evaluate
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from fgdet.utils.fingerprint import state_fingerprint
from tests.builders import write_image, write_records, write_small_clip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('embed')
    write_small_clip(folder / 'clip')
    for i in range(4):
        write_image(folder / 'images' / f'{"ab"[i % 2]}' / f'{i}.png', seed=i)
    return folder


def call(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_embed__image_text_and_regions_write_their_tables(folder, tmp_path):
    shared = ('--checkpoint', folder / 'clip', '--device', 'cpu', '--out')
    (tmp_path / 'lines.txt').write_text('a cat\n\na dog\n')
    out = tmp_path / 'text.safetensors'
    result = call(command, 'text', 'a mug', '--file', tmp_path / 'lines.txt', '--long', *shared, out)
    assert result.exit_code == 0, result.output
    assert f'{out}: text 3 x 16' in result.output
    assert json.loads(load_file(out)['text.names'].tobytes()) == ['a mug', 'a cat', 'a dog']

    (tmp_path / 'broken.jpg').write_text('text')
    inputs = (folder / 'images', tmp_path / 'broken.jpg')
    facts = tmp_path / 'image.json'
    result = call(command, 'image', *inputs, '--json', facts, *shared, tmp_path / 'image.safetensors')
    assert result.exit_code == 1  # the others are there
    assert 'broken.jpg: it cannot be read as an image' in result.stderr
    assert load_file(tmp_path / 'image.safetensors')['image'].shape == (4, 16)

    made = json.loads(facts.read_text())
    assert (made['table'], made['count'], made['dim']) == ('image', 4, 16)
    assert made['out'] == str(tmp_path / 'image.safetensors') and list(made['failures']) == [str(inputs[1])]
    assert made['fingerprint'] == state_fingerprint(FGCLIP.from_pretrained(folder / 'clip'))

    (tmp_path / 'boxes.json').write_text(json.dumps({'a/0.png': [[0, 0, 9, 9], [3, 3, 20, 12]]}))
    options = ('--images', folder / 'images', '--mode', 'crop', '--raw')
    result = call(command, 'regions', tmp_path / 'boxes.json', *options, *shared, tmp_path / 'r.safetensors')
    assert result.exit_code == 0, result.output
    assert load_file(tmp_path / 'r.safetensors')['region.boxes'].shape == (2, 4)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('text', '--out', 'x.safetensors'), 'no text is given'),
        (('text', 'a', '--out', 'x.npz'), 'expected a name ending in .safetensors'),
        (('text', 'a', '--out', 'x.safetensors', '--json', 'x.safetensors'), '--json x.safetensors: --out is the same'),
        (('image', 'none.jpg', '--out', 'x.safetensors'), 'no such file, folder or match'),
    ],
)
def test_embed__mistakes_are_named_and_nothing_is_written(folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = call(command, *arguments, '--checkpoint', folder / 'clip')
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_evaluate__retrieval_and_zero_shot_print_tables_and_write_json(folder, tmp_path):
    lines = [dict(image=f'{"ab"[i % 2]}/{i}.png', captions=[f'thing {i}', f'{i} of it']) for i in range(4)]
    write_records(tmp_path / 'captions.jsonl', lines)
    model = ('--checkpoint', folder / 'clip', '--images', folder / 'images', '--device', 'cpu')
    scores = tmp_path / 'scores.json'
    result = call(
        evaluate, 'retrieval', *model, '--ann', tmp_path / 'captions.jsonl', '--json', scores, '--captions', 1
    )
    assert result.exit_code == 0, result.output
    assert 'image to text' in result.output
    assert 'left out' in result.output
    assert json.loads(scores.read_text())['num_texts'] == 4

    result = call(evaluate, 'zero-shot', *model, '--templates', 'none', '--json', scores, '--worst-classes', 2)
    assert result.exit_code == 0, result.output
    assert json.loads(scores.read_text())['num_images'] == 4
    assert 'mean per class' in result.output
