"""Phrases and boxes, from annotations and from detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.structures import InstanceData
from PIL import Image
from torchvision.ops import batched_nms

from fgdet.apis.detection import Detector
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.data_engine.grounding import AnnotationGrounding, DetectorGrounding, not_contained, suppressed
from fgdet.data_engine.image_record import ImageRecord, Phrase, Region
from fgdet.data_engine.noun_matching import NounMatcher
from fgdet.data_engine.stage import Failure
from fgdet.data_engine.text_detectors import load_text_detector
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.data_engine.pictures import save, scene
from tests.detector_builders import NAMES, detector_config, tiny_detector


def phrase(text: str, noun: str, *attributes: tuple[str, str], number: str = 'one', start: int = -1) -> Phrase:
    pairs = [{'word': word, 'kind': kind} for word, kind in attributes]
    return Phrase(text, start, start + len(text) if start >= 0 else -1, noun, pairs, number)


def thing(name: str, x: float, y: float, width: float, height: float, **fields: Any) -> dict[str, Any]:
    return {'bbox': [x, y, width, height], 'name': name, **fields}


def grounded(phrases: list[Phrase], things: list[dict[str, Any]], **settings: Any) -> ImageRecord:
    record = ImageRecord('1', 'x.png', 300, 200, caption='', phrases=phrases, annotations=things)
    (found,) = AnnotationGrounding(**settings).run([record])
    assert isinstance(found, ImageRecord)
    assert not record.regions
    return found


def boxes(record: ImageRecord) -> dict[str, tuple[float, ...]]:
    return {region.phrase.text: region.box for region in record.regions}


def left_out(record: ImageRecord) -> dict[str, int]:
    return record.provenance['grounding']['left_out']


LEFT, MIDDLE, RIGHT = thing('dog', 10, 50, 40, 40), thing('dog', 130, 50, 40, 40), thing('dog', 250, 50, 40, 90)


def test_annotations__the_only_thing_of_its_noun() -> None:
    things = [thing('person', 10, 10, 50, 100), thing('dining_table', 100, 100, 150, 80)]
    phrases = [phrase('a young skier', 'skier', ('young', 'state')), phrase('tables', 'tables'), phrase('a cat', 'cat')]
    found = grounded(phrases, things)
    assert boxes(found) == {'a young skier': (10, 10, 60, 110), 'tables': (100, 100, 250, 180)}
    assert left_out(found) == {'unmatched': 1}
    assert found.provenance['grounding'] == dict(source='annotations', phrases=3, regions=2, left_out={'unmatched': 1})


@pytest.mark.parametrize(
    ('wanted', 'box'),
    [
        (phrase('a dog', 'dog'), None),
        (phrase('a dog on the left', 'dog'), (10, 50, 50, 90)),
        (phrase('a dog in the middle', 'dog'), (130, 50, 170, 90)),
        (phrase('the right dog', 'dog', ('right', 'position')), (250, 50, 290, 140)),
        (phrase('a dog at the bottom', 'dog'), None),
        (phrase('a large dog', 'dog', ('large', 'size')), (250, 50, 290, 140)),
        (phrase('a small dog', 'dog', ('small', 'size')), None),  # two are
        (phrase('three dogs', 'dogs', ('three', 'count'), number='many'), None),  # scattered: they fill 27 %
        (phrase('two dogs', 'dogs', ('two', 'count'), number='many'), None),
    ],
)
def test_annotations__several_of_its_noun(wanted: Phrase, box: tuple[float, ...] | None) -> None:
    found = grounded([wanted], [LEFT, MIDDLE, RIGHT])
    assert boxes(found) == ({wanted.text: box} if box else {})
    assert sum(left_out(found).values()) == (box is None)


def test_annotations__a_place_that_is_not_there_and_plurals_that_are_not_wanted() -> None:
    assert left_out(grounded([phrase('a dog on the right', 'dog')], [LEFT])) == {'place': 1}
    assert left_out(grounded([phrase('dogs', 'dogs', number='many')], [LEFT, RIGHT], plural='drop')) == {'plural': 1}
    three = phrase('three dogs', 'dogs', ('three', 'count'), number='many')
    assert left_out(grounded([three], [LEFT, MIDDLE, RIGHT])) == {'scattered': 1}
    near = grounded([three, phrase('dogs', 'dogs', number='many')], [LEFT, MIDDLE, RIGHT], least_filled=0.25)
    assert (boxes(near), left_out(near)) == ({'three dogs': (10, 50, 290, 140)}, {'same_box': 1})
    crowd = [thing('dog', 10, 50, 100, 40, iscrowd=1)]
    assert boxes(grounded([phrase('a pack of dogs', 'dogs', number='group')], crowd))
    assert left_out(grounded([phrase('a dog', 'dog')], [LEFT, *crowd])) == {'ambiguous': 1}


def test_annotations__boxes_that_are_no_regions() -> None:
    cases = {
        'small': thing('dog', 5, 5, 7, 90),
        'whole_image': thing('dog', 0, 0, 300, 190),
        'cut_off': thing('dog', 250, 50, 150, 40),
        'low_confidence': thing('dog', 50, 50, 50, 50, score=0.4),
    }
    for reason, each in cases.items():
        assert left_out(grounded([phrase('a dog', 'dog')], [each])) == {reason: 1}
    polygon = thing('dog', 0, 0, 90, 90, segmentation=[[10, 20, 60, 20, 60, 80]], score=0.7)
    (region,) = grounded([phrase('a dog', 'dog')], [polygon]).regions
    assert (region.box, region.score) == ((10, 20, 60, 80), 0.7)


def test_annotations__one_phrase_for_a_box_and_the_one_of_its_span_first() -> None:
    poor, rich = (
        phrase('a dog', 'dog', start=2),
        phrase('a brown wet dog', 'dog', ('brown', 'colour'), ('wet', 'state')),
    )
    found = grounded([poor, rich], [LEFT])
    assert (boxes(found), left_out(found)) == ({'a brown wet dog': (10, 50, 50, 90)}, {'same_box': 1})
    told = grounded([rich, poor], [RIGHT, dict(LEFT, span=[2, 20])])
    assert (boxes(told), left_out(told)) == ({'a dog': (10, 50, 50, 90)}, {'ambiguous': 1})


def test_annotations__nothing_unsized_malformed_and_dropped() -> None:
    assert grounded([], []).regions == []
    record = ImageRecord('1', 'x.png', 300, 200, phrases=[phrase('a dog', 'dog')])
    stage = AnnotationGrounding()
    unsized, malformed, dropped = stage.run(
        [replace(record, width=0), replace(record, annotations=[{'name': 'dog'}]), replace(record, dropped='blurred')]
    )
    assert isinstance(unsized, Failure) and 'its size is not known' in unsized.reason
    assert isinstance(malformed, Failure) and "malformed annotation (KeyError: 'bbox')" in malformed.reason
    assert dropped == replace(record, dropped='blurred')
    with pytest.raises(ValueError, match="expected 'union' or 'drop', got 'all'"):
        AnnotationGrounding(plural='all')


@pytest.mark.parametrize(
    ('noun', 'category', 'fits'),
    [
        ('Dogs', 'dog', True),
        ('people', 'person', True),
        ('woman', 'person', True),
        ('crowd', 'person', False),
        ('sofa', 'couch', True),
        ('table', 'dining table', True),
        ('coffee table', 'table', True),
        ('bike', 'bicycle', True),
        ('bike', 'motorcycle', True),
        ('dog', 'hot dog', False),
        ('toy car', 'car', False),
        ('knives', 'knife', True),
        ('bat', 'bat_(animal)', True),
        ('cat', 'dog', False),
        ('', 'dog', False),
    ],
)
def test_noun__and_category(noun: str, category: str, fits: bool) -> None:
    assert NounMatcher().fits(noun, category) is fits


def test_noun__further_synonyms_and_compounds() -> None:
    assert NounMatcher({'dog': ['Mutts']}).fits('mutt', 'dog')
    assert left_out(grounded([phrase('a hot dog', 'dog')], [LEFT])) == {'unmatched': 1}


def fake_detector(found: Mapping[str, Sequence[tuple[tuple[float, ...], float]]]) -> Any:
    def detect(image: np.ndarray, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = [(box, score, label) for label, text in enumerate(texts) for box, score in found.get(text, [])]
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        rows_boxes, scores, labels = columns
        return np.array(rows_boxes).reshape(-1, 4), np.array(scores), np.array(labels)

    return detect


def test_detector__above_the_threshold_suppressed_and_fit_for_a_region(tmp_path: Path) -> None:
    found = {
        'a dog': [
            ((10, 10, 60, 60), 0.9),
            ((12, 10, 62, 60), 0.8),  # suppressed
            ((90, 10, 140, 60), 0.5),  # another one
            ((80, 60, 150, 110), 0.4),  # not above
            ((10, 10, 14, 60), 0.9),
            ((-20, -20, 170, 130), 0.9),
        ],
        'two cats': [((60, 60, 100, 100), 0.6), ((110, 60, 180, 150), 0.7), ((12, 12, 60, 60), 0.41)],
    }
    record = replace(
        save(tmp_path, 'x.png', scene(0)), phrases=[phrase('a dog', 'dog'), phrase('two cats', 'cats', number='many')]
    )
    record.phrases.append(record.phrases[0])  # said twice
    (result,) = DetectorGrounding(tmp_path, fake_detector(found)).run([record])
    assert isinstance(result, ImageRecord)
    assert [(r.phrase.text, r.box, r.score) for r in result.regions] == [
        ('a dog', (10, 10, 60, 60), 0.9),
        ('two cats', (110, 60, 160, 120), 0.7),
        ('two cats', (60, 60, 100, 100), 0.6),
        ('two cats', (12, 12, 60, 60), 0.41),
    ]
    expected = dict(suppressed=1, more_than_one=1, low_confidence=1, small=1, whole_image=1)
    assert left_out(result) == expected
    (one_by_one,) = DetectorGrounding(tmp_path, fake_detector(found), texts_at_once=1).run([record])
    assert one_by_one == result
    (across,) = DetectorGrounding(tmp_path, fake_detector(found), across_phrases=True).run([record])
    assert isinstance(across, ImageRecord)
    assert [r.score for r in across.regions] == [0.9, 0.7, 0.6]
    parts = {'two cats': [((10, 10, 90, 90), 0.9), ((20, 20, 40, 40), 0.8)]}
    (whole,) = DetectorGrounding(tmp_path, fake_detector({'a dog': [], **parts}), most_contained=0.9).run([record])
    assert isinstance(whole, ImageRecord)
    assert [r.score for r in whole.regions] == [0.9]
    assert left_out(whole) == {'contained': 1}


def test_detector__nothing_to_look_for_broken_files_and_settings(tmp_path: Path) -> None:
    save(tmp_path, 'x.png', scene(0))
    stage = DetectorGrounding(tmp_path, fake_detector({}))
    empty, missing = stage.run([ImageRecord('x', 'x.png'), ImageRecord('y', 'y.png')])
    assert isinstance(empty, ImageRecord) and empty.regions == [] and (empty.width, empty.height) == (160, 120)
    assert missing == Failure('y', 'image y.png does not exist')
    for given in (dict(), dict(detector=fake_detector({}), config='a', checkpoint='b'), dict(config='a')):
        with pytest.raises(ValueError, match='give a callable, or a config and a checkpoint'):
            DetectorGrounding(tmp_path, **given)


def test_suppressed__as_torchvision_does() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator, dtype=torch.float64) * 50
    rows = torch.cat([corners, corners + 5 + torch.rand(60, 2, generator=generator, dtype=torch.float64) * 30], 1)
    scores = torch.rand(60, generator=generator, dtype=torch.float64)
    regions = [
        Region(tuple(box), score, phrase('a', 'a')) for box, score in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
    expected = batched_nms(rows, scores, torch.zeros(60), 0.3).tolist()
    assert [region.score for region in suppressed(regions, 0.3)] == scores[expected].tolist()
    assert suppressed([], 0.5) == []


def test_text_detector__is_built_from_its_files(tmp_path: Path) -> None:
    config, checkpoint = tmp_path / 'detector.py', tmp_path / 'detector.pth'
    detector_config().dump(config)
    torch.save(dict(state_dict=tiny_detector().state_dict()), checkpoint)
    detect = load_text_detector(str(config), str(checkpoint), 'cpu')
    image = np.asarray(scene(0, (64, 48)))
    texts = ['a red mug', 'a tree']
    theirs = Detector.from_pretrained(config, checkpoint, 'cpu', InferenceSettings(compete=False))
    theirs.set_vocabulary(Vocabulary(texts, templates=['{}']))
    (expected,) = theirs.detect(image, score_threshold=0.0)
    detect(image, NAMES)
    boxes, scores, labels = detect(image, texts)
    assert len(labels) > 0
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(boxes, expected.boxes, rtol=1e-4, atol=1e-3)
    assert labels.tolist() == expected.labels.tolist()
    settings = DetectorGrounding(tmp_path, config=config, checkpoint=checkpoint).settings()
    assert (settings['config'], settings['checkpoint']) == ('detector.py', 'detector.pth')
    with pytest.raises(UserError, match='no such file'):
        load_text_detector(str(config), str(tmp_path / 'none.pth'), 'cpu')


PROMPTED = """
model = dict(type='fgdet.PromptedDetector', {text})
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PackDetInputs', meta_keys=('text', 'custom_entities', 'ori_shape')),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
"""


@MODELS.register_module(force=True)
class PromptedDetector(torch.nn.Module):
    """Finds the last of its prompt's texts where the image is red."""

    def __init__(self, language_model: bool = False) -> None:
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor()
        if language_model:
            self.language_model = torch.nn.Identity()

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        (sample,), (pixels,) = data['data_samples'], data['inputs']
        assert sample.custom_entities
        texts = sample.text.split(' . ')
        red = (pixels[2] > 200).nonzero()  # blue, green, red, as mmdet reads files
        box = torch.cat([red.min(0).values.flip(0), red.max(0).values.flip(0) + 1])[None].float()
        label = torch.tensor([len(texts) - 1])
        sample.pred_instances = InstanceData(bboxes=box, scores=torch.tensor([0.75]), labels=label)
        return [sample]


def test_not_contained__worked_by_hand() -> None:
    corners = [(0, 0, 40, 40), (10, 10, 20, 20), (35, 0, 45, 10), (0, 0, 100, 100)]  # within by 1, 1/2, 0.16
    regions = [Region(each, 0.9, phrase('a', 'a')) for each in corners]
    assert [r.box for r in not_contained(regions, 0.9)] == [corners[0], corners[2], corners[3]]
    assert [r.box for r in not_contained(regions, 0.4)] == [corners[0], corners[3]]
    assert not_contained([], 0.9) == []


def test_text_detector__with_a_prompt(tmp_path: Path) -> None:
    config, checkpoint = tmp_path / 'prompted.py', tmp_path / 'prompted.pth'
    config.write_text(PROMPTED.format(text='language_model=True'))
    torch.save({}, checkpoint)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[20:40, 10:50, 0] = 255
    record = save(tmp_path, 'x.png', Image.fromarray(pixels))
    record.phrases = [phrase('Dr. Dog', 'dog'), phrase('a red thing.', 'thing')]
    with pytest.raises(UserError, match='a PromptedDetector takes no text'):
        without = tmp_path / 'without.py'
        without.write_text(PROMPTED.format(text=''))
        load_text_detector(str(without), str(checkpoint), 'cpu')
    stage = DetectorGrounding(tmp_path, config=config, checkpoint=checkpoint)
    (found,) = stage.run([record])
    assert isinstance(found, ImageRecord)
    assert [(r.phrase.text, r.box, r.score) for r in found.regions] == [('a red thing.', (10, 20, 50, 40), 0.75)]
