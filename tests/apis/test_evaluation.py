import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgdet.apis.evaluation import evaluate_coco, evaluate_lvis, evaluate_ov_coco, read_image_ids
from fgdet.evaluation.functional import coco_detection, lvis_detection
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_json
from tests.builders import ROOT
from tests.official_evaluators import coco_tables, lvis_tables, random_scene

DATA = ROOT / 'tests/data'
OV_COCO = (DATA / 'ov_coco/annotations.json', DATA / 'ov_coco/predictions_bbox.json')
LVIS = (DATA / 'lvis/annotations.json', DATA / 'lvis/predictions_bbox.json')
APIS = {'ov-coco': (evaluate_ov_coco, OV_COCO), 'coco': (evaluate_coco, OV_COCO), 'lvis': (evaluate_lvis, LVIS)}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def write_scene(tmp_path: Path, *arguments: Any, **options: Any) -> tuple[Any, Any, list[Path]]:
    annotations, found = random_scene(*arguments, **options)
    files = [tmp_path / 'annotations.json', tmp_path / 'predictions.json']
    for file, content in zip(files, (annotations, found), strict=True):
        write_json(file, content)
    return annotations, found, files


@pytest.mark.parametrize('name', APIS)
def test_every_evaluation__gives_the_same_scores_by_resampling_classes_and_again(name: str) -> None:
    api, (ann, pred) = APIS[name]
    evaluation = api(ann, pred)
    assert evaluation.name == name
    assert evaluation.resampler is not None
    once = evaluation.resampler.scores(np.ones(len(evaluation.resampler.image_ids), dtype=np.int64))
    counts = {key for key, value in evaluation.scores.items() if isinstance(value, int)}
    assert set(once) == set(evaluation.scores) - counts
    assert once == pytest.approx({key: evaluation.scores[key] for key in once}, abs=1e-9)
    known = [each for each in evaluation.classes if not np.isnan(each['ap'])]
    total = 'all_ap' if name == 'ov-coco' else 'AP'
    assert np.mean([each['ap'] for each in known]) == pytest.approx(evaluation.scores[total])
    assert evaluation.curves['all'].shape == (101,)
    assert all(column in evaluation.scores for columns in evaluation.columns.values() for column in columns.values())
    again = api(**evaluation.inputs)
    assert again.protocol == evaluation.protocol
    assert again.scores == pytest.approx(evaluation.scores, nan_ok=True)


def test_evaluate_lvis__reference_numbers_and_what_is_counted() -> None:
    evaluation = evaluate_lvis(*LVIS)
    expected = read(DATA / 'lvis/expected_bbox.json')
    assert {key: evaluation.scores[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    assert evaluation.protocol == (
        'LVIS AP of boxes, 1,230 classes, 100 images, 300 best an image, a class only where it was looked for'
    )
    assert list(evaluation.columns) == ['all', 'rare', 'common', 'frequent']


def test_evaluate_lvis__fixed_ap_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvis_detection, 'FIXED_DETECTIONS', 9)
    annotations, found, files = write_scene(tmp_path, 4, lvis=True)
    evaluation = evaluate_lvis(*files, fixed_ap=True)
    assert evaluation.protocol.startswith('Fixed AP (Dave et al. 2021) of boxes')
    assert evaluation.scores['Fixed AP'] == evaluation.scores['AP'] != evaluate_lvis(*files).scores['AP']
    assert next(iter(evaluation.columns)) == 'Fixed AP'
    assert not [name for name in evaluation.scores if name.startswith('AR')]
    counts = [sum(entry['category_id'] == each['id'] for entry in found) for each in annotations['categories']]
    assert evaluation.scores['classes_below_limit'] == sum(count < 9 for count in counts)
    assert evaluation.resampler is not None
    assert evaluation.resampler.scores(np.ones(8, dtype=int))['Fixed AP'] == pytest.approx(evaluation.scores['AP'])


@pytest.mark.parametrize('form', ['json', 'lines', 'annotations'])
def test_image_ids__a_part_of_the_images_is_a_smaller_data_set(tmp_path: Path, form: str) -> None:
    annotations, found, files = write_scene(tmp_path, 5, 'segm', lvis=True)
    kept = [image['id'] for image in annotations['images'][:3]]
    chosen = tmp_path / 'minival'
    content = {'json': kept, 'lines': None, 'annotations': {'images': annotations['images'][:3]}}[form]
    chosen.write_text(json.dumps(content) if content else '\n'.join(map(str, kept)) + '\n')
    part = annotations | {key: [each for each in annotations[key] if each['id'] in kept] for key in ['images']}
    part['annotations'] = [each for each in annotations['annotations'] if each['image_id'] in kept]
    inside = [entry for entry in found if entry['image_id'] in kept]
    evaluation = evaluate_lvis(*files, iou_type='segm', image_ids=chosen)
    assert evaluation.scores['AP'] == pytest.approx(lvis_tables(part, inside, 'segm')[2]['AP'], abs=1e-12)
    assert evaluation.scores['predictions_left_out'] == len(found) - len(inside) > 0
    assert '3 of 8 images (predictions on others left out)' in evaluation.protocol
    precision, _ = coco_tables(part, inside, 'segm')
    scores = evaluate_coco(*files, iou_type='segm', image_ids=chosen).scores
    assert scores['AP'] == pytest.approx(coco_detection.mean_of_known(precision[..., 0]), abs=1e-12)


def test_annotated_images_only__is_the_file_of_these_images(tmp_path: Path) -> None:
    annotations, found, files = write_scene(tmp_path, 6, distinct_scores=True)
    split = tmp_path / 'split.json'
    rare = annotations['categories'][0]
    write_json(split, {'base': [rare['name']], 'novel': []})
    kept = {each['image_id'] for each in annotations['annotations'] if each['category_id'] == rare['id']}
    part = annotations | {'images': [each for each in annotations['images'] if each['id'] in kept]}
    inside = [entry for entry in found if entry['image_id'] in kept]
    precision, _ = coco_detection.precision_and_recall(part, inside, [rare['id']], num_areas=1)
    evaluation = evaluate_ov_coco(*files, split, annotated_images_only=True)
    assert 0 < len(kept) < 8
    assert (
        evaluation.scores['base_ap50']
        == pytest.approx(precision[0].mean())
        != evaluate_ov_coco(*files, split).scores['all_ap50']
    )
    assert f'{len(kept)} of 8 images with an object of the split' in evaluation.protocol


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[3, 10, 999]', '1 of 3 image ids are not in the annotations, such as 999'),
        ('3 ten', "expected integers, got 'ten'"),
        ('[]', 'expected a JSON list, one id a line, or a COCO-form file'),
        ('{"a": 1}', 'expected a JSON list, one id a line, or a COCO-form file'),
    ],
)
def test_image_ids__what_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    *_, files = write_scene(tmp_path, 0)
    chosen = tmp_path / 'ids.txt'
    chosen.write_text(text)
    with pytest.raises(UserError, match=message):
        evaluate_coco(*files, image_ids=chosen)


def test_read_image_ids__a_single_number(tmp_path: Path) -> None:
    (tmp_path / 'ids.txt').write_text('42\n')
    assert read_image_ids(tmp_path / 'ids.txt') == [42]


@pytest.mark.parametrize('name', APIS)
def test_unknown_image__is_an_error_with_both_files_and_the_id(name: str, tmp_path: Path) -> None:
    api, (ann, pred) = APIS[name]
    wrong = tmp_path / 'wrong.json'
    write_json(wrong, [read(pred)[0] | {'image_id': 123456789}])
    with pytest.raises(UserError) as error:
        api(ann, wrong)
    assert all(each in str(error.value) for each in (str(ann), str(wrong), 'image_id 123456789 is not among'))
