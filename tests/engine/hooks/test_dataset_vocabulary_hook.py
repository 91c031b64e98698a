"""The names that a detector trains on and looks for."""

from types import SimpleNamespace
from typing import Any

import pytest

from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError


def runner(*classes: str) -> Any:
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    set_names: list[list[str]] = []
    model = SimpleNamespace(
        training_vocabulary=Vocabulary(['cat', 'dog']), set_vocabulary=set_names.append, seen=set_names
    )
    return SimpleNamespace(model=model, train_dataloader=loader, val_dataloader=loader, test_dataloader=loader)


def test_before_train__lets_the_same_names_pass() -> None:
    run = runner('cat', 'dog')
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
        DatasetVocabularyHook().before_train(runner(*classes))


def test_before_val_and_test__looks_for_the_names_of_the_data() -> None:
    run = runner('owl', 'cat')
    DatasetVocabularyHook().before_val(run)
    DatasetVocabularyHook().before_test(run)
    assert run.model.seen == [['owl', 'cat']] * 2
