"""Class folders to scores: against the model called image by image, and what a folder may have wrong."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from fgdet.apis.class_folders import read_class_folders
from fgdet.apis.region_encoding import RegionEncoder
from fgdet.apis.zero_shot_evaluation import encode_classes, evaluate_zero_shot
from fgdet.utils.checks import UserError
from tests.builders import write_image, write_small_clip

CLASSES = {'apple': 3, 'big_cat': 5, 'car': 2, 'dog': 4, 'egg': 1, 'fox': 2, 'gun': 0}
NAMES = {name: [name] for name in CLASSES} | {'apple': ['apple', 'red fruit'], 'car': ['auto']}
PROMPTS = ['a photo of a {}.', '{}']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """17 images in seven class folders, one of them empty, names, prompts and a checkpoint."""
    folder = tmp_path_factory.mktemp('zero_shot')
    for number, (name, count) in enumerate(CLASSES.items()):
        (folder / 'images' / name).mkdir(parents=True)
        for i in range(count):
            sub = 'sub' if i == 1 else ''
            write_image(folder / 'images' / name / sub / f'{i}.png', (20, 16 + i), 100 * number + i)
    (folder / 'images' / 'dog' / 'notes.txt').write_text('no image')
    (folder / 'names.json').write_text(json.dumps(NAMES | {'car': 'auto'}))
    (folder / 'prompts.txt').write_text('\n'.join(PROMPTS))
    write_small_clip(folder / 'clip', seed=1)
    return folder


def run(folder, **options):
    options = dict(images=folder / 'images', templates=str(folder / 'prompts.txt')) | options
    return evaluate_zero_shot(checkpoint=folder / 'clip', device='cpu', **options)


@torch.no_grad()
def test_evaluate_zero_shot__equals_the_model_called_image_by_image(folder):
    told = []
    evaluation = run(folder, classes=folder / 'names.json', batch_size=4, report=lambda *args: told.append(args))
    model = RegionEncoder(folder / 'clip', 'cpu').model
    classes = []
    for name in CLASSES:
        texts = [prompt.replace('{}', each) for each in NAMES[name] for prompt in PROMPTS]
        classes.append(normalize(model.encode_text(model.tokenize(texts), normalize=True).mean(0), dim=0))
    hits: dict[int, list[bool]] = {1: [], 5: []}
    by_class: dict[int, list[bool]] = {}
    for label, (name, count) in enumerate(CLASSES.items()):
        for i in range(count):
            path = folder / 'images' / name / ('sub' if i == 1 else '') / f'{i}.png'
            feature = model.encode_image(model.preprocess(Image.open(path)), normalize=True)[0]
            order = torch.stack(classes).mv(feature).argsort(descending=True).tolist()
            for k in hits:
                hits[k].append(label in order[:k])
            by_class.setdefault(label, []).append(label == order[0])
    expected = {'top1': np.mean(hits[1]), 'top5': np.mean(hits[5]),
                'mean_per_class': np.mean([np.mean(each) for each in by_class.values()])}  # fmt: skip
    assert evaluation.scores == pytest.approx(expected | dict(num_images=17, num_classes=7, num_unreadable=0))
    assert 0 < expected['top1'] < expected['top5'] < 1
    assert [row['name'] for row in evaluation.classes][:3] == ['apple', 'big_cat', 'auto (car)']
    assert '1 classes without an image are candidates only' in evaluation.protocol
    assert told[-1][1:] == (1.0, '17 of 17')


def test_evaluate_zero_shot__saved_predictions_give_the_same_scores(folder, tmp_path):
    saved = tmp_path / 'pred.json'
    first = run(folder, save_pred=saved)
    content = json.loads(saved.read_text())
    assert len(content) == 17
    assert len(content[0]['classes']) == 5
    saved.write_text(json.dumps(content[::-1]))
    second = evaluate_zero_shot(folder / 'images', saved)
    assert second.scores == first.scores == evaluate_zero_shot(**first.inputs).scores


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda entries: entries.pop(), '1 of 17 images have no entry'),
        (lambda entries: entries.append(entries[0]), r'\[17\]: image .* is here twice'),
        (lambda entries: entries[3].update(image='x.png'), r"\[3\]: image 'x.png' is not in the folders"),
        (lambda entries: entries[3].update(scores=[1]), r'\[3\]: expected "image", and lists'),
        (lambda entries: entries[3]['classes'].__setitem__(0, 'bus'), r"\[3\]: class 'bus' is no folder"),
        (lambda entries: entries[3]['scores'].reverse(), r'\[3\]: scores: expected finite numbers that descend'),
    ],
)
def test_evaluate_zero_shot__malformed_predictions_are_named(folder, tmp_path, change, message):
    images = read_class_folders(folder / 'images').images
    entries = [dict(image=name, classes=['dog', 'egg'], scores=[0.5, 0.25]) for name in images]
    change(entries)
    (tmp_path / 'pred.json').write_text(json.dumps(entries))
    with pytest.raises(UserError, match=message):
        evaluate_zero_shot(folder / 'images', tmp_path / 'pred.json')


def test_evaluate_zero_shot__an_unreadable_image_counts_as_wrong_and_is_named(folder, tmp_path):
    for name in ('cat', 'dog'):
        write_image(tmp_path / 'images' / name / '0.png', seed=len(name))
    (tmp_path / 'images' / 'dog' / 'text.jpg').write_text('text')
    evaluation = run(folder, images=tmp_path / 'images', save_pred=tmp_path / 'pred.json')
    assert evaluation.scores['top5'] == pytest.approx(2 / 3)
    assert '1 of 3 images cannot be read and count as wrong; image ' in evaluation.protocol
    again = evaluate_zero_shot(tmp_path / 'images', tmp_path / 'pred.json')
    assert again.scores == evaluation.scores
    assert 'text.jpg: it cannot be read' in again.protocol


def test_encode_classes__one_name_is_the_encoders_prompt_ensemble(folder):
    encoder = RegionEncoder(folder / 'clip', 'cpu')
    features, num_cut = encode_classes(encoder, [['cat'], ['a ' * 80]], PROMPTS)
    np.testing.assert_allclose(features[:1], encoder.encode_class_texts(['cat'], PROMPTS), atol=1e-6)
    assert num_cut == 2


def test_evaluate_zero_shot__one_source(folder):
    for files in ((None, None), ('p', 'c')):
        with pytest.raises(UserError, match='either --pred or --checkpoint'):
            evaluate_zero_shot(folder / 'images', *files)
    with pytest.raises(UserError, match='mean nothing with --pred'):
        evaluate_zero_shot(folder / 'images', 'p', image_size=64)


def make(root, *folders):
    for name in folders:
        write_image(root / name / '0.png')
    return root


def test_read_class_folders__names(tmp_path):
    root = make(tmp_path / 'images', 'n00000001', 'n00000002')
    with pytest.raises(UserError, match='called by WordNet ids, such as n00000001; give the names with --classes'):
        read_class_folders(root)
    with pytest.raises(UserError, match='expected 1,000 folders called by WordNet ids, got 2'):
        read_class_folders(root, 'imagenet')
    lines = tmp_path / 'names.txt'
    lines.write_text('n00000002 tench, Tinca tinca\nn00000001 great white shark\nn00000009 other\n')
    assert read_class_folders(root, lines).names == [['great white shark'], ['tench', 'Tinca tinca']]
    lines.write_text('n00000002 tench')
    with pytest.raises(UserError, match='1 of 2 folders have no name, such as n00000001'):
        read_class_folders(root, lines)
    lines.write_text('n00000001\nn00000002 tench')
    with pytest.raises(UserError, match='n00000001: expected one or several names'):
        read_class_folders(root, lines)


def test_read_class_folders__imagenet_names_are_in_the_order_of_the_ids(tmp_path):
    for i in range(1000):
        (tmp_path / f'n{i:08}').mkdir()
    write_image(tmp_path / 'n00000000' / 'a.JPEG')
    found = read_class_folders(tmp_path, 'imagenet')
    assert found.names[0] == ['tench']
    assert found.names[999] == ['toilet paper']
    assert found.images == ['n00000000/a.JPEG']


@pytest.mark.parametrize(
    ('folders', 'message'),
    [
        ([], 'two or more classes, got 0 folders'),
        (['cat'], r'got 1 folders \(cat\)'),
        (['cat', 'dog'], 'its 2 class folders hold no image'),
    ],
)
def test_read_class_folders__nothing_to_classify(tmp_path, folders, message):
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'readme.txt').write_text('text')
    with pytest.raises(UserError, match=message):
        read_class_folders(tmp_path)
