"""A submission: what was checked, mended and written, as a person and a program read it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from fgdet.submission.validation import Problems
from fgdet.utils.checks import UserError


@dataclass
class Submission:
    """What became of a list of detections.

    Args:
        benchmark: ``coco`` or ``lvis``.
        iou_type: ``bbox`` or ``segm``: what the entries hold.
        test_set: of the server.
        predictions: the file that was read.
        images: the image-info file.
        num_read: detections in the file that was read.
        num_images: of the info file.
        num_images_without: images that no detection is left for.
        archive: the written file; None where nothing was written.
        member: the name of the JSON file in it; None of a bare JSON file.
        num_written: detections in it.
        num_bytes: its size.
        scores: how scores were rounded.
        problems: what is wrong with the detections, after mending where that was asked for.
        mended: how many detections each thing was done to.
        warnings: what the server takes but may not be meant.
    """

    benchmark: str
    iou_type: str
    test_set: str
    predictions: str
    images: str
    num_read: int
    num_images: int
    num_images_without: int = 0
    archive: str | None = None
    member: str | None = None
    num_written: int = 0
    num_bytes: int = 0
    scores: str = 'as given'
    problems: Problems = field(default_factory=lambda: Problems({}, []))
    mended: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        content = asdict(self)
        content['problems'] = self.problems.counts
        content['examples'] = [
            {'position': position, 'problem': kind, 'message': words}
            for position, kind, words in self.problems.examples
        ]
        return content


class SubmissionError(UserError):
    """Detections that a server would not take; the first line sums up, then come the first problems by position.

    Args:
        submission: with its problems.
        advice: what to do.
    """

    def __init__(self, submission: Submission, advice: str) -> None:
        num = len(submission.problems.examples)
        kinds = ', '.join(f'{kind}: {count}' for kind, count in submission.problems.counts.items())
        lines = [f'{submission.predictions}: not fit for {submission.benchmark}: {kinds}; {advice}; by entry, from 0:']
        lines += [f'  [{position}] {words}' for position, _, words in submission.problems.examples]
        more = sum(submission.problems.counts.values()) - num
        if more > 0:
            lines.append(f'  and {more} more')
        super().__init__('\n'.join(lines))
        self.submission = submission
