"""A detector asked in other words: choices of synonyms, one pass over the images, saved predictions scored again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fgdet import Detector, Vocabulary
from fgdet.apis.calibration_evaluation import evaluate_calibration
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.synonym_detection import synonym_variants
from fgdet.apis.synonym_evaluation import evaluate_synonyms
from fgdet.cli.evaluate import command
from fgdet.utils.checks import UserError
from tests.detector_builders import NAMES, write_detector, write_picture

SYNONYMS = {'red mug': ['crimson cup', 'scarlet beaker'], 'dog': ['puppy']}


def test_synonym_variants__turn_and_never_take_a_name_twice():
    vocabulary = Vocabulary(
        ['sofa', 'couch', 'tv', 'dog'],
        synonyms={'sofa': ['couch', 'settee'], 'couch': ['settee', 'divan', 'lounge'], 'tv': ['telly']},
    )
    assert synonym_variants(vocabulary) == [
        {'sofa': 'settee', 'couch': 'divan', 'tv': 'telly'},
        {'sofa': 'settee', 'couch': 'divan', 'tv': 'telly'},
        {'sofa': 'settee', 'couch': 'lounge', 'tv': 'telly'},
    ]
    assert synonym_variants(vocabulary, 3) == [{'sofa': 'settee', 'couch': 'lounge', 'tv': 'telly'}]
    with pytest.raises(UserError, match=r'variant: expected 1\.\.3'):
        synonym_variants(vocabulary, 4)
    with pytest.raises(UserError, match='no name has a synonym'):
        synonym_variants(Vocabulary(['a', 'b'], synonyms={'a': ['b']}))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Annotations that are what the detector finds, a vocabulary, images and the detector."""
    write_picture(tmp_path / 'images' / '1.png', seed=1)
    write_picture(tmp_path / 'images' / '2.png', (40, 40), seed=2)
    checkpoint = write_detector(tmp_path / 'detector.pth')
    detector = Detector.from_pretrained(checkpoint=checkpoint, settings=InferenceSettings(compete=False))
    objects: list[dict] = []
    for number in (1, 2):
        found = detector.detect(tmp_path / 'images' / f'{number}.png', score_threshold=0.0)[0]
        for entry in found.to_coco(number, [1, 2, 3, 4])[:6]:
            objects.append(entry | {'id': len(objects) + 1, 'area': 100.0, 'iscrowd': 0})
    annotations = {
        'images': [{'id': number, 'file_name': f'{number}.png'} for number in (1, 2)],
        'annotations': objects,
        'categories': [{'id': number, 'name': name} for number, name in enumerate(NAMES, 1)],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(annotations))
    (tmp_path / 'vocab.json').write_text(
        json.dumps({'names': NAMES, 'base': ['red mug', 'tree'], 'synonyms': SYNONYMS})
    )
    places = {'ann': 'ann.json', 'vocab': 'vocab.json', 'images': 'images', 'checkpoint': 'detector.pth'}
    return {name: str(tmp_path / place) for name, place in places.items()}


def test_synonyms__a_run_and_its_saved_predictions_agree(files: dict[str, str], tmp_path: Path):
    saved, json_file = tmp_path / 'p.json', tmp_path / 'scores.json'
    arguments = [text for name, value in files.items() for text in (f'--{name}', value)]
    more = ['--save-pred', str(saved), '--json', str(json_file), '--ci', '--resamples', '5']
    result = CliRunner().invoke(command, ['synonyms', *arguments, *more])
    assert result.exit_code == 0, result.output
    written = json.loads(json_file.read_text())
    assert written['renamed_ap50'] > 0.5 and set(written['intervals']) == {
        f'{group}_{score}' for group in ('base', 'renamed', 'all') for score in ('ap50', 'synonym_ap50', 'drop')
    }
    assert [row.get('synonyms') for row in written['classes']] == [
        None,
        ['crimson cup', 'scarlet beaker'],
        ['puppy'],
        None,
    ]

    others = [tmp_path / f'p_synonyms_{number}.json' for number in (1, 2)]
    again = evaluate_synonyms(files['ann'], saved, others, files['vocab'])
    assert {name: written[name] for name in again.scores} == pytest.approx(again.scores, abs=0, nan_ok=True)
    detector = Detector.from_pretrained(
        checkpoint=files['checkpoint'], device='cpu', settings=InferenceSettings(compete=False)
    )
    for path, names in ((saved, NAMES), (others[1], ['cat', 'scarlet beaker', 'puppy', 'tree'])):
        detector.set_vocabulary(Vocabulary(names, synonyms={}))
        expected = detector.detect(Path(files['images']) / '1.png', score_threshold=0.0)[0].to_coco(1, [1, 2, 3, 4])
        found = [each for each in json.loads(path.read_text()) if each['image_id'] == 1]
        assert [each['category_id'] for each in found] == [each['category_id'] for each in expected]
        assert [each['score'] for each in found] == pytest.approx([each['score'] for each in expected], abs=1e-5)


def test_synonyms__what_does_not_go_together(files: dict[str, str]):
    for options in (
        {},
        {'pred': 'p.json'},
        {'checkpoint': 'c.pth'},
        {'pred': 'p.json', 'pred_synonyms': ['q.json'], 'save_pred': 'r.json'},
    ):
        with pytest.raises(UserError, match='synonyms: '):
            evaluate_synonyms(files['ann'], **options)


def test_synonyms__of_an_lvis_file_read_as_prompts(tmp_path):
    box = {'bbox': [0, 0, 9, 9], 'image_id': 1, 'category_id': 3}
    annotations = {
        'images': [{'id': 1, 'neg_category_ids': [], 'not_exhaustive_category_ids': []}],
        'annotations': [box | {'id': 1, 'area': 81.0}],
        'categories': [{'id': 3, 'name': 'bat_(animal)', 'synonyms': ['bat_(animal)', 'flying_fox']}],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(annotations))
    (tmp_path / 'pred.json').write_text(json.dumps([box | {'score': 0.5}]))
    files = tmp_path / 'ann.json', tmp_path / 'pred.json'
    (row,) = evaluate_synonyms(*files, [tmp_path / 'pred.json']).classes
    assert (row['name'], row['ap50'], row['synonym_ap50']) == ('bat (animal)', 1, 1)
    (row,) = evaluate_calibration(*files).classes
    assert (row['name'], row['threshold']) == ('bat (animal)', 0.5)
