"""Two runs by one protocol on the same images: what differs, and how sure that is."""

from dataclasses import dataclass, field
from typing import Any

from fgdet.evaluation.class_scores import is_known, score_names
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.resampling import Difference, paired_differences


@dataclass
class Comparison:
    """How the second run differs from the first.

    Args:
        first: a run.
        second: another one by the same protocol on the same images.
        differences: second minus first; interval and probability are NaN for a score that is not resampled.
        classes: the largest change first: ``name``, ``group``, ``num_objects``, ``first``, ``second``, ``difference``
            of ``class_score``; only classes whose score both runs know.
        class_score: what is compared by class, such as ``ap50``; empty where nothing is.
        inputs: what was compared.
    """

    first: Evaluation
    second: Evaluation
    differences: dict[str, Difference]
    classes: list[dict[str, Any]]
    class_score: str = ''
    inputs: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` writes."""
        return {
            'name': 'compare',
            'protocol': self.first.protocol,
            'inputs': self.inputs,
            'first': {'scores': self.first.scores, 'inputs': self.first.inputs},
            'second': {'scores': self.second.scores, 'inputs': self.second.inputs},
            'differences': {name: each._asdict() for name, each in self.differences.items()},
            'class_score': self.class_score,
            'classes': self.classes,
        }


def compare_evaluations(first: Evaluation, second: Evaluation, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two evaluations of the same protocol.

    Args:
        first: a run.
        second: another one.
        resamples: draws of the images, the same for both; see
            :func:`~fgdet.evaluation.resampling.paired_differences`. None are made of a protocol without resampler.
        seed: of the draws.

    Raises:
        UserError: the runs are of different images.
    """
    unknown = float('nan')
    differences = {
        name: Difference(second.scores[name] - value, unknown, unknown, unknown)
        for name, value in first.scores.items()
        if name in second.scores
    }
    if first.resampler is not None and second.resampler is not None:
        differences |= paired_differences(first.resampler, second.resampler, resamples, seed=seed)
    name = next(iter(score_names(first.classes)), '')
    return Comparison(first, second, differences, _class_changes(first, second, name), name)


def _class_changes(first: Evaluation, second: Evaluation, score: str) -> list[dict[str, Any]]:
    after = {(row['name'], row.get('group')): row.get(score) for row in second.classes}
    changes = []
    for row in first.classes:
        value: Any = row.get(score)
        other: Any = after.get((row['name'], row.get('group')))
        if is_known(value) and is_known(other):
            facts = {key: row[key] for key in row if key in ('name', 'group', 'num_objects')}
            changes.append({**facts, 'first': value, 'second': other, 'difference': other - value})
    return sorted(changes, key=lambda each: -abs(each['difference']))
