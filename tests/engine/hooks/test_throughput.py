"""Samples per second."""

from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.logging import MessageHub

from fgdet.engine.hooks.throughput import ThroughputHook


def test_hook__samples_of_all_processes_over_the_time_of_the_iteration(request: pytest.FixtureRequest) -> None:
    hub = MessageHub.get_instance(request.node.name)
    runner: Any = SimpleNamespace(message_hub=hub, world_size=4)
    for seconds in (0.5, 0.25):
        hub.update_scalar('train/time', seconds)
        ThroughputHook().after_train_iter(runner, 0, dict(data_samples=[None] * 3))
    history = hub.get_scalar('train/samples_per_second')
    # 3 samples on each of 4 processes: 12 / 0.5 and 12 / 0.25.
    assert history.data[0].tolist() == [24.0, 48.0]
