"""Box classification: which class a given box is of. Features or a COCO result list in, ranks and accuracies out.

Classes compete in the order of the annotation file: of equal ones the first wins, as with argmax. FG-CLIP's own code
ranks what a softmax in fp32 leaves of 100 x feature x name, which is 0 for every class that is 104 or more behind the
best one, so that chance decides which of them are among its five best; here the similarities themselves are ranked.

Axes: I images, R boxes (all annotated objects that count), K classes, k best classes of a box, P predictions, D
embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fgdet.evaluation.functional.detection_mistakes import WRONG_CLASS
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import as_table
from fgdet.utils.checks import UserError

Array = np.ndarray
#: Classes of a box that are kept: what top-5 needs.
NUM_BEST = 5
#: CLIP's logit scale, which FG-CLIP's evaluation has too; it is of no account for ranks.
LOGIT_SCALE = 100.0
#: The rank of a class that was not predicted.
NEVER = np.iinfo(np.int64).max
#: Cosines that agree in so many decimals are a tie: above the rounding of float64 sums for vectors of length 1.
_DECIMALS = 12

#: Groups of classes by what a category of the file says: LVIS's ``frequency``, and ``split`` of OV-COCO's files.
GROUPS = {
    'base': ('split', ('base', 'seen')),
    'novel': ('split', ('novel', 'unseen')),
    'rare': ('frequency', ('r',)),
    'common': ('frequency', ('c',)),
    'frequent': ('frequency', ('f',)),
}


@dataclass(eq=False)
class GivenBoxes:
    """The objects of an annotation file whose class is asked for, image by image in the order of the file.

    Args:
        image_ids: (I,) of all images, also those without objects.
        category_ids: (K,).
        images: (R,) row of ``image_ids``, ascending.
        classes: (R,) row of ``category_ids``.
        boxes: (R, 4) float64, x, y, width, height in pixels of the original image.
        annotation_ids: (R,) int64; the position in the file where an object has no id.
        num_crowd: boxes around crowds that were left out.
        num_no_area: boxes of no width or no height that were left out.
    """

    image_ids: Array
    category_ids: Array
    images: Array
    classes: Array
    boxes: Array
    annotation_ids: Array
    num_crowd: int = 0
    num_no_area: int = 0

    @classmethod
    def from_annotations(
        cls, annotations: Mapping[str, Any], limit: int | None = None, crowd: bool = False
    ) -> 'GivenBoxes':
        """Take the objects of a COCO-form file.

        Args:
            annotations: as :func:`~fgdet.evaluation.results.load_annotations` gives them.
            limit: only so many images, the first ones; None for all.
            crowd: whether boxes around crowds count; the official evaluation of FG-CLIP has them.

        Raises:
            UserError: an object is of an image or a category that the file does not have.
        """
        image_ids = [image['id'] for image in annotations['images']]
        row_of_image = {image_id: row for row, image_id in enumerate(image_ids)}
        category_ids = [category['id'] for category in annotations['categories']]
        row_of_category = {category_id: row for row, category_id in enumerate(category_ids)}
        num_images = len(image_ids) if limit is None else min(limit, len(image_ids))
        rows, num_crowd, num_no_area = [], 0, 0
        for position, entry in enumerate(annotations['annotations']):
            for field_name, known in (('image_id', row_of_image), ('category_id', row_of_category)):
                if entry[field_name] not in known:
                    raise UserError(f'annotations[{position}]: {field_name} {entry[field_name]!r} is none of the file')
            image = row_of_image[entry['image_id']]
            if image >= num_images:
                continue
            is_crowd, has_area = bool(entry.get('iscrowd')) and not crowd, min(entry['bbox'][2:]) > 0
            num_crowd += is_crowd
            num_no_area += not is_crowd and not has_area
            if has_area and not is_crowd:
                rows.append((image, row_of_category[entry['category_id']], entry.get('id', position), entry['bbox']))
        rows.sort(key=lambda row: row[0])  # stable
        images, classes, annotation_ids, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            np.array(image_ids[:num_images], dtype=np.int64),
            np.array(category_ids, dtype=np.int64),
            np.array(images, dtype=np.int64),
            np.array(classes, dtype=np.int64),
            np.array(boxes, dtype=np.float64).reshape(-1, 4),
            np.array(annotation_ids, dtype=np.int64),
            num_crowd,
            num_no_area,
        )

    def __len__(self) -> int:
        return len(self.images)

    def of_images(self) -> list[Array]:
        """Boxes of each image (N_i, 4) as x1, y1, x2, y2."""
        corners = np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], axis=1)
        return np.split(corners, np.searchsorted(self.images, np.arange(1, len(self.image_ids))))

    def results(self, best: Array, probabilities: Array) -> ResultTable:
        """The best classes of each box, (R, k) as of :func:`best_classes`, as a result list: R x k rows, box by box."""
        k = best.shape[1]
        return ResultTable(
            np.repeat(self.image_ids[self.images], k),
            self.category_ids[best.ravel()],
            np.repeat(self.boxes, k, axis=0),
            probabilities.ravel(),
        )


def category_groups(categories: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Which categories are in each group of :data:`GROUPS` that has any, (K,) bool by name."""
    groups = {
        group: np.array([category.get(field) in values for category in categories], dtype=bool)
        for group, (field, values) in GROUPS.items()
    }
    return {group: members for group, members in groups.items() if members.any()}


def best_classes(features: Array, class_features: Array, k: int = NUM_BEST) -> tuple[Array, Array]:
    """The ``k`` classes nearest to each box (all of them where there are fewer), the best first.

    Args:
        features: (R, D) of any length; zeros are as near to one class as to another.
        class_features: (K, D) of length 1.
        k: classes to keep.

    Returns:
        (R, k) int64 rows of ``class_features``, and (R, k) float64 the softmax over all K of 100 times the cosine.

    Raises:
        ValueError: a feature is no finite number.
    """
    features = np.asarray(features, dtype=np.float64)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f'features: box {int(finite.argmin())} has numbers that are not finite; check the weights')
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    cosines = np.round(directions @ np.asarray(class_features, dtype=np.float64).T, _DECIMALS)  # (R, K)
    weights = np.exp(LOGIT_SCALE * (cosines - cosines.max(axis=1, keepdims=True, initial=-1.0)))
    rows, best = np.arange(len(features)), np.empty((len(features), min(k, len(class_features))), np.int64)
    for column in range(best.shape[1]):
        best[:, column] = cosines.argmax(axis=1)  # the first of equal ones
        cosines[rows, best[:, column]] = -np.inf
    return best, np.take_along_axis(weights, best, axis=1) / weights.sum(axis=1, keepdims=True)


class Answers(NamedTuple):
    """What a result list says of each box."""

    ranks: Array  # (R,) int64: place of the right class, 0 for the best; NEVER where it was not predicted
    best: Array  # (R,) int64: the class of the best score; -1 where nothing was predicted
    scores: Array  # (R,) its score; NaN where nothing was predicted

    def mistakes(self, given: GivenBoxes, names: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """The ``limit`` most confident wrong answers: image_id, bbox, score, name, truth, kind."""
        wrong = np.flatnonzero((self.ranks > 0) & (self.best >= 0))
        return [
            dict(
                image_id=int(given.image_ids[given.images[row]]),
                bbox=given.boxes[row].tolist(),
                score=float(self.scores[row]),
                name=names[self.best[row]],
                truth=names[given.classes[row]],
                kind=WRONG_CLASS,
            )
            for row in wrong[np.argsort(-self.scores[wrong], kind='stable')][:limit]
        ]


def read_answers(
    annotations: Mapping[str, Any], given: GivenBoxes, predictions: ResultTable | Sequence[Mapping[str, Any]]
) -> Answers:
    """Find the predictions of each box, and at which place among them the right class stands.

    A prediction belongs to the objects of its image that have its box exactly; of several with one category the best
    counts. Predictions of objects that are left out are not looked at.

    Args:
        annotations: all that the predictions may be of.
        given: the boxes that count.
        predictions: a COCO result list with the annotated boxes, some best classes of each; in any order.

    Raises:
        UserError: a prediction names an unknown image or category, or its box is none of the image's objects.
    """
    image_ids = [image['id'] for image in annotations['images']]
    table = as_table(predictions, image_ids, given.category_ids.tolist())
    entries = annotations['annotations']
    objects = _keys([entry['image_id'] for entry in entries], [entry['bbox'] for entry in entries])
    number = {key: i for i, key in enumerate(dict.fromkeys(objects))}  # of each distinct box
    box = np.array([number.get(key, -1) for key in _keys(table.image_ids, table.boxes)], dtype=np.int64)  # (P,)
    if (box < 0).any():
        position = int(box.argmin())
        raise UserError(
            f'predictions[{position}]: image {table.image_ids[position]} has no object with the box '
            f'{table.boxes[position].tolist()}; box classification needs the boxes of the annotations, as they are'
        )
    num_classes = len(given.category_ids)
    in_order = np.argsort(given.category_ids, kind='stable')
    classes = in_order[np.searchsorted(given.category_ids, table.category_ids, sorter=in_order)]  # (P,)
    order = np.lexsort((classes, -table.scores, box))  # box by box, the best first
    _, first = np.unique((box * num_classes + classes)[order], return_index=True)
    order = order[np.sort(first)]  # a class of a box once
    box, classes, scores = box[order], classes[order], table.scores[order]
    begin = np.searchsorted(box, box, 'left')
    own = np.array([number[key] for key in _keys(given.image_ids[given.images], given.boxes)], dtype=np.int64)  # (R,)
    places = dict(zip(zip(box.tolist(), classes.tolist(), strict=True), range(len(box)), strict=True))
    at = [places.get(pair, -1) for pair in zip(own.tolist(), given.classes.tolist(), strict=True)]
    ranks = np.array([place - begin[place] if place >= 0 else NEVER for place in at], dtype=np.int64)
    top = np.searchsorted(box, own, 'left')
    known = top < np.searchsorted(box, own, 'right')
    best, best_scores = np.full(len(given), -1), np.full(len(given), np.nan)
    best[known], best_scores[known] = classes[top[known]], scores[top[known]]
    return Answers(ranks, best, best_scores)


def _keys(image_ids: Sequence[int] | Array, boxes: Sequence[Any] | Array) -> list[bytes]:
    """A key for each pair of an image and a box (N, 4) as it is."""
    ids = np.asarray(image_ids, dtype=np.int64).reshape(-1, 1)
    numbers = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) + 0.0  # no negative zero
    return list(map(bytes, np.concatenate([ids.view(np.uint8), numbers.view(np.uint8)], axis=1)))


@dataclass(eq=False)
class BoxRanks:
    """Accuracies from ranks; a :class:`~fgdet.evaluation.resampling.Resampler` over the images.

    Args:
        image_ids: (I,).
        images: (R,) row of ``image_ids``.
        classes: (R,) in 0..K-1.
        ranks: (R,) as of :class:`Answers`.
        num_classes: K.
        groups: further scores: which classes are in a group, (K,) bool by name.
    """

    image_ids: Array
    images: Array
    classes: Array
    ranks: Array
    num_classes: int
    groups: Mapping[str, Array] = field(default_factory=dict)

    def scores(self, weights: Array | None = None) -> dict[str, float]:
        """Accuracies with image i counted ``weights[i]`` times, (I,); None: once each.

        Returns:
            ``top1`` and ``top5``, the share of boxes whose class comes first or is among the five best; ``class_top1``
            and ``class_top5``, the mean of the classes' own shares; and for each group the same, as ``base_top1``. NaN
            where there is no box.
        """
        total, *right = self.counts(weights)
        result = {}
        for group, members in {'': np.ones(self.num_classes, dtype=bool), **self.groups}.items():
            known = members & (total > 0)
            start = f'{group}_' if group else ''
            for name, count in zip(('top1', 'top5'), right, strict=True):
                result[start + name] = float(count[known].sum() / total[known].sum()) if known.any() else float('nan')
                mean = float((count[known] / total[known]).mean()) if known.any() else float('nan')
                result[f'{start}class_{name}'] = mean
        return result

    def counts(self, weights: Array | None = None) -> tuple[Array, Array, Array]:
        """Boxes of each class, those whose class comes first, those where it is among the five best; each (K,)."""
        weight = np.ones(len(self.images)) if weights is None else np.asarray(weights, dtype=np.float64)[self.images]
        total, top1, top5 = (
            np.bincount(self.classes, weight * counted, self.num_classes)
            for counted in (1, self.ranks < 1, self.ranks < NUM_BEST)
        )
        return total, top1, top5

    def class_rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """What is known of each class that has boxes: ``name``, ``group``, ``num_objects``, ``top1``, ``top5``."""
        total, top1, top5 = self.counts()
        group_of = {row: group for group, members in self.groups.items() for row in np.flatnonzero(members)}
        return [
            dict(
                name=names[row],
                group=group_of.get(row, ''),
                num_objects=int(total[row]),
                top1=top1[row] / total[row],
                top5=top5[row] / total[row],
            )
            for row in np.flatnonzero(total)
        ]
