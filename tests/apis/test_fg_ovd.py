"""FG-OVD from a checkpoint and from saved predictions: against loops that share nothing between two boxes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.ops import roi_align

from fgdet.apis import fg_ovd, fg_ovd_detection
from fgdet.apis.detection import Detector
from fgdet.apis.fg_ovd import evaluate_fg_ovd
from fgdet.apis.fg_ovd_predictions import read_predictions, write_predictions
from fgdet.apis.fg_ovd_ranks import predict_ranks, ranked_lines
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.region_encoding import RegionEncoder
from fgdet.datasets.fg_ovd import find_images, read_fg_ovd
from fgdet.evaluation.resampling import intervals
from fgdet.structures.vocabulary import Vocabulary
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from tests.builders import official_model, write_image
from tests.detector_builders import write_detector
from tests.fg_ovd_builders import SIZES, fg_ovd_row, write_rows

HARD = [
    fg_ovd_row(1, [3.5, 2, 30, 20.25], 0, [1, 2, 3]),
    fg_ovd_row(2, [5, 4, 20, 41.5], 4, [5, 6], neg_expression=['a mug of kind 4.', 'another']),  # equal captions
    fg_ovd_row(1, [20, 12, 44, 36], 0, [1, 2, 3]),
    fg_ovd_row(3, [1, 2, 5, 3.5], 7, [8, 9, 10]),
    fg_ovd_row(2, [5, 4, 20, 41.5], 11, [12]),
]
TRIVIAL = [
    fg_ovd_row(image_id, box, caption, [20, 21, 22], test_type='shuffle_negatives')
    for image_id, box, caption in ((3, [0, 0, 50, 50], 23), (1, [3.5, 2, 30, 20.25], 24))
]


class ReducedTokenizer:
    """CLIP's tokens in the 600 of the official tiny model."""

    def __call__(self, texts: Sequence[str], length: int) -> torch.Tensor:
        ids = Tokenizer.clip()(texts, length)
        return torch.where(ids == 49406, 598, torch.where(ids == 49407, 599, ids % 598))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Two files of the benchmark and its images."""
    (tmp_path / 'val2017').mkdir()
    for image_id, size in SIZES.items():
        write_image(tmp_path / 'val2017' / f'{image_id}.png', size, seed=image_id)
    ann = [write_rows(tmp_path / 'h.jsonl', HARD), write_rows(tmp_path / 't.jsonl', TRIVIAL)]
    return dict(ann=ann, images=tmp_path)


@torch.no_grad()
def once_per_box(model: Any, folder: Path, row: dict[str, Any]) -> torch.Tensor:
    """The official evaluation of one line: the image is read and encoded for it alone; logits (N + 1,)."""
    image = Image.open(folder / row['img_path']).convert('RGB')
    pixels = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC), np.float32) / 255
    pixels = (pixels - np.float32(model.preprocessing.mean)) / np.float32(model.preprocessing.std)
    dense = model.encode_dense(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    x, y, width, height = row['bbox']
    cells = torch.tensor([[x, y, x + width, y + height]]) * torch.tensor([4 / row['width'], 4 / row['height']] * 2)
    region = roi_align(dense, [cells.float()], 1, 1.0, -1, True)[:, :, 0, 0]
    texts = model.encode_text(model.tokenize(row['pos_expression'] + row['neg_expression']))
    return 100 * (region @ F.normalize(texts, dim=1).T)[0]


def test_ranks__official_model_equals_one_pass_for_each_box(files: dict[str, Any]) -> None:
    model = official_model()
    model._tokenizer = ReducedTokenizer()
    subsets = read_fg_ovd(files['ann'])
    told: list[tuple[int, int]] = []
    encoder = RegionEncoder(model, 'cpu', batch_size=2)
    found = predict_ranks(subsets, encoder, find_images(subsets, files['images']), lambda *each: told.append(each))
    assert told == [(1, 3), (2, 3), (3, 3)]  # five boxes of three images
    ranked = ranked_lines(subsets, found)
    for rows, lines in zip((HARD, TRIVIAL), ranked.values(), strict=True):
        logits = [once_per_box(model, files['images'], row) for row in rows]
        np.testing.assert_allclose(lines.scores, torch.cat(logits), rtol=1e-5, atol=1e-5 * abs(lines.scores).max())
        assert lines.outcomes()[0].tolist() == [bool(each.softmax(0)[0] == each.softmax(0).max()) for each in logits]
    best, alone = ranked['hard'].outcomes()
    first, second, _ = ranked['hard'].scores[4:7]
    assert first == second and not alone[1] and best[1] == (first >= ranked['hard'].scores[6])


@pytest.fixture
def tiny_checkpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """The official tiny model under the name of a checkpoint, with words."""
    model = official_model()
    model._tokenizer = ReducedTokenizer()
    monkeypatch.setattr(fg_ovd, 'RegionEncoder', lambda path, *settings: RegionEncoder(model, *settings))
    return 'tiny'


def test_rank__saved_predictions_give_the_same(files: dict[str, Any], tiny_checkpoint: str, tmp_path: Path) -> None:
    saved = tmp_path / 'out' / 'ranks.json'
    ran = evaluate_fg_ovd(**files, checkpoint=tiny_checkpoint, save_pred=saved, device='cpu')
    again = evaluate_fg_ovd(files['ann'], pred=saved)
    assert again.scores == ran.scores and set(ran.scores) == {
        f'{name}{end}' for name in ('hard', 'trivial') for end in ('', '_strict', '_lines')
    }
    assert (ran.scores['hard_lines'], ran.scores['trivial_lines']) == (5, 2)
    entry = json.loads(saved.read_text())[0]
    assert set(entry) == {'image_id', 'category_id', 'bbox', 'score', 'subset', 'line'}
    ones = np.ones(3, dtype=int)
    fractions = {key: value for key, value in ran.scores.items() if not key.endswith('_lines')}
    assert ran.resampler is not None and ran.resampler.scores(ones) == pytest.approx(fractions)
    assert ran.resampler.image_ids.tolist() == [1, 2, 3] and set(intervals(ran.resampler, 20)) == set(fractions)
    ran.add_details()
    assert len(ran.mistakes) == round(5 - 5 * ran.scores['hard'] + 2 - 2 * ran.scores['trivial'])
    made_again = evaluate_fg_ovd(**again.inputs)
    assert made_again.scores == ran.scores


def test_rank__missing_images_are_refused_or_left_out(
    files: dict[str, Any], tiny_checkpoint: str, tmp_path: Path
) -> None:
    (files['images'] / 'val2017' / '1.png').unlink()
    with pytest.raises(UserError, match='1 of 3 are missing'):
        evaluate_fg_ovd(**files, checkpoint=tiny_checkpoint)
    saved = tmp_path / 'ranks.json'
    options: dict[str, Any] = dict(skip_missing=True, save_pred=saved, device='cpu')
    ran = evaluate_fg_ovd(**files, checkpoint=tiny_checkpoint, **options)
    assert (ran.scores['hard_lines'], ran.scores['trivial_lines']) == (3, 1)
    assert evaluate_fg_ovd(files['ann'], pred=saved, skip_missing=True).scores == ran.scores
    with pytest.raises(UserError, match=r'ranks.json: no score of caption 0 on line 1 of .*h.jsonl \(hard\)'):
        evaluate_fg_ovd(files['ann'], pred=saved)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(line=9), r'ranks.json\[1\]: hard has no line 9'),
        (dict(image_id=2), r'\[1\]: image 2, bbox .* but line 1 of hard is of image 1'),
        (dict(bbox=[0, 0, 1, 1]), r'\[1\]: image 1, bbox \[0.0, 0.0, 1.0, 1.0\], but line 1'),
        (dict(category_id=8), r'\[1\]: category_id 8 is no caption of line 1'),
        (dict(category_id=0), r'\[1\]: caption 0 of line 1 comes twice'),
        (dict(line=None), r"\[1\]: no 'line'; was it saved with --protocol rank"),
        (dict(score='high'), r'ranks.json: Expected `float`, got `str` - at `\$\[1\].score`'),
        (dict(bbox=[0, 0, -1, 1]), r'\[1\]: bbox: width and height below 0'),
        (dict(subset='other'), 'no score of caption 1 on line 1'),  # of a file that is not looked at
    ],
)
def test_rank__wrong_prediction(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    row = HARD[0]
    ann = write_rows(tmp_path / 'h.jsonl', [row])
    entries = [
        dict(image_id=1, category_id=number, bbox=row['bbox'], score=float(number), subset='hard', line=1)
        for number in (0, 1, 2, 3)
    ]
    saved = tmp_path / 'ranks.json'
    saved.write_text(json.dumps(entries))
    assert evaluate_fg_ovd(ann, pred=saved).scores == {'hard': 0, 'hard_strict': 0, 'hard_lines': 1}
    entries[1].update(changes)
    saved.write_text(json.dumps(entries))
    with pytest.raises(UserError, match=message):
        evaluate_fg_ovd([ann], pred=saved)


@pytest.mark.parametrize(
    'options',
    [
        dict(protocol='both', pred='p'),
        dict(),
        dict(pred='p', checkpoint='c', images='i'),
        dict(checkpoint='c'),
        dict(pred='p', save_pred='s'),
        dict(pred='p', negatives=0),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r'protocol: expected one of|give either|goes with --checkpoint|at least 1'):
        evaluate_fg_ovd(['h.jsonl'], **options)


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    return write_detector(tmp_path / 'detector.pth')


def test_detection__equals_one_pass_for_each_vocabulary(
    files: dict[str, Any], detector_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / 'detections.json'
    options: dict[str, Any] = dict(protocol='detection', negatives=2, device='cpu')
    passes = []
    load = fg_ovd_detection.Detector.from_pretrained

    def watched(*args: Any) -> Detector:
        detector = load(*args)
        detector.model.backbone.register_forward_hook(lambda *_: passes.append(1))
        return detector

    monkeypatch.setattr(fg_ovd_detection.Detector, 'from_pretrained', watched)
    ran = evaluate_fg_ovd(**files, checkpoint=detector_file, save_pred=saved, **options)
    assert len(passes) == 3  # images; there are five vocabularies
    assert evaluate_fg_ovd(files['ann'], pred=saved, **options).scores == ran.scores
    assert (ran.scores['hard_captions'], ran.scores['trivial_captions']) == (3, 2)  # 11 has one negative only

    settings = InferenceSettings(nms='agnostic', nms_iou=0.5, max_per_image=100, score_thr=0.0, compete=False)
    plain = load(None, detector_file, 'cpu', settings)
    found = read_predictions(saved, 'vocabulary')
    for row in [HARD[0], HARD[1], TRIVIAL[1]]:
        texts = [row['pos_expression'][0], *row['neg_expression'][:2]]
        ids = [row['category_id'], *row['neg_category_ids'][:2]]
        names = list(dict.fromkeys(texts))
        plain.set_vocabulary(Vocabulary(names, templates=['{}'], negatives=()))
        (expected,) = plain.detect(files['images'] / row['img_path'], 0.0)
        mine = [each for each in found if each.vocabulary == ids[0]]
        assert [each.category_id for each in mine] == [ids[texts.index(name)] for name in expected.names]
        np.testing.assert_allclose([each.score for each in mine], expected.scores, rtol=1e-5)
        corners = np.array([each.bbox for each in mine])
        corners[:, 2:] += corners[:, :2]
        np.testing.assert_allclose(corners, expected.boxes, atol=1e-3)
        assert 20 < len(mine) <= 100


def test_detection__perfect_boxes_score_one(files: dict[str, Any], tmp_path: Path) -> None:
    entries = [
        dict(image_id=row['image_id'], category_id=row['category_id'], bbox=row['bbox'], score=0.5, subset=name)
        | dict(vocabulary=row['category_id'])
        for name, rows in (('hard', HARD), ('trivial', TRIVIAL))
        for row in rows
        if len(row['neg_category_ids']) >= 2
    ]
    saved = tmp_path / 'detections.json'
    saved.write_text(json.dumps(entries))
    options: dict[str, Any] = dict(protocol='detection', pred=saved, negatives=2)
    perfect = evaluate_fg_ovd(files['ann'], **options)
    fractions = {key: value for key, value in perfect.scores.items() if not key.endswith('_captions')}
    assert fractions == pytest.approx(dict.fromkeys(fractions, 1.0)) and len(fractions) == 6
    entries[0]['vocabulary'] = entries[1]['vocabulary']
    saved.write_text(json.dumps(entries))
    with pytest.raises(UserError, match=r'detections.json, entries of hard: predictions\[0\]: image 1 has no run'):
        evaluate_fg_ovd(files['ann'], **options)
    saved.write_text(json.dumps(entries[1:2]))
    assert evaluate_fg_ovd(files['ann'][:1], **options).scores['hard_captions'] == 3
    skipped = evaluate_fg_ovd(files['ann'][:1], skip_missing=True, **options).scores
    assert (skipped['hard_captions'], skipped['hard_map']) == (1, pytest.approx(1.0))
    with pytest.raises(UserError, match="no 'line'; was it saved with --protocol rank"):
        evaluate_fg_ovd(files['ann'], pred=saved)


def test_predictions__survive_the_file(tmp_path: Path) -> None:
    entries = [dict(image_id=1, category_id=2, bbox=[0.1, 1 / 3, 5, 7e-9], score=0.1 + 0.2, subset='é', line=3)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(entries))
    read = read_predictions(path, 'line')
    write_predictions(path, read)
    assert read_predictions(path, 'line') == read and json.loads(path.read_text()) == entries


def test_settings__score_threshold_out_of_range() -> None:
    with pytest.raises(UserError, match=r'score_thr: expected 0..1, got 2'):
        InferenceSettings(score_thr=2)
