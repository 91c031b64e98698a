import numpy as np
import pytest

from fgdet.evaluation.functional.coco_detection import precision_and_recall
from fgdet.evaluation.functional.detection_matches import match_detections
from fgdet.evaluation.functional.synonym_robustness import SynonymResampler


def scene(seed):
    """40 objects of 3 classes on 8 images, and detections that get worse with the seed."""
    random = np.random.default_rng(0)
    objects, found = [], []
    for number in range(40):
        box = [*random.uniform(0, 50, 2).tolist(), 20.0, 20.0]
        entry = {'image_id': number % 8 + 1, 'category_id': int(random.integers(1, 4)), 'bbox': box}
        objects.append(entry | {'id': number + 1, 'area': 400.0, 'iscrowd': 0})
        shift = random.uniform(0, 4 + 4 * seed)
        found.append(entry | {'bbox': [box[0] + shift, *box[1:]], 'score': float(random.random())})
    categories = [{'id': number, 'name': f'c{number}'} for number in (1, 2, 3, 4)]  # the last one has no object
    return {'images': [{'id': i} for i in range(1, 9)], 'annotations': objects, 'categories': categories}, found


def test_resampler__is_the_difference_of_average_precisions():
    annotations, names = scene(0)
    synonyms = [scene(seed)[1] for seed in (1, 2)]
    matches = [match_detections(annotations, each, [1, 2, 3, 4]) for each in (names, *synonyms)]
    groups = {'base': np.array([True, False, False, True]), 'all': np.ones(4, bool), 'none': np.arange(4) == 3}
    run = SynonymResampler(matches[0], matches[1:], groups)
    tables = [precision_and_recall(annotations, each, [1, 2, 3, 4])[0] for each in (names, *synonyms)]
    ap50 = [precision[0, :, :, 0].mean(axis=0) for precision in tables]
    before, after = ap50[0], (ap50[1] + ap50[2]) / 2
    np.testing.assert_allclose(run.class_scores(np.ones(8)), [before, after], atol=1e-12)
    found = run.scores(np.ones(8))
    assert found['base_ap50'] == pytest.approx(before[0]) and found['base_synonym_ap50'] == pytest.approx(after[0])
    assert found['all_drop'] == pytest.approx(before[:3].mean() - after[:3].mean())
    assert found['all_drop'] > 0
    assert np.isnan([found['none_ap50'], found['none_drop']]).all()


def test_resampler__of_the_same_detections_never_drops():
    annotations, names = scene(1)
    matches = match_detections(annotations, names, [1, 2, 3])
    run = SynonymResampler(matches, [matches], {'all': np.ones(3, dtype=bool)})
    for seed in range(3):
        weights = np.bincount(np.random.default_rng(seed).integers(0, 8, 8), minlength=8)
        assert run.scores(weights)['all_drop'] == 0
