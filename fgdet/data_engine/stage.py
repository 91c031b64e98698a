"""What every stage of the data engine is: records in, records or reasons out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fgdet.data_engine.image_record import ImageRecord


@dataclass(frozen=True)
class Failure:
    """A record that a stage could not work on.

    Args:
        key: of the record.
        reason: one line that names what is wrong; no key of an endpoint, no address with credentials.
        again: whether another try may help, as after a timeout.
    """

    key: str
    reason: str
    again: bool = False


class Stage(Protocol):
    """A step that is restartable and usable alone.

    The same records, settings and seed give the same result, whatever the batches, the order and the process: a seed
    for a record comes from the stage's seed and the record's key. What an endpoint answers is excepted.
    """

    #: Such as ``caption``; files and options are called by it.
    name: str
    #: Records that :meth:`run` takes best at once.
    batch_size: int

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, for the manifest: versions of prompts and tables, thresholds, weights."""
        ...

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return for each record a new one or why there is none, in the same order; the records are not changed."""
        ...
