import json

import numpy as np
import pytest

from fgdet.apis.evaluation import evaluate_coco, evaluate_lvis, evaluate_ov_coco
from fgdet.apis.evaluation_report import score_lines, write_page
from tests.html_page import HtmlPage
from tests.official_evaluators import random_scene


def test_details__agree_with_the_scores(request):
    data_dir = request.config.rootpath / 'tests' / 'data' / 'ov_coco'
    evaluation = evaluate_ov_coco(data_dir / 'annotations.json', data_dir / 'predictions_bbox.json')
    scores, rows = evaluation.scores, evaluation.classes
    assert len(rows) == 65
    for group in ('base', 'novel'):
        of_group = [row for row in rows if row['group'] == group]
        for name in ('ap50', 'ap'):
            assert np.nanmean([row[name] for row in of_group]) == pytest.approx(scores[f'{group}_{name}'])
        assert evaluation.curves[group].mean() == pytest.approx(scores[f'{group}_ap50'])
    annotations = json.loads((data_dir / 'annotations.json').read_text())
    person = next(each['id'] for each in annotations['categories'] if each['name'] == 'person')
    counted = [e for e in annotations['annotations'] if e['category_id'] == person and not e.get('iscrowd')]
    row = next(row for row in rows if row['name'] == 'person')
    assert row['num_objects'] == len(counted)
    lowest = min((row for row in rows if row['ap50'] > 0), key=lambda row: row['ap50'])
    assert evaluation.curves[f'{lowest["name"]} ({lowest["num_objects"]})'].mean() == pytest.approx(lowest['ap50'])

    assert not evaluation.mistakes
    evaluation.add_details()
    assert all(a['score'] >= b['score'] for a, b in zip(evaluation.mistakes[:200], evaluation.mistakes[1:200]))  # noqa: B905
    assert all(0 <= row['num_missed'] <= row['num_objects'] for row in rows)
    bins = evaluation.details['bins']
    right = sum(each['num_detections'] * each['accuracy'] for each in bins if each['num_detections'])
    assert right == pytest.approx(sum(row['num_objects'] - row['num_missed'] for row in rows))


@pytest.mark.parametrize('lvis', [False, True])
def test_details__count_the_objects_that_the_protocol_counts(tmp_path, lvis):
    annotations, found = random_scene(2, lvis=lvis)
    (tmp_path / 'ann.json').write_text(json.dumps(annotations))
    (tmp_path / 'pred.json').write_text(json.dumps(found))
    evaluation = (evaluate_lvis if lvis else evaluate_coco)(tmp_path / 'ann.json', tmp_path / 'pred.json')
    counts = dict.fromkeys((each['id'] for each in annotations['categories']), 0)
    for each in annotations['annotations']:  # LVIS has no crowds, and sees nothing without area
        counts[each['category_id']] += not each['ignore'] and each['area'] > 0 if lvis else not each['iscrowd']
    names = {each['name']: counts[each['id']] for each in annotations['categories']}
    assert {row['name']: row['num_objects'] for row in evaluation.classes} == names
    evaluation.add_details()
    assert all(0 <= row['num_missed'] <= row['num_objects'] for row in evaluation.classes)


@pytest.mark.parametrize(
    ('objects', 'categories', 'predicted'),
    [(1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 1, 1), (0, 0, 0)],
    ids=['no predictions', 'no objects', 'neither', 'one of each', 'no classes'],
)
def test_details__of_next_to_nothing_make_a_page(tmp_path, objects, categories, predicted):
    box = {'image_id': 5, 'category_id': 2, 'bbox': [1.0, 1.0, 9.0, 9.0]}
    annotations = {
        'images': [{'id': 5, 'width': 20, 'height': 20}],
        'categories': [{'id': 2, 'name': '猫 & <i>$x'}][:categories],
        'annotations': [box | {'id': 1, 'area': 81.0, 'iscrowd': 0}][:objects],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(annotations))
    (tmp_path / 'pred.json').write_text(json.dumps([box | {'score': 0.5}][:predicted]))
    evaluation = evaluate_coco(tmp_path / 'ann.json', tmp_path / 'pred.json')
    assert score_lines(evaluation)[1].split()[1] == ('-' if not objects else f'{100 * predicted:.2f}')
    write_page(tmp_path / 'page.html', evaluation, tmp_path)
    page = HtmlPage((tmp_path / 'page.html').read_text(encoding='utf-8'))
    assert [each['kind'] for each in evaluation.mistakes] == (
        ['missed'] * (objects and not predicted) + ['background'] * (predicted and not objects)
    )
    assert any('000000000005.jpg' in text for text in page.texts) == (objects != predicted)
    assert 'i' not in page.tags
