"""FG-OVD's detection score: a detector run for each caption among its negatives, its towers once for each image."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fgdet.apis.detection import Detector
from fgdet.apis.fg_ovd_predictions import FGOVDPrediction
from fgdet.apis.image_reading import load_image
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.region_encoding import Report
from fgdet.datasets.fg_ovd import FGOVDSubset
from fgdet.evaluation.functional.fg_ovd import (
    MAX_DETECTIONS,
    MAX_OVERLAP,
    CaptionScores,
    evaluate_fg_ovd_detection,
    vocabularies_of,
)
from fgdet.evaluation.result_table import ResultTable
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError

#: Captions are sentences: the tower reads them as they stand.
TEMPLATES = ('{}',)
#: Captions that are encoded together, before the first image.
CAPTIONS_AT_ONCE = 2048


class _Run(NamedTuple):
    """A caption to be looked for among its negatives in an image."""

    subset: str
    image_id: int
    category_id: int
    label_ids: list[int]  # category of each name of the vocabulary
    vocabulary: Vocabulary


def load_fg_ovd_detector(checkpoint: str | Path, device: str = 'auto') -> Detector:
    """A detector set up for the protocol: boxes of any score, of which a better one of any caption takes the place.

    The captions compete with each other and with the detector's own background, not with trained names.
    """
    settings = InferenceSettings(
        nms='agnostic', nms_iou=MAX_OVERLAP, max_per_image=MAX_DETECTIONS, score_thr=0.0, compete=False
    )
    detector = Detector.from_pretrained(None, checkpoint, device, settings)
    detector.model.class_embeddings.cache_dir = None  # captions are of no use to anyone else
    if getattr(detector.model, 'with_mask', False):
        detector.model.roi_head.mask_head = None  # boxes alone are scored
    return detector


def predict_detections(
    subsets: Sequence[FGOVDSubset],
    detector: Detector,
    files: Mapping[str, Path],
    num_negatives: int,
    report: Report | None = None,
) -> list[FGOVDPrediction]:
    """Detections of every caption with its negatives; an image is encoded once, for all captions of all subsets.

    Args:
        subsets: the captions.
        detector: of :func:`load_fg_ovd_detector`.
        files: of each ``file_name``; captions of other images are left out.
        num_negatives: captions with fewer are left out.
        report: told after each image.
    """
    by_image: dict[str, list[_Run]] = {}
    for subset in subsets:
        file_of = {line.image_id: line.file_name for line in subset.lines}
        for run in _runs(subset, num_negatives):
            if file_of[run.image_id] in files:
                by_image.setdefault(file_of[run.image_id], []).append(run)
    names = (name for runs in by_image.values() for run in runs for name in run.vocabulary.names)
    _encode(detector, sorted({name.lower(): name for name in names}.values()))
    predictions = []
    for done, (name, runs) in enumerate(by_image.items(), 1):
        found = detector.detect_vocabularies(load_image(files[name]), [run.vocabulary for run in runs])
        for run, detections in zip(runs, found, strict=True):
            for entry in detections.to_coco(run.image_id, run.label_ids):
                predictions.append(FGOVDPrediction(**entry, subset=run.subset, vocabulary=run.category_id))
        if report:
            report(done, len(by_image))
    return predictions


def caption_scores(
    subsets: Sequence[FGOVDSubset],
    predictions: Sequence[FGOVDPrediction],
    num_negatives: int,
    skip_missing: bool = False,
    where: str = 'predictions',
) -> dict[str, CaptionScores]:
    """The average precisions of each subset's captions; predictions of other subsets are not looked at.

    Raises:
        UserError: a prediction is of a run that there is not, or a subset has no caption with so many negatives.
    """
    scores = {}
    for subset in subsets:
        mine = [entry for entry in predictions if entry.subset == subset.name]
        table = ResultTable(
            np.array([entry.image_id for entry in mine], dtype=np.int64),
            np.array([entry.category_id for entry in mine], dtype=np.int64),
            np.array([entry.bbox for entry in mine], dtype=np.float64).reshape(-1, 4),
            np.array([entry.score for entry in mine], dtype=np.float64),
        )
        vocabularies = np.array([entry.vocabulary for entry in mine], dtype=np.int64)
        try:
            scores[subset.name] = evaluate_fg_ovd_detection(
                subset.to_coco(), table, vocabularies, num_negatives, skip_missing
            )
        except UserError as error:
            raise UserError(f'{where}, entries of {subset.name}: {error}') from error
    return scores


def _runs(subset: FGOVDSubset, num_negatives: int) -> Iterator[_Run]:
    """The runs of a subset; a negative that reads as a caption before it is left out, as both are one class."""
    coco = subset.to_coco()
    names = {each['id']: each['name'] for each in coco['categories']}
    for (image_id, category_id), captions in vocabularies_of(coco, num_negatives).items():
        by_text: dict[str, int] = {}
        for number in captions:
            by_text.setdefault(_as_read(names[number]), number)
        label_ids = list(by_text.values())
        vocabulary = Vocabulary([names[number] for number in label_ids], templates=TEMPLATES, negatives=())
        yield _Run(subset.name, image_id, category_id, label_ids, vocabulary)


def _as_read(caption: str) -> str:
    """A caption as CLIP and a vocabulary take it: in lower case, without white space around it."""
    return unicodedata.normalize('NFC', caption.strip()).lower()


def _encode(detector: Detector, names: Sequence[str]) -> None:
    """Have the embeddings of all captions made, in large batches of neighbours in the alphabet."""
    for start in range(0, len(names), CAPTIONS_AT_ONCE):
        some = names[start : start + CAPTIONS_AT_ONCE]
        detector.model.class_embeddings(Vocabulary(some, templates=TEMPLATES, negatives=()))
