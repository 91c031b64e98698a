"""Boxes for phrases, from given annotations or from a detector that takes text.

Both are stages. What becomes of each phrase, or of each box that a detector gave, is counted in ``provenance``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shapely.geometry import Polygon, box
from torchvision.ops import nms

from fgdet.data_engine.image_record import ImageRecord, Phrase, Region
from fgdet.data_engine.noun_matching import NounMatcher, noun_of
from fgdet.data_engine.phrase_place import Candidate, NotChosen, choose
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.region_geometry import (
    RegionRules,
    box_of_annotation,
    clipped,
    containment,
    filled_share,
    union_box,
)
from fgdet.data_engine.stage import Failure
from fgdet.data_engine.text_detectors import load_text_detector
from fgdet.structures.region_text_sample import BadRecord

#: What a detector gives for an image and N texts: boxes (M, 4) xyxy in pixels of the image, scores (M,) in 0..1, and
#: for each box the place of its text in the list, (M,).
Found = tuple[np.ndarray, np.ndarray, np.ndarray]
#: Called with an image (H, W, 3) uint8 RGB and the texts to look for.
TextDetector = Callable[[np.ndarray, Sequence[str]], Found]


class AnnotationGrounding:
    """Boxes from annotations: a phrase gets the box of the only thing that it can mean.

    A phrase fits the annotations whose category its noun may name, see
    :class:`~fgdet.data_engine.noun_matching.NounMatcher`. Where several fit, its place in the picture and its size
    decide, see :func:`~fgdet.data_engine.phrase_place.choose`; where they do not, the phrase is left out as ambiguous,
    as a box chosen by chance would often be a wrong one. Colours and other looks decide nothing: no pixel is read. A
    phrase of many things gets one box around all of them. An annotation with a ``span`` (its first character and its
    end in the caption) belongs to the phrase that begins there. Where two phrases get the same box, that one stays,
    else the one with more attributes, else the earlier one.

    Args:
        min_score: boxes that say how sure they are stay above it.
        smallest_side: of a box, in pixels.
        whole_image: share of the image from which a box is left out.
        least_visible: share of a thing that must lie in the image; with a ``segmentation`` the polygon's.
        least_filled: share of the box around many things that they must fill together; a box around cups at the four
            ends of a table shows the table.
        plural: ``'union'``, or ``'drop'`` to leave out phrases of many things.
        synonyms: by category, further nouns for it.
        batch_size: has no effect on the result.

    Raises:
        ValueError: ``plural`` is another word.
    """

    name = 'grounding'

    def __init__(
        self,
        min_score: float = 0.4,
        smallest_side: float = 8.0,
        whole_image: float = 0.9,
        least_visible: float = 0.5,
        least_filled: float = 0.3,
        plural: str = 'union',
        synonyms: Mapping[str, Sequence[str]] | None = None,
        batch_size: int = 256,
    ) -> None:
        if plural not in ('union', 'drop'):
            raise ValueError(f"plural: expected 'union' or 'drop', got {plural!r}")
        self.rules = RegionRules(smallest_side, whole_image, least_visible)
        self.min_score, self.plural, self.batch_size = min_score, plural, batch_size
        self.least_filled = least_filled
        self.matcher = NounMatcher(synonyms)

    def settings(self) -> dict[str, Any]:
        """The thresholds, the further synonyms and the version of the tables."""
        return dict(
            source='annotations',
            min_score=self.min_score,
            **vars(self.rules),
            least_filled=self.least_filled,
            plural=self.plural,
            synonyms=self.matcher.synonyms,
            tables='version 1',
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Ground the phrases of each record; one without a size, or with a malformed annotation, is a Failure."""
        return [self._grounded(record) for record in records]

    def _grounded(self, record: ImageRecord) -> ImageRecord | Failure:
        if record.dropped is not None:
            return record
        if not record.width or not record.height:
            return Failure(record.key, f'image {record.path}: its size is not known; run the image filter before')
        try:
            things = [_thing(annotation, record) for annotation in record.annotations]
        except (KeyError, TypeError, ValueError) as error:
            return Failure(record.key, f'image {record.path}: malformed annotation ({type(error).__name__}: {error})')
        counts: Counter[str] = Counter()
        best: dict[tuple[int, ...], tuple[tuple[bool, int], int]] = {}
        for number, phrase in enumerate(record.phrases):
            told = self._told(phrase, record)
            try:
                chosen = self._checked(told or self._choose(phrase, things, record), things, record)
            except NotChosen as reason:
                counts[str(reason)] += 1
                continue
            rank = bool(told), len(phrase.attributes)
            if chosen in best:
                counts['same_box'] += 1
            if chosen not in best or best[chosen][0] < rank:
                best[chosen] = rank, number
        regions = [
            Region(
                union_box([things[i].box for i in chosen]), min(things[i].score for i in chosen), record.phrases[number]
            )
            for chosen, (_, number) in sorted(best.items(), key=lambda entry: entry[1][1])
        ]
        note = dict(source='annotations', phrases=len(record.phrases), regions=len(regions), left_out=dict(counts))
        return replace(record, regions=regions, provenance={**record.provenance, self.name: note})

    def _told(self, phrase: Phrase, record: ImageRecord) -> tuple[int, ...]:
        """The annotation whose span in the caption begins with this phrase, perhaps after an article."""
        for number, annotation in enumerate(record.annotations):
            start, end = annotation.get('span') or (-1, -1)
            if 0 <= start <= phrase.start < end and self.matcher.fits(noun_of(phrase), annotation['name']):
                before = record.caption[start : phrase.start].strip().lower()
                if before in ('', 'a', 'an', 'the', 'another'):
                    return (number,)
        return ()

    def _choose(self, phrase: Phrase, things: Sequence[Candidate], record: ImageRecord) -> tuple[int, ...]:
        """Numbers of the annotations that a phrase means."""
        if phrase.number != 'one' and self.plural == 'drop':
            raise NotChosen('plural')
        noun = noun_of(phrase)
        fitting = [i for i, thing in enumerate(things) if self.matcher.fits(noun, thing.name)]
        places = choose(phrase, [things[i] for i in fitting], (record.width, record.height))
        return tuple(fitting[place] for place in places)

    def _checked(self, chosen: tuple[int, ...], things: Sequence[Candidate], record: ImageRecord) -> tuple[int, ...]:
        """What was chosen, if its box is fit for a region."""
        if any(things[i].score <= self.min_score for i in chosen):
            raise NotChosen('low_confidence')
        if any(things[i].visible < self.rules.least_visible for i in chosen):
            raise NotChosen('cut_off')
        if len(chosen) > 1 and filled_share([things[i].box for i in chosen]) < self.least_filled:
            raise NotChosen('scattered')
        broken = self.rules.broken_by(union_box([things[i].box for i in chosen]), record.width, record.height)
        if broken:
            raise NotChosen(broken)
        return chosen


def _thing(annotation: Mapping[str, Any], record: ImageRecord) -> Candidate:
    xyxy, visible = box_of_annotation(dict(annotation), record.width, record.height)
    is_crowd = bool(annotation.get('iscrowd'))
    return Candidate(str(annotation['name']), xyxy, float(annotation.get('score', 1.0)), visible, is_crowd)


class DetectorGrounding:
    """Boxes from a detector that is given the phrases of an image as its classes.

    FG-CLIP (arXiv 2505.05071, section 3.2) grounds the referring expressions of its captions with a pre-trained
    open-world detector, suppresses overlapping boxes and keeps those with a confidence above 0.4.

    Args:
        images: folder of the images.
        detector: called with an image (H, W, 3) uint8 RGB and texts; returns boxes (M, 4), scores (M,) and for each the
            number of its text (M,), not suppressed. None loads the one of ``config`` and ``checkpoint``.
        config: of a detector of mmdet that takes text (Grounding DINO, GLIP), or of fgdet's own.
        checkpoint: its weights.
        device: as for torch.
        min_score: boxes stay above it.
        nms_iou: of boxes that overlap more, the surest stays; among those of one phrase.
        most_contained: a box of which a larger share lies in a surer one of its phrase goes too, such as a head in its
            dog's; None: it may stay.
        across_phrases: suppress among the boxes of all phrases: one thing gets one phrase.
        boxes_per_phrase: most boxes of a phrase of one thing, the surest first; None: all. A phrase of many keeps all.
        smallest_side: of a box, in pixels.
        whole_image: share of the image from which a box is left out.
        texts_at_once: phrases that the detector is given together; what it takes at most depends on it.
        batch_size: has no effect on the result.

    Raises:
        ValueError: there is neither a detector nor a config and a checkpoint, or both.
    """

    name = 'grounding'
    #: One process holds the detector.
    in_process = True

    def __init__(
        self,
        images: str | Path,
        detector: TextDetector | None = None,
        config: str | Path | None = None,
        checkpoint: str | Path | None = None,
        device: str = 'cpu',
        min_score: float = 0.4,
        nms_iou: float = 0.5,
        most_contained: float | None = None,
        across_phrases: bool = False,
        boxes_per_phrase: int | None = 1,
        smallest_side: float = 8.0,
        whole_image: float = 0.9,
        texts_at_once: int = 20,
        batch_size: int = 8,
    ) -> None:
        if (detector is None) != (config is not None and checkpoint is not None):
            raise ValueError('detector: give a callable, or a config and a checkpoint of a detector that takes text')
        self.images, self.detector, self.config, self.checkpoint = images, detector, config, checkpoint
        self.device, self.min_score, self.nms_iou, self.across_phrases = device, min_score, nms_iou, across_phrases
        self.boxes_per_phrase, self.texts_at_once, self.batch_size = boxes_per_phrase, texts_at_once, batch_size
        self.most_contained = most_contained
        self.rules = RegionRules(smallest_side, whole_image, 0.0)

    def settings(self) -> dict[str, Any]:
        """The detector's files and the thresholds."""
        return dict(
            source='detector',
            config=Path(self.config).name if self.config else getattr(self.detector, '__name__', 'a callable'),
            checkpoint=Path(self.checkpoint).name if self.checkpoint else None,
            min_score=self.min_score,
            nms_iou=self.nms_iou,
            most_contained=self.most_contained,
            across_phrases=self.across_phrases,
            boxes_per_phrase=self.boxes_per_phrase,
            smallest_side=self.rules.smallest_side,
            whole_image=self.rules.whole_image,
            texts_at_once=self.texts_at_once,
        )

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Ground the phrases of each record; a file that cannot be read is a Failure."""
        return [self._grounded(record) for record in records]

    def _grounded(self, record: ImageRecord) -> ImageRecord | Failure:
        if record.dropped is not None:
            return record
        try:
            picture = read_picture(self.images, record)
        except BadRecord as error:
            return Failure(record.key, str(error))
        record = replace(record, width=picture.width, height=picture.height)
        found = self._detect(np.asarray(picture.image), list(dict.fromkeys(p.text for p in record.phrases)))
        regions, counts = self._kept(record, found)
        note = dict(source='detector', phrases=len(record.phrases), regions=len(regions), left_out=dict(counts))
        return replace(record, regions=regions, provenance={**record.provenance, self.name: note})

    def _detect(self, image: np.ndarray, texts: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Boxes and scores of each text."""
        detect = self.detector or load_text_detector(str(self.config), str(self.checkpoint), self.device)
        found = {}
        for start in range(0, len(texts), self.texts_at_once):
            some = texts[start : start + self.texts_at_once]
            boxes, scores, labels = detect(image, some)
            for number, text in enumerate(some):
                found[text] = boxes[labels == number], scores[labels == number]
        return found

    def _kept(
        self, record: ImageRecord, found: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> tuple[list[Region], Counter[str]]:
        """Regions by the order of their phrases, the surest first, and how many boxes each rule left out."""
        counts: Counter[str] = Counter()
        window = (0.0, 0.0, float(record.width), float(record.height))
        regions: list[Region] = []
        first: dict[str, Phrase] = {}
        for phrase in record.phrases:
            first.setdefault(phrase.text, phrase)
        for text, phrase in first.items():
            good: list[Region] = []
            for xyxy, score in zip(*found[text], strict=True):
                inside = clipped(xyxy, window)
                broken = self.rules.broken_by(inside, record.width, record.height)
                reason = 'low_confidence' if score <= self.min_score else broken
                if reason:
                    counts[reason] += 1
                else:
                    good.append(Region(inside, round(float(score), 4), phrase))
            kept = suppressed(good, self.nms_iou)
            counts['suppressed'] += len(good) - len(kept)
            apart = kept if self.most_contained is None else not_contained(kept, self.most_contained)
            counts['contained'] += len(kept) - len(apart)
            kept = apart
            most = self.boxes_per_phrase if phrase.number == 'one' else None
            counts['more_than_one'] += len(kept[most:]) if most else 0
            regions += kept[:most]
        if self.across_phrases:
            kept = suppressed(regions, self.nms_iou)
            counts['suppressed'] += len(regions) - len(kept)
            regions = [region for region in regions if any(region is each for each in kept)]
        return regions, +counts


def suppressed(regions: Sequence[Region], iou: float) -> list[Region]:
    """Regions without those that overlap a surer one by more than ``iou``; the surest first, then the earlier."""
    if not regions:
        return []
    order = sorted(regions, key=lambda region: -region.score)
    boxes = torch.tensor([region.box for region in order], dtype=torch.float64)
    falling = torch.arange(len(order), 0, -1, dtype=torch.float64)  # equal scores keep their order
    return [order[i] for i in nms(boxes, falling, iou).tolist()]


def not_contained(regions: Sequence[Region], most: float) -> list[Region]:
    """Regions, the surest first, without those of which more than ``most`` of the area lies in one that stays."""
    kept: list[tuple[Region, Polygon]] = []
    for region in regions:
        shape = box(*region.box)
        if all(containment(shape, other) <= most for _, other in kept):
            kept.append((region, shape))
    return [region for region, _ in kept]
