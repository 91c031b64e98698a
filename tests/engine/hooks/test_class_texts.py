"""Class names reach the metric as the model's own text features."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fgdet.engine.hooks.class_texts import ClassTextsHook
from fgdet.utils.checks import UserError
from tests.builders import random_ids, tiny_pretrainer


def runner_of(classes: tuple[str, ...], given: list) -> Any:
    model = tiny_pretrainer()
    model.clip.tokenize = lambda names: random_ids(len(names), 77, seed=sum(map(len, names)))
    metrics = [SimpleNamespace(), SimpleNamespace(set_classes=lambda *texts: given.append(texts))]
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    evaluator = SimpleNamespace(metrics=metrics)
    names = dict(val_evaluator=evaluator, test_evaluator=evaluator, val_dataloader=loader, test_dataloader=loader)
    return SimpleNamespace(model=model, **names)


@pytest.mark.parametrize(('names', 'used'), [(None, ['a', 'bb']), (['ccc'], ['ccc'])])
def test_hook__encodes_the_names_or_the_data_sets_classes(names: list[str] | None, used: list[str]) -> None:
    given: list = []
    runner, hook = runner_of(('a', 'bb'), given), ClassTextsHook(names)
    hook.before_val_epoch(runner)
    hook.before_test_epoch(runner)
    ids = runner.model.clip.tokenize(used)
    assert len(given) == 2
    for got_ids, features in given:
        assert torch.equal(got_ids, ids) and not features.requires_grad
        torch.testing.assert_close(features, runner.model.clip.encode_text(ids, normalize=True).detach())


def test_hook__no_names_at_all() -> None:
    with pytest.raises(UserError, match='neither names nor the classes'):
        ClassTextsHook().before_val_epoch(runner_of((), []))
