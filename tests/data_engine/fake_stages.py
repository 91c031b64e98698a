"""Stages that tests of the runner need: quick, slow, failing, ending their process; importable by worker processes.

Run as a program it takes a folder through them, for tests that end it: ``fake_stages.py IMAGES OUT WORKERS SECONDS``.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fgdet.data_engine.image_record import ImageRecord, Negative, Phrase, Region
from fgdet.data_engine.stage import Failure


class Say:
    """Captions by key; fails for some keys, and ends its process for others.

    Args:
        text: begins the captions.
        fail: keys that fail as long as the file ``mended`` is not there.
        die: keys at which the process is killed, raised where it is ``main``.
        seconds: that each record takes.
        log: a folder in which each record leaves a file for each time it is worked on.
    """

    name = 'say'
    batch_size = 3

    def __init__(
        self,
        text: str = 'A photograph',
        fail: Sequence[str] = (),
        die: Sequence[str] = (),
        seconds: float = 0.0,
        log: str = '',
        mended: str = '',
        name: str = 'say',
    ) -> None:
        self.text, self.fail, self.die, self.seconds, self.log = text, list(fail), list(die), seconds, log
        self.mended, self.name = mended, name

    def settings(self) -> dict[str, Any]:
        return dict(text=self.text)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        return [self._one(record) for record in records]

    def _one(self, record: ImageRecord) -> ImageRecord | Failure:
        if self.log:
            with open(Path(self.log) / f'{self.name}-{record.key}', 'a') as file:
                file.write('.')
        time.sleep(self.seconds)
        if record.key in self.die:
            os.kill(os.getpid(), signal.SIGKILL)
        if record.key in self.fail and not (self.mended and Path(self.mended).exists()):
            return Failure(record.key, 'no answer', again=True)
        return replace(record, caption=f'{record.caption}{self.text} {record.key}.', short_caption=self.text)


class Box:
    """One region with two negatives, around a quarter of the image; raises for some keys, drops others."""

    name = 'box'
    batch_size = 2

    def __init__(self, broken: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        self.broken, self.drop = list(broken), list(drop)

    def settings(self) -> dict[str, Any]:
        return dict(broken=self.broken, drop=self.drop)

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        return [self._one(record) for record in records]

    def _one(self, record: ImageRecord) -> ImageRecord:
        if record.key in self.broken:
            raise RuntimeError(f'cannot box {record.key} with the key {os.environ.get("FAKE_API_KEY", "")}')
        box = (0.0, 0.0, record.width / 2, record.height / 2)
        region = Region(box, 0.5, Phrase('a red mug'), [Negative('a blue mug'), Negative('a green mug')])
        return replace(record, regions=[region], dropped='small: 3' if record.key in self.drop else None)


class Twins:
    """Drops records whose caption came before, asked about all at once, in reverse; notes each one before."""

    name = 'twins'
    batch_size = 4

    def settings(self) -> dict[str, Any]:
        return {}

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        return [replace(record, scores=record.scores | dict(length=float(record.width))) for record in records]

    def run_all(self, records: Sequence[ImageRecord]) -> Iterator[ImageRecord]:
        first: dict[float, str] = {}
        for record in records:
            first.setdefault(record.scores['length'], record.key)
        for record in sorted(records, key=lambda each: each.key, reverse=True):
            is_first = first[record.scores['length']] == record.key
            yield record if is_first else replace(record, dropped=f'twin: {first[record.scores["length"]]}')


if __name__ == '__main__':
    from fgdet.data_engine.image_listing import ReadImages, list_images
    from fgdet.data_engine.pipeline import Pipeline
    from fgdet.data_engine.writer import WritePlan, Writer
    from tests.data_engine import fake_stages

    images, out, workers, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    stages = [
        ReadImages(images),
        fake_stages.Say(seconds=seconds),
        fake_stages.Twins(),
        fake_stages.Say('Again', seconds=seconds, fail=['p03'], name='again'),
        fake_stages.Box(drop=['p05']),
    ]
    outcome = Pipeline(stages, out / 'stages', workers).run(list_images(images).records)
    Writer(out, images, WritePlan(shard_samples=4)).write(outcome.records, outcome.lost, dict(seed=0))
