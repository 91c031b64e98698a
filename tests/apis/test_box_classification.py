"""Box classification from files: against the official evaluation written out, and its predictions scored again."""

import json
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from torchvision.ops import roi_align

from fgdet.apis.box_classification import EncodingSettings, evaluate_box_classification
from fgdet.cli.evaluate_box_classification import command
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from tests.builders import write_image, write_small_clip

NAMES = ['cat', 'red_mug', 'tree', 'bat_(animal)', 'dog', 'sky', 'hand']
TEMPLATES = ['a photo of a {}.', '{}']


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``clip`` with the weights, ``images``, ``templates.txt`` and ``ann.json`` in LVIS's form."""
    folder = tmp_path_factory.mktemp('boxes')
    write_small_clip(folder / 'clip')
    (folder / 'templates.txt').write_text('\n'.join(TEMPLATES) + '\n')
    random = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number in range(4):
        width, height = random.integers(40, 90, 2).tolist()
        write_image(folder / 'images' / 'val2017' / f'{number}.png', (width, height), number)
        images.append(dict(id=10 - number, coco_url=f'http://images.cocodataset.org/val2017/{number}.png'))
        for _ in range(6 * (number != 2)):
            box = [*random.uniform(0, 20, 2), *random.uniform(1, 20, 2)]
            objects.append(
                dict(id=len(objects), image_id=10 - number, category_id=int(random.integers(1, 8)), bbox=box)
            )
    objects[1] |= dict(iscrowd=1)
    objects[2]['bbox'][2] = 0
    categories = [dict(id=i + 1, name=name, frequency='rcf'[i % 3]) for i, name in enumerate(NAMES)]
    (folder / 'ann.json').write_text(json.dumps(dict(images=images, annotations=objects, categories=categories)))
    return folder


@torch.no_grad()
def official_loop(folder: Path, crowd: bool) -> dict[str, float]:
    """Encodes the image again for each box, one at a time; fp32 softmax, the five best by ``topk``."""
    model = FGCLIP.from_pretrained(folder / 'clip')
    texts = []
    for name in ('cat', 'red mug', 'tree', 'bat (animal)', 'dog', 'sky', 'hand'):
        mean = F.normalize(model.encode_text(model.tokenize([each.format(name) for each in TEMPLATES])), dim=1).mean(0)
        texts.append(mean / mean.norm())
    annotations = json.loads((folder / 'ann.json').read_text())
    right: list[tuple[bool, bool]] = []
    for image in annotations['images']:
        picture = Image.open(folder / 'images' / image['coco_url'].split('org/')[1]).convert('RGB')
        for each in annotations['annotations']:
            x, y, w, h = each['bbox']
            if each['image_id'] != image['id'] or (each.get('iscrowd') and not crowd) or w == 0:
                continue
            dense = model.encode_dense(model.preprocess(picture.resize((32, 32))))
            cells = torch.tensor([[x, y, x + w, y + h]]) * torch.tensor([4 / picture.width, 4 / picture.height] * 2)
            feature = roi_align(dense, [cells], 1, 1.0, -1, True)[0, :, 0, 0]
            best = (100 * feature @ torch.stack(texts, dim=1)).softmax(dim=0).topk(5).indices.tolist()
            right.append((best[0] == each['category_id'] - 1, each['category_id'] - 1 in best))
    top1, top5 = np.array(right).mean(axis=0).tolist()
    return dict(top1=top1, top5=top5, num_boxes=len(right))


def evaluate(files: Path, **options: Any) -> dict[str, Any]:
    settings = EncodingSettings(options.pop('mode', 'roi'), str(files / 'templates.txt'), batch_size=2, device='cpu')
    source: dict[str, Any] = dict(checkpoint=files / 'clip', images=files / 'images')
    if 'pred' in options:
        source = {}
    return evaluate_box_classification(files / 'ann.json', settings=settings, **source, **options).to_json()


@pytest.mark.parametrize('crowd', [False, True])
def test_evaluate__equals_the_official_loop(files: Path, crowd: bool) -> None:
    scores, expected = evaluate(files, crowd=crowd), official_loop(files, crowd)
    assert {name: scores[name] for name in expected} == expected
    assert expected['num_boxes'] == 16 + crowd and scores['num_crowd'] == 1 - crowd and scores['num_no_area'] == 1
    assert 0 < expected['top5'] < 1 and {'rare_top1', 'common_class_top5', 'frequent_top5'} <= set(scores)


@pytest.mark.parametrize('mode', ['roi', 'crop'])
def test_evaluate__saved_predictions_score_the_same(files: Path, tmp_path: Path, mode: str) -> None:
    split, told = tmp_path / 'split.json', []
    split.write_text(json.dumps(dict(base=['cat', 'tree'], novel=['dog', 'sky'])))
    options: dict[str, Any] = dict(split=split, limit=3)
    scores = evaluate(
        files, mode=mode, save_pred=tmp_path / 'p.json', report=lambda *each: told.append(each), **options
    )
    again = evaluate(files, pred=tmp_path / 'p.json', **options)
    descriptions = ('inputs', 'protocol')
    assert {k: v for k, v in scores.items() if k not in descriptions} == {
        k: v for k, v in again.items() if k not in descriptions
    }
    assert scores['inputs']['mode'] == mode and told == [(1, 3), (2, 3), (3, 3)] and scores['novel_top5'] >= 0
    saved = json.loads((tmp_path / 'p.json').read_text())
    objects = {each['id']: each for each in json.loads((files / 'ann.json').read_text())['annotations']}
    assert len(saved) == 5 * scores['num_boxes'] == 50
    for entry in saved:
        owner = objects[entry['annotation_id']]
        assert (entry['image_id'], entry['bbox']) == (owner['image_id'], owner['bbox']) and 0 < entry['score'] <= 1
    # The fourth image has no prediction in the file: its boxes count as wrong, and that is said.
    whole = evaluate_box_classification(files / 'ann.json', tmp_path / 'p.json')
    assert whole.scores['num_unpredicted'] == 6 and '6 boxes without a prediction' in whole.protocol
    assert whole.add_details is not None
    whole.add_details()
    assert whole.mistakes and whole.mistakes[0]['file_name'].startswith('val2017/')


def test_command__scores_a_checkpoint_and_a_file(files: Path, tmp_path: Path) -> None:
    shared = ['--ann', str(files / 'ann.json'), '--json']
    model = ['--checkpoint', str(files / 'clip'), '--images', str(files / 'images'), '--templates', 'none']
    saved = str(tmp_path / 'p.json')
    first = CliRunner().invoke(command, [*shared, str(tmp_path / 'a.json'), *model, '--save-pred', saved])
    second = CliRunner().invoke(command, [*shared, str(tmp_path / 'b.json'), '--pred', saved])
    assert (first.exit_code, second.exit_code) == (0, 0), (first.output, second.output)
    scores = [json.loads((tmp_path / name).read_text()) for name in ('a.json', 'b.json')]
    assert scores[0]['top5'] == scores[1]['top5'] and '16 given boxes of 3 images' in first.output


def test_command__a_full_disk_does_not_take_the_scores(files: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def full(path: str, *_: Any) -> None:
        raise OSError(ENOSPC, 'No space left on device', path)

    monkeypatch.setattr('fgdet.apis.box_classification.save_results', full)
    saved = str(tmp_path / 'p.json')
    model = ['--checkpoint', str(files / 'clip'), '--images', str(files / 'images'), '--templates', 'none']
    result = CliRunner().invoke(command, ['--ann', str(files / 'ann.json'), *model, '--save-pred', saved])
    assert isinstance(result.exception, OSError) and result.exception.filename == saved
    assert '16 given boxes of 3 images' in result.output


def test_evaluate__errors_name_what_to_mend(files: Path, tmp_path: Path) -> None:
    for options, message in (
        (dict(images=files / 'images'), 'give --pred, or --checkpoint with --images'),
        (dict(pred='p.json', save_pred='q.json'), '--save-pred goes with --checkpoint'),
        (
            dict(checkpoint=files / 'clip', images=tmp_path),
            'images .*: 4 of 4 files are not there, the first val2017/0.png',
        ),
        (
            dict(checkpoint=files / 'clip', images=tmp_path, settings=EncodingSettings(templates='x')),
            'templates x: exp',
        ),
    ):
        with pytest.raises(UserError, match=message):
            evaluate_box_classification(files / 'ann.json', **options)
    split = tmp_path / 'split.json'
    for names, message in (
        (dict(base=['cat', 'tree'], novel=['dog', 'horse']), "novel: .*1 of 2 class names have no category: 'horse'"),
        (dict(names=['cat']), 'neither base nor novel names'),
    ):
        split.write_text(json.dumps(names))
        with pytest.raises(UserError, match=f'split .*split.json: {message}'):
            evaluate_box_classification(files / 'ann.json', 'p.json', split=split)
    with pytest.raises(UserError, match=r'split ov-coco: base: .*48 class names have no category'):
        evaluate_box_classification(files / 'ann.json', 'p.json', split='ov-coco')
    bad = tmp_path / 'bad.json'
    bad.write_text('[{"image_id": 10, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    with pytest.raises(UserError, match=r'bad.json, annotation file .*: predictions\[0\]: image 10 has no object'):
        evaluate_box_classification(files / 'ann.json', bad)
