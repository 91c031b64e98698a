"""The names that a detector trains on and looks for, and what training may not see."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import ClassBalancedDataset, ConcatDataset
from mmengine.hooks import EMAHook

from fgdet.datasets.ov_coco import OVCocoDataset
from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import write_annotations

VOCABULARY = dict(names=['cat', 'dog'], base=['cat'], novel=['dog'])


def run_of(dataset: Any) -> Any:
    loader = SimpleNamespace(dataset=dataset)
    set_names: list[list[str]] = []
    model = SimpleNamespace(
        training_vocabulary=Vocabulary.build(VOCABULARY), set_vocabulary=set_names.append, seen=set_names
    )
    loaders = dict(train_dataloader=loader, val_dataloader=loader, test_dataloader=loader)
    return SimpleNamespace(model=model, hooks=[], **loaders)


class Labels(list):
    """A data set of labels alone."""

    def __init__(self, classes: tuple[str, ...], *labels: list[int]) -> None:
        super().__init__(labels)
        self.metainfo = dict(classes=classes)

    def get_cat_ids(self, index: int) -> list[int]:
        return self[index]

    def get_data_info(self, index: int) -> dict[str, int]:
        return dict(img_id=100 + index)


def test_before_train__lets_the_same_names_pass() -> None:
    run = run_of(Labels(('cat', 'dog'), [0, 0], []))
    DatasetVocabularyHook().before_train(run)
    assert run.model.seen == []  # it looks, and changes nothing


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (('dog', 'cat'), r"training classes\[0\]: 'dog' in the data set but 'cat' in the model"),
        (('cat',), 'training classes: 1 in the data set but 2 in the model'),
        (('cat', 'dog', 'owl'), 'training classes: 3 in the data set but 2 in the model'),
    ],
)
def test_before_train__refuses_others(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DatasetVocabularyHook().before_train(run_of(Labels(classes)))


def test_before_train__refuses_a_box_of_a_novel_class() -> None:
    with pytest.raises(UserError, match=r"image 101 has a box of 'dog', which is not .* give .* split='base'"):
        DatasetVocabularyHook().before_train(run_of(Labels(('cat', 'dog'), [0], [0, 1])))


def coco_form(tmp_path: Path, kind: type[CocoDataset] = OVCocoDataset, **options: Any) -> Any:
    """Image 1 has a base and a novel object, image 2 a base one."""
    images = [[('cat', (0, 0, 9, 9)), ('dog', (5, 5, 9, 9))], [('cat', (0, 0, 9, 9))]]
    path = write_annotations(tmp_path / 'annotations.json', dict(cat=1, dog=2), images)
    settings: dict[str, Any] = dict(data_prefix=dict(img=''), filter_cfg=dict(filter_empty_gt=True), pipeline=[])
    return kind(ann_file=str(path), **settings | options)


def test_before_train__base_split_of_images_with_novel_objects_is_the_protocol(tmp_path: Path) -> None:
    data = coco_form(tmp_path, split='base', vocabulary=VOCABULARY)
    assert [data.get_cat_ids(index) for index in range(len(data))] == [[0], [0]]
    DatasetVocabularyHook().before_train(run_of(data))


@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: ConcatDataset([x]), lambda x: ClassBalancedDataset(x, 0.1)])
def test_before_train__refuses_the_split_of_all(tmp_path: Path, wrap: Any) -> None:
    data = coco_form(tmp_path, split='all', vocabulary=VOCABULARY)
    with pytest.raises(UserError, match="image 1 has a box of 'dog'"):
        DatasetVocabularyHook().before_train(run_of(wrap(data)))


def test_before_train__refuses_a_base_split_of_more_base_names(tmp_path: Path) -> None:
    data = coco_form(tmp_path, split='base', vocabulary=dict(names=['cat', 'dog'], base=['cat', 'dog']))
    with pytest.raises(UserError, match="image 1 has a box of 'dog'"):
        DatasetVocabularyHook().before_train(run_of(data))


def test_before_train__refuses_novel_boxes_of_any_data_set(tmp_path: Path) -> None:
    data = coco_form(tmp_path, CocoDataset, metainfo=dict(classes=('cat', 'dog')))
    with pytest.raises(UserError, match="image 1 has a box of 'dog'"):
        DatasetVocabularyHook().before_train(run_of(data))


def test_before_test__a_vocabulary_of_the_data_keeps_its_synonyms(tmp_path: Path) -> None:
    data = coco_form(tmp_path, split='all', vocabulary=dict(names=['dog', 'cat'], synonyms=dict(dog=['hound'])))
    run = run_of(data)
    DatasetVocabularyHook().before_test(run)
    assert run.model.seen == [data.vocabulary]


def test_before_val_and_test__looks_for_the_names_of_the_data() -> None:
    run = run_of(Labels(('owl', 'cat')))
    DatasetVocabularyHook().before_val(run)
    DatasetVocabularyHook().before_test(run)
    assert run.model.seen == [['owl', 'cat']] * 2


def test_before_train__refuses_an_average_that_cannot_hold_a_vocabulary() -> None:
    refused = run_of(Labels(('cat', 'dog'), []))
    refused.hooks.append(EMAHook())
    with pytest.raises(UserError, match=r"give type='fgdet\.DetectorEMAHook'"):
        DatasetVocabularyHook().before_train(refused)
