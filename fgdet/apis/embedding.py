"""Texts, images and regions as embeddings, with what must be known of them to compare them with others.

Axes: N images, T texts, R regions of all images, D embedding.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fgdet.apis.embedding_files import Embeddings, EmbeddingTable
from fgdet.apis.read_ahead import windows
from fgdet.apis.region_encoding import RegionEncoder, Report
from fgdet.apis.region_files import RegionFile
from fgdet.models.fg_clip import FGCLIP
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_text
from fgdet.utils.fingerprint import state_fingerprint
from fgdet.utils.image_paths import locate_images
from fgdet.version import __version__

#: Texts that are tokenized at once when they are counted.
_TEXTS_AT_ONCE = 4096


def embed_texts(
    encoder: RegionEncoder,
    texts: Sequence[str],
    long: bool | None = None,
    normalize: bool = True,
    report: Report | None = None,
) -> Embeddings:
    """The table ``text``, a row for each text in their order.

    Args:
        encoder: the model.
        texts: T.
        long: as for :func:`choose_length`.
        normalize: whether rows get length 1.
        report: told after each batch.

    Raises:
        UserError: there is no text, or it is not said what becomes of those that are too long.
    """
    if not texts:
        raise UserError('embed text: no text is given')
    long, num_cut = choose_length(encoder.model, texts, long, 'texts')
    features = encoder.encode_texts(texts, long, normalize, report)
    settings = describe(encoder) | text_settings('text', encoder.model, long, num_cut)
    return Embeddings({'text': EmbeddingTable(features, texts, {})}, settings | {'normalized': json.dumps(normalize)})


def embed_images(
    encoder: RegionEncoder,
    paths: Sequence[str | Path],
    normalize: bool = True,
    report: Report | None = None,
    failures: dict[str, str] | None = None,
) -> Embeddings:
    """The table ``image``, a row for each file in their order; those in ``failures`` in the end have none.

    Args:
        encoder: the model.
        paths: N.
        normalize: whether rows get length 1.
        report: told after each image.
        failures: as for :meth:`RegionEncoder.encode_images`.

    Raises:
        UserError: a file is no image and ``failures`` is None, or none of them is one.
    """
    names = [str(path) for path in paths]
    features = stack_images(encoder, paths, report, failures)
    good = np.array([name not in (failures or {}) for name in names], dtype=bool)
    if not good.any():
        raise UserError(f'embed image: none of {len(names)} files can be read as an image')
    if not good.all():
        features, names = features[good], [name for name in names if name not in (failures or {})]
    settings = describe(encoder) | {'normalized': json.dumps(normalize)}
    return Embeddings({'image': EmbeddingTable(_of_length_one(features, normalize), names, {})}, settings)


def embed_regions(
    encoder: RegionEncoder,
    regions: RegionFile,
    folder: str | Path,
    normalize: bool = True,
    report: Report | None = None,
    failures: dict[str, str] | None = None,
) -> Embeddings:
    """The table ``region``, named by their images; ``region.boxes`` (float32) and ``region.ids`` beside it.

    Args:
        encoder: the model; its mode counts.
        regions: what :func:`~fgdet.apis.region_files.read_regions` gives.
        folder: of the images.
        normalize: whether rows get length 1; one of a box without area stays zero.
        report: told after each image.
        failures: as for :meth:`RegionEncoder.encode`; the regions of such a file are left out.

    Raises:
        UserError: an image is missing, or is none and ``failures`` is None; or no region is left.
    """
    paths = locate_images(folder, regions.images)
    counts = [len(boxes) for boxes in regions.boxes]
    features = np.zeros((sum(counts), encoder.dim), np.float32)
    begin = 0
    for rows in encoder.encode(paths, regions.boxes, report, failures):
        features[begin : begin + len(rows)] = rows
        begin += len(rows)
    owners = np.repeat(np.arange(len(paths)), counts)
    good = np.array([str(path) not in (failures or {}) for path in paths], dtype=bool)[owners]
    if not good.any():
        raise UserError('embed regions: there is no region whose image can be read')
    columns = {'boxes': np.concatenate(regions.boxes)[good].astype(np.float32), 'ids': regions.ids[good]}
    names = [regions.images[owner] for owner in owners[good]]
    settings = describe(encoder) | {'normalized': json.dumps(normalize), 'mode': encoder.mode}
    return Embeddings({'region': EmbeddingTable(_of_length_one(features[good], normalize), names, columns)}, settings)


def stack_images(
    encoder: RegionEncoder,
    paths: Sequence[str | Path],
    report: Report | None = None,
    failures: dict[str, str] | None = None,
) -> np.ndarray:
    """(N, D) float32 features of files as the model gives them, zeros for those that land in ``failures``."""
    features = np.zeros((len(paths), encoder.dim), np.float32)
    for row, feature in enumerate(encoder.encode_images(paths, report, failures)):
        features[row] = feature
    features[[str(path) in (failures or {}) for path in paths]] = 0
    return features


def choose_length(model: FGCLIP, texts: Sequence[str], long: bool | None, what: str) -> tuple[bool, int]:
    """Which context texts are read with, and how many are cut at its end.

    Args:
        model: tokenizer and context lengths.
        texts: any number.
        long: True for the long context, False for the short one, None for the short one where all texts fit.
        what: how an error calls the texts.

    Raises:
        UserError: ``long`` is None and some do not fit.
    """
    wanted = model.preprocessing
    length = wanted.long_context_length if long else wanted.context_length
    end, num_cut = model.tokenizer.end_id, 0
    for some in windows(texts, _TEXTS_AT_ONCE):
        num_cut += int((model.tokenizer(some, length + 1)[:, length - 1] != end).sum())
    if num_cut and long is None:
        raise UserError(
            f'{num_cut} of {len(texts)} {what} have more than {length} tokens: give --long for the context of '
            f'{wanted.long_context_length}, or --short to cut them'
        )
    return bool(long), num_cut


def describe(encoder: RegionEncoder) -> dict[str, str]:
    """What tells whether embeddings can be compared with others: weights, their content, the side of the images."""
    return {
        'checkpoint': encoder.source,
        'fingerprint': state_fingerprint(encoder.model),
        'image_size': str(encoder.preprocessing.image_size),
        'image_size_of_weights': str(encoder.model.preprocessing.image_size),
        'fgdet': __version__,
    }


def text_settings(table: str, model: FGCLIP, long: bool, num_cut: int) -> dict[str, str]:
    """How a table of texts was read: which context, of how many tokens, and how many texts were cut."""
    wanted = model.preprocessing
    tokens = wanted.long_context_length if long else wanted.context_length
    return {f'{table}.long': json.dumps(long), f'{table}.tokens': str(tokens), f'{table}.num_cut': str(num_cut)}


def read_lines(path: str | Path) -> list[str]:
    """Texts of a file, one a line; empty lines are left out.

    Raises:
        UserError: no such file, not UTF-8, or no text in it.
    """
    lines = [line.strip() for line in read_text(path, 'text file').splitlines() if line.strip()]
    if not lines:
        raise UserError(f'text file {path}: there is no text in it')
    return lines


def _of_length_one(features: np.ndarray, normalize: bool) -> np.ndarray:
    if not normalize:
        return features
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.float32(1e-12))
