"""Counting of bad records."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.logging import MMLogger

from fgdet.engine.hooks.skipped_records import SkippedRecordsHook
from fgdet.structures.region_text_sample import RegionTextSample
from fgdet.utils.checks import UserError

RUNNER: Any = SimpleNamespace()


def batch(*skipped: tuple[str, ...]) -> dict[str, Any]:
    """One sample for each entry, which names the records that were passed over before it."""
    return dict(
        data_samples=[
            RegionTextSample(metainfo=dict(key='k', skipped=tuple((source, 'no image') for source in names)))
            for names in skipped
        ]
    )


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_hook__counts_samples_and_what_was_passed_over() -> None:
    hook = SkippedRecordsHook()
    hook.before_train_iter(RUNNER, 0, batch((), ('f:1', 'f:2'), ()))
    hook.before_train_iter(RUNNER, 1, batch(('f:1',), ()))
    assert hook.num_read == 8 and hook.skipped == {'f:1': 2, 'f:2': 1}


def test_hook__samples_of_a_source_without_bad_records_count_too() -> None:
    hook = SkippedRecordsHook()
    hook.before_train_iter(RUNNER, 0, dict(data_samples=[RegionTextSample(metainfo=dict(key='k'))]))
    assert hook.num_read == 1 and not hook.skipped


def test_hook__logs_each_record_once(messages: pytest.LogCaptureFixture) -> None:
    hook = SkippedRecordsHook()
    for i in range(3):
        hook.before_train_iter(RUNNER, i, batch(('f:1',)))
    hook.after_train(RUNNER)
    warnings = [r.getMessage() for r in messages.records if r.levelno == logging.WARNING]
    assert warnings == ['skipped f:1: no image']
    assert messages.records[-1].getMessage() == 'records read: 6, skipped as bad: 3 (1 different ones)'


def test_hook__stops_above_the_share_and_not_at_it() -> None:
    hook = SkippedRecordsHook(max_share=0.25, min_records=4)
    hook.before_train_iter(RUNNER, 0, batch(('f:1',), (), ()))  # 1 of 4
    with pytest.raises(UserError, match=r'^2 of the 6 records .* share of 0\.25.*raise SkippedRecordsHook\.max_share$'):
        hook.before_train_iter(RUNNER, 1, batch(('f:2',)))


def test_hook__does_not_judge_too_early() -> None:
    hook = SkippedRecordsHook(max_share=0.0, min_records=5)
    hook.before_train_iter(RUNNER, 0, batch(('f:1',), ()))  # 1 of 3
    with pytest.raises(UserError, match='1 of the 5 records'):
        hook.before_train_iter(RUNNER, 1, batch((), ()))


@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_hook__share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match=r'max_share must lie in 0\.\.1'):
        SkippedRecordsHook(max_share=share)
