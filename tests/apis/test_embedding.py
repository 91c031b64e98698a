"""Embedding files, and what goes into them: against the model called directly."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from fgdet.apis.embedding import choose_length, embed_images, embed_regions, embed_texts, read_lines
from fgdet.apis.embedding_files import Embeddings, EmbeddingTable, read_embeddings, write_embeddings
from fgdet.apis.region_encoding import RegionEncoder
from fgdet.apis.region_files import read_regions
from fgdet.evaluation.functional.box_classification import GivenBoxes
from fgdet.utils.checks import UserError
from fgdet.utils.fingerprint import state_fingerprint
from tests.builders import write_image, write_small_clip


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clip')
    write_small_clip(folder)
    return RegionEncoder(folder, 'cpu', batch_size=2)


def test_write_embeddings__is_a_safetensors_file_that_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    image = EmbeddingTable(rng.standard_normal((3, 5)).astype(np.float32), ['a', 'é "x"', 'c/d.jpg'], {})
    text = EmbeddingTable(rng.standard_normal((2, 5)).astype(np.float32), ['one', 'two'], {'images': np.array([2, 0])})
    write_embeddings(tmp_path / 'x.safetensors', Embeddings({'image': image, 'text': text}, {'image_size': '32'}))
    plain = load_file(tmp_path / 'x.safetensors')
    np.testing.assert_array_equal(plain['image'], image.features)
    assert json.loads(plain['image.names'].tobytes()) == image.names
    again = read_embeddings(tmp_path / 'x.safetensors')
    assert again.settings == {'image_size': '32'}
    np.testing.assert_array_equal(again.tables['text'].columns['images'], [2, 0])
    np.testing.assert_array_equal(again.tables['text'].features, text.features)


def test_read_embeddings__another_file_is_refused(tmp_path):
    (tmp_path / 'text.safetensors').write_text('no')
    with pytest.raises(UserError, match=r'text.safetensors: not a safetensors file'):
        read_embeddings(tmp_path / 'text.safetensors')
    save_file({'image': np.zeros((2, 2), np.float32)}, tmp_path / 'other.safetensors')
    with pytest.raises(UserError, match='not written by fgdet embed'):
        read_embeddings(tmp_path / 'other.safetensors')
    save_file({'image': np.zeros((2, 2), np.float32)}, tmp_path / 'n.safetensors', {'format': 'fgdet embeddings 1'})
    with pytest.raises(UserError, match='the table image has no names'):
        read_embeddings(tmp_path / 'n.safetensors')


@torch.no_grad()
def test_embed_images_and_texts__equal_the_model(encoder, tmp_path):
    paths = [write_image(tmp_path / f'{i}.png', (20 + i, 30), i) for i in range(3)]
    broken = tmp_path / 'broken.jpg'
    broken.write_text('text')
    failures: dict[str, str] = {}
    made = embed_images(encoder, [paths[0], broken, *paths[1:]], failures=failures)
    pixels = encoder.model.preprocess([Image.open(path) for path in paths])
    expected = encoder.model.encode_image(pixels, normalize=True).numpy()
    np.testing.assert_allclose(made.tables['image'].features, expected, atol=2e-6)
    assert made.tables['image'].names == [str(path) for path in paths]
    assert list(failures) == [str(broken)]
    raw = embed_images(encoder, paths, normalize=False).tables['image'].features
    np.testing.assert_allclose(raw, encoder.model.encode_image(pixels).numpy(), atol=2e-5)
    with pytest.raises(UserError, match='none of 1 files can be read'):
        embed_images(encoder, [broken], failures={})
    settings = {'fingerprint': state_fingerprint(encoder.model), 'image_size': '32', 'normalized': 'true'}
    assert settings.items() <= made.settings.items()

    texts = ['a red mug', 'a cat', 'a red mug']
    for long in (False, True):
        made = embed_texts(encoder, texts, long, normalize=long)
        ids = encoder.model.tokenize(texts, long)
        expected = encoder.model.encode_text(ids, long, normalize=long).numpy()
        np.testing.assert_allclose(made.tables['text'].features, expected, atol=2e-5)
        assert made.settings['text.tokens'] == ('248' if long else '77')


@pytest.mark.parametrize('form', ['coco', 'plain'])
@torch.no_grad()
def test_embed_regions__equal_the_model(encoder, tmp_path, form):
    for i in range(3):
        write_image(tmp_path / f'{i}.png', (64, 16), i)
    boxes = {'0.png': [[4, 2, 40, 12]], '1.png': [], '2.png': [[0, 0, 64, 16], [10, 1, 20, 9]]}
    coco = dict(
        images=[dict(id=i, file_name=f'sub/{i}.png') for i in range(3)],
        annotations=[
            dict(id=51, image_id=2, bbox=[0, 0, 64, 16]),
            dict(id=52, image_id=0, bbox=[4, 2, 36, 10]),
            dict(id=53, image_id=2, bbox=[10, 1, 10, 8]),
        ],
    )
    file = tmp_path / 'boxes.json'
    file.write_text(json.dumps(coco if form == 'coco' else boxes))
    told = []
    table = embed_regions(encoder, read_regions(file), tmp_path, report=lambda *done: told.append(done)).tables[
        'region'
    ]
    pixels = encoder.model.preprocess([Image.open(tmp_path / f'{i}.png') for i in range(3)])
    scaled = [torch.tensor(rows, dtype=torch.float32).reshape(-1, 4) * torch.tensor([0.5, 2, 0.5, 2])
              for rows in boxes.values()]  # fmt: skip
    expected = encoder.model.encode_regions(pixels, scaled, normalize=True).numpy()
    np.testing.assert_allclose(table.features, expected, atol=2e-6)
    prefix = 'sub/' if form == 'coco' else ''
    assert table.names == [f'{prefix}{i}.png' for i in (0, 2, 2)]
    assert table.columns['ids'].tolist() == ([52, 51, 53] if form == 'coco' else [0, 1, 2])
    assert table.columns['boxes'].tolist() == [row for rows in boxes.values() for row in rows]
    assert told[-1] == (3, 3)


@pytest.mark.parametrize('mode', ['roi', 'crop'])
def test_embed_regions__at_the_edge_equal_box_classification(encoder, tmp_path, mode):
    # In float32 the first box would end at 40 pixels: its crop has one more column than that.
    write_image(tmp_path / 'a.png', (53, 20))
    boxes = [[3, 2, 37.000001, 10], [12.34, 0.7, 53 - 12.34, 19.3], [40.66, 3.3, 53 - 40.66, 16.7]]
    objects = [dict(id=i, image_id=1, category_id=1, bbox=each) for i, each in enumerate(boxes)]
    coco = dict(images=[dict(id=1, coco_url='http://x/y/a.png')], annotations=objects, categories=[dict(id=1)])
    (tmp_path / 'ann.json').write_text(json.dumps(coco))
    regions, given = read_regions(tmp_path / 'ann.json'), GivenBoxes.from_annotations(coco)
    np.testing.assert_array_equal(regions.boxes[0], given.of_images()[0])
    model = RegionEncoder(encoder.model, 'cpu', mode=mode)
    made = embed_regions(model, regions, tmp_path, normalize=False)
    (expected,) = model.encode([tmp_path / 'a.png'], given.of_images())
    np.testing.assert_array_equal(made.tables['region'].features, expected)
    assert made.tables['region'].names == ['y/a.png'] * 3


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'expected COCO-form annotations, or'),
        ({'a.png': [[1, 2], [3, 4]]}, 'a.png: expected four finite numbers a box'),
        ({'a.png': 5}, 'a.png: expected four finite numbers'),
        (dict(images=[dict(id=1, file_name='a')], annotations=[dict(image_id=2, bbox=[0, 0, 1, 1])]), 'annotations.0.'),
    ],
)
def test_read_regions__malformed_files_are_refused(tmp_path, content, message):
    file = tmp_path / 'boxes.json'
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_regions(file)


def test_choose_length__counts_what_is_cut_and_asks(encoder):
    words = [' '.join(['red'] * n) for n in (75, 76, 246, 247)]  # and two marks
    assert choose_length(encoder.model, words[:1], None, 'texts') == (False, 0)
    assert choose_length(encoder.model, words, False, 'texts') == (False, 3)
    assert choose_length(encoder.model, words, True, 'texts') == (True, 1)
    with pytest.raises(UserError, match='3 of 4 texts have more than 77 tokens: give --long for the context of 248'):
        choose_length(encoder.model, words, None, 'texts')


def test_inputs__nothing_there(tmp_path):
    (tmp_path / 'empty.txt').write_text('\n \n')
    with pytest.raises(UserError, match='there is no text in it'):
        read_lines(tmp_path / 'empty.txt')
