"""A detector run under the names of a vocabulary and under their synonyms; each image is encoded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.detection import Detector
from fgdet.apis.image_reading import read_image
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.apis.read_ahead import read_ahead
from fgdet.apis.region_encoding import Report
from fgdet.evaluation.functional.coco_detection import category_ids_of
from fgdet.evaluation.result_columns import ResultColumns
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.run_lengths import RunLengths
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.image_paths import locate_images, names_of_images


def synonym_variants(vocabulary: Vocabulary, variant: int | None = None) -> list[dict[str, str]]:
    """Return V choices of a synonym for each name that has any.

    V is the largest number of synonyms that a name has; the v-th choice takes a name's v-th synonym, from the first on
    again where it has fewer. A synonym that is a name of the vocabulary, or that another class has taken, is passed
    over; a name of which none is left keeps its own word.

    Args:
        vocabulary: names and their synonyms.
        variant: 1..V, the only choice that is wanted; None: all.

    Raises:
        UserError: no name has a synonym that could be taken, or there is no such variant.
    """
    taken = set(vocabulary.names)
    usable = {name: [word for word in words if word not in taken] for name, words in vocabulary.synonyms.items()}
    usable = {name: words for name, words in usable.items() if words}
    if not usable:
        raise UserError('vocabulary: no name has a synonym that is no other name; add {"synonyms": {name: [...]}}')
    number = max(map(len, usable.values()))
    if variant is not None and not 1 <= variant <= number:
        raise UserError(f'variant: expected 1..{number}, as many as a name has synonyms, got {variant}')
    variants = []
    for index in range(number) if variant is None else [variant - 1]:
        chosen: dict[str, str] = {}
        for name, words in usable.items():
            turned = [words[(index + step) % len(words)] for step in range(len(words))]
            free = [word for word in turned if word not in chosen.values()]
            if free:
                chosen[name] = free[0]
        variants.append(chosen)
    return variants


def detect_under_words(
    annotations: dict[str, Any],
    images: str | Path,
    checkpoint: str | Path,
    config: str | Path | None,
    vocabulary: Vocabulary,
    variants: Sequence[Mapping[str, str]],
    device: str = 'auto',
    report: Report | None = None,
) -> list[ResultTable]:
    """Return what is found under the names, and under each variant's words, by the config's test settings.

    The names compete with each other alone: trained names of the same meaning would stand against a synonym. A
    synonym of a base name is a novel name to the detector.

    Args:
        annotations: a COCO-form dict.
        images: folder of its images.
        checkpoint: the detector's ``.pth``.
        config: None takes the one that is stored in the checkpoint.
        vocabulary: the K names.
        variants: other words for some of them.
        device: as of torch.
        report: told after each image.

    Raises:
        UserError: a file is missing, or no detector.
    """
    category_ids = np.array(category_ids_of(vocabulary.names, annotations['categories']), dtype=np.int64)
    files = locate_images(images, names_of_images(annotations['images']))
    detector = Detector.from_pretrained(config, checkpoint, device, InferenceSettings(compete=False))
    vocabularies = [vocabulary.renamed(words) for words in ({}, *variants)]
    columns = [ResultColumns() for _ in vocabularies]
    pictures = read_ahead(lambda path: read_image(path).pixels, files, size_of=lambda pixels: pixels.nbytes)
    for done, (entry, pixels) in enumerate(zip(annotations['images'], pictures, strict=True), 1):
        for part, found in zip(columns, detector.detect_vocabularies(pixels, vocabularies), strict=True):
            entries = found.to_coco(entry['id'], category_ids.tolist())
            table = ResultTable.from_entries(entries)
            masks = RunLengths.from_dicts(table.segmentations) if table.segmentations else None
            part.add(table.image_ids, table.category_ids, table.boxes, table.scores, masks)
        if report:
            report(done, len(files))
    return [part.table() for part in columns]
