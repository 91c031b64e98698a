"""The scores of many settings from one recording.

Axes: I images, M detections of one image at most, K classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fgdet.apis.sweep_records import Recording
from fgdet.datasets.ov_coco import OrderedCOCO
from fgdet.evaluation.functional.coco_detection import category_ids_of, mean_of_known
from fgdet.evaluation.functional.matched_precision import (
    NOT_COUNTED,
    RIGHT,
    ObjectsOfImage,
    RankedDetections,
    count_objects,
    objects_by_image,
)
from fgdet.evaluation.results import load_annotations
from fgdet.models.post_processing.recorded_scores import choose_again, classes_are_apart
from fgdet.utils.checks import UserError


class Setting(NamedTuple):
    """Numbers of a score ensemble."""

    alpha: float  # weight of the frozen tower for base classes, 0..1
    beta: float  # the same for novel ones
    temperature: float  # of its softmax, above 0


class SweepData(NamedTuple):
    """What is to be found in which image."""

    image_ids: list[int]
    images: list[ObjectsOfImage]
    num_objects: np.ndarray  # (K,)
    groups: dict[str, np.ndarray]  # (K,) bool: base, novel, all


class _Group(NamedTuple):
    """Some classes with their weights: all that their detections depend on."""

    kind: str  # base, novel or all
    alpha: float | None
    beta: float | None


class _Found(NamedTuple):
    """Detections of a group."""

    scores: np.ndarray  # (I, M) float32 from the best on, then -inf
    ranked: RankedDetections


def read_sweep_data(
    annotation_file: str | Path, dataset: Any, recording: Recording, annotated_images_only: bool = False
) -> SweepData:
    """The objects in the recorded images.

    Base and novel classes are those of the data set's vocabulary; without one, those that were trained and the others.

    Args:
        annotation_file: COCO-form or LVIS.
        dataset: whose ``metainfo`` has the names that labels index.
        recording: of it.
        annotated_images_only: leave out images without an object of these classes.

    Raises:
        UserError: the file is missing or malformed, or lacks a name or an image.
    """
    annotations = load_annotations(annotation_file)
    prompt_name = getattr(dataset, 'INDEX', OrderedCOCO).prompt_name  # LVIS's file writes names otherwise
    names = [prompt_name(name) for name in dataset.metainfo['classes']]
    categories = [each | {'name': prompt_name(each['name'])} for each in annotations['categories']]
    by_image = objects_by_image(annotations, category_ids_of(names, categories))
    unknown = [number for number in recording.image_ids if number not in by_image]
    if unknown:
        raise UserError(f'annotation file {annotation_file}: it has no image {unknown[0]}, which val_dataloader has')
    kept = sorted(n for n in recording.image_ids if not annotated_images_only or len(by_image[n].labels))
    images = [by_image[number] for number in kept]
    vocabulary, trained = getattr(dataset, 'vocabulary', None), recording.is_trained[: len(names)]
    base, novel = (vocabulary.base_mask, vocabulary.novel_mask) if vocabulary else (trained, ~trained)
    groups = {'base': base, 'novel': novel, 'all': np.ones(len(names), dtype=bool)}
    return SweepData(kept, images, count_objects(images, len(names)), groups)


def score_settings(
    recording: Recording, data: SweepData, settings: Sequence[Setting], report: Callable[[float], None]
) -> list[dict[str, float]]:
    """Base, novel and all AP50 of each setting, and the harmonic mean of the first two.

    Args:
        recording: the scores.
        data: the objects.
        settings: the settings, whose temperatures were recorded.
        report: is told what share is done.
    """
    scores: dict[Setting, dict[str, float]] = {}
    for temperature in dict.fromkeys(setting.temperature for setting in settings):
        mine = [setting for setting in settings if setting.temperature == temperature]
        start, share = len(scores) / len(settings), len(mine) / len(settings)
        groups = list(dict.fromkeys(group for setting in mine for group in _groups(recording, setting)))
        found = _find(recording, data, temperature, groups, lambda done: report(start + share * done))  # noqa: B023
        for setting, values in zip(mine, _precisions(recording, data, mine, found), strict=True):
            scores[setting] = setting._asdict() | _summary(values, data)
    report(1.0)
    return [scores[setting] for setting in settings]


def outcomes_of(recording: Recording, data: SweepData, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Score and rightness (overlap of 0.5) of every detection that counts, (N,) each."""
    columns: list[list[np.ndarray]] = [[], []]
    index = recording.temperatures.index(setting.temperature)
    for image_id, objects in zip(data.image_ids, data.images, strict=True):
        recorded = recording.load(image_id)
        boxes, scores, labels = choose_again(
            recorded,
            recorded.frozen[index],
            recording.is_trained,
            recording.num_negatives,
            recording.test_cfg,
            setting.alpha,
            setting.beta,
        )
        outcomes = objects.outcomes(boxes, labels)
        columns[0].append(scores[outcomes != NOT_COUNTED])
        columns[1].append(outcomes[outcomes != NOT_COUNTED] == RIGHT)
    scores, is_right = (np.concatenate(column) for column in columns)
    return scores, is_right


def _groups(recording: Recording, setting: Setting) -> list[_Group]:
    """Classes that touch no others but in the limit of an image are looked at apart: A + B groups, not A * B."""
    if classes_are_apart(recording.num_negatives, recording.test_cfg):
        return [_Group('base', setting.alpha, None), _Group('novel', None, setting.beta)]
    return [_Group('all', setting.alpha, setting.beta)]


def _find(
    recording: Recording,
    data: SweepData,
    temperature: float,
    groups: Sequence[_Group],
    report: Callable[[float], None],
) -> dict[_Group, _Found]:
    limit, count = recording.test_cfg['max_per_img'], len(data.image_ids)
    index = recording.temperatures.index(temperature)
    columns = {'base': recording.is_trained, 'novel': ~recording.is_trained, 'all': None}
    scores = {group: np.full((count, limit), -np.inf, dtype=np.float32) for group in groups}
    labels = {group: np.zeros((count, limit), dtype=np.int32) for group in groups}
    outcomes = {group: np.full((count, limit), NOT_COUNTED, dtype=np.int8) for group in groups}
    for row, (image_id, objects) in enumerate(zip(data.image_ids, data.images, strict=True)):
        recorded = recording.load(image_id)
        for group in groups:
            boxes, found_scores, found_labels = choose_again(
                recorded,
                recorded.frozen[index],
                recording.is_trained,
                recording.num_negatives,
                recording.test_cfg,
                group.alpha or 0.0,
                group.beta or 0.0,
                columns[group.kind],
            )
            scores[group][row, : len(boxes)] = found_scores
            labels[group][row, : len(boxes)] = found_labels
            outcomes[group][row, : len(boxes)] = objects.outcomes(boxes, found_labels)
        report((row + 1) / count)
    return {
        group: _Found(
            scores[group],
            RankedDetections(labels[group].ravel(), scores[group].ravel(), outcomes[group].ravel()),
        )
        for group in groups
    }


def _precisions(
    recording: Recording, data: SweepData, settings: Sequence[Setting], found: Mapping[_Group, _Found]
) -> Iterator[np.ndarray]:
    """Yield the AP50 of each class, (K,), for each setting."""
    limit, num_classes = recording.test_cfg['max_per_img'], len(data.num_objects)
    trained = recording.is_trained[:num_classes]
    masks = {'base': trained, 'novel': ~trained, 'all': np.ones_like(trained)}
    whole: dict[_Group, np.ndarray] = {}
    for setting in settings:
        groups = _groups(recording, setting)
        scores = np.concatenate([found[group].scores for group in groups], axis=1)
        worst = -np.partition(-scores, limit - 1, axis=1)[:, limit - 1 : limit]  # (I, 1) that an image has room for
        values: np.ndarray = np.full(num_classes, np.nan)
        for group in groups:
            kept = found[group].scores >= worst
            if not kept.all():
                precisions = found[group].ranked.average_precisions(data.num_objects, kept.ravel())
            else:
                if group not in whole:
                    whole[group] = found[group].ranked.average_precisions(data.num_objects)
                precisions = whole[group]
            values = np.where(masks[group.kind], precisions, values)
        yield values


def _summary(precisions: np.ndarray, data: SweepData) -> dict[str, float]:
    """Means over the groups; without novel or without base classes there is no harmonic mean."""
    means = {f'{name}_ap50': mean_of_known(precisions[mask]) for name, mask in data.groups.items()}
    base, novel = means['base_ap50'], means['novel_ap50']
    return means | {'harmonic': 2 * base * novel / (base + novel) if base + novel != 0 else 0.0}
