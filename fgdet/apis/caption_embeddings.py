"""Images and their captions as vectors: encoded, or found in files of embeddings.

Axes: B images, T captions, D embedding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fgdet.apis.embedding import choose_length, describe, stack_images, text_settings
from fgdet.apis.embedding_files import Embeddings, EmbeddingTable, read_embeddings
from fgdet.apis.region_encoding import RegionEncoder, Report
from fgdet.datasets.caption_files import CaptionedImages
from fgdet.utils.checks import UserError
from fgdet.utils.image_paths import locate_images

#: Captions of records: the set's name, and whether it is read with the long context.
LENGTHS = {'long': True, 'short': False}


@dataclass
class CaptionEmbeddings:
    """What retrieval is scored on.

    Args:
        images: (B, D), zeros where a file could not be read.
        image_names: B.
        texts: by the set's name: (T, D), the captions, and the image of each in ``columns['images']``.
        settings: as in a file.
    """

    images: np.ndarray
    image_names: list[str]
    texts: dict[str, EmbeddingTable]
    settings: dict[str, str] = field(default_factory=dict)

    def to_file(self) -> Embeddings:
        """All of it, so that it can be scored again without anything else."""
        return Embeddings({'image': EmbeddingTable(self.images, self.image_names, {}), **self.texts}, self.settings)


def encode_captions(
    encoder: RegionEncoder,
    captioned: CaptionedImages,
    folder: str | Path,
    long: bool | None,
    report_images: Report | None = None,
    report_texts: Report | None = None,
) -> tuple[CaptionEmbeddings, dict[str, str]]:
    """Encode images and captions.

    Args:
        encoder: the model.
        captioned: of a file; of records with long and short captions each set is read with its own context.
        folder: of the images.
        long: the context of captions, as for :func:`choose_length`; of records only that set is taken.
        report_images: told after each image.
        report_texts: told after each batch of a set's captions.

    Returns:
        the embeddings, and why files could not be read, by path.

    Raises:
        UserError: an image is missing, or captions are too long and it is not said what to do.
    """
    paths = locate_images(folder, captioned.images)
    sets = chosen_sets(captioned, long)
    lengths = {  # looked at before hours of work
        name: choose_length(encoder.model, texts.names, LENGTHS.get(name, long), 'captions')
        for name, texts in sets.items()
    }
    failures: dict[str, str] = {}
    images = stack_images(encoder, paths, report_images, failures)
    settings = describe(encoder)
    for name, (is_long, num_cut) in lengths.items():
        features = encoder.encode_texts(sets[name].names, is_long, report=report_texts)
        sets[name] = sets[name]._replace(features=features)
        settings |= text_settings(name, encoder.model, is_long, num_cut)
    return CaptionEmbeddings(images, captioned.images, sets, settings), failures


def chosen_sets(captioned: CaptionedImages, long: bool | None) -> dict[str, EmbeddingTable]:
    """The sets of captions without features; of records only the long or short ones where that is said."""
    tables = {}
    for name, captions in captioned.sets.items():
        if long is None or name not in LENGTHS or LENGTHS[name] == long:
            owners = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions])
            flat = [text for texts in captions for text in texts]
            tables[name] = EmbeddingTable(np.zeros((0, 0), np.float32), flat, {'images': owners})
    return tables


def read_caption_embeddings(
    paths: Sequence[str | Path], captioned: CaptionedImages | None = None, long: bool | None = None
) -> CaptionEmbeddings:
    """Find images and captions in files.

    Args:
        paths: one of ``--save-pred``, or files of ``fgdet embed image`` and ``fgdet embed text``.
        captioned: which captions belong to which image, found by their names and wording; None where a file says so.
        long: take the captions that were read with the long context, or those with the short one; None takes all.

    Raises:
        UserError: a file is missing or malformed, they come from different weights, or something is not in them.
    """
    files = {str(path): read_embeddings(path) for path in paths}
    settings = _joined_settings(files)
    named = ', '.join(files)
    images = next((file.tables['image'] for file in files.values() if 'image' in file.tables), None)
    if images is None:
        raise UserError(f'embedding files {named}: there is no table of images; give the file of fgdet embed image too')
    tables = {
        (path, name): table
        for path, file in files.items()
        for name, table in file.tables.items()
        if f'{name}.long' in file.settings
    }
    is_long = {key: json.loads(files[key[0]].settings[f'{key[1]}.long']) for key in tables}
    tables = {key: table for key, table in tables.items() if long is None or is_long[key] == long}
    if not tables:
        kind = {None: '', True: ' of the long context', False: ' of the short context'}[long]
        raise UserError(f'embedding files {named}: there is no table of texts{kind}')
    if captioned is None:
        if any('images' not in table.columns for table in tables.values()):
            raise UserError(f'embedding files {named}: they do not say which text belongs to which image; give --ann')
        texts = {name: table for (_, name), table in tables.items()}
        return CaptionEmbeddings(images.features, list(images.names), texts, settings)
    rows = _rows_of(captioned.images, images.names, f'images of {named}')
    texts = {}
    for name, wanted in chosen_sets(captioned, long).items():
        fitting = [key for key in tables if is_long[key] == LENGTHS.get(name, is_long[key])]
        if len(fitting) != 1:
            raise UserError(
                f'embedding files {named}: {len(fitting)} tables of texts fit the {name} captions; give --long or '
                '--short, or one file of each'
            )
        path, table = fitting[0]
        places = {text: row for row, text in enumerate(tables[fitting[0]].names)}
        absent = next((text for text in wanted.names if text not in places), None)
        if absent is not None:
            raise UserError(f'embedding file {path}: the caption {absent!r:.80} is not in it')
        features = tables[fitting[0]].features[[places[text] for text in wanted.names]]
        texts[name] = wanted._replace(features=features)
        settings |= {
            f'{name}.{key}': value
            for key in ('long', 'tokens', 'num_cut')
            if (value := files[path].settings.get(f'{table}.{key}')) is not None
        }
    return CaptionEmbeddings(images.features[rows], captioned.images, texts, settings)


def _joined_settings(files: Mapping[str, Embeddings]) -> dict[str, str]:
    """Settings of all files.

    Raises:
        UserError: they were made with different weights.
    """
    prints = {path: file.settings.get('fingerprint') for path, file in files.items()}
    if len(set(prints.values())) > 1:
        made = '; '.join(f'{path} with {file.settings.get("checkpoint")}' for path, file in files.items())
        raise UserError(f'embedding files are of different weights: {made}; make all with one checkpoint')
    joined: dict[str, str] = {}
    for file in files.values():
        joined |= file.settings
    return joined


def _rows_of(wanted: Sequence[str], names: Sequence[str], where: str) -> list[int]:
    """Rows of file names, by the whole name, or by the last part of it where no two have the same."""
    exact = {name: row for row, name in enumerate(names)}
    last_parts = {Path(name).name: row for row, name in enumerate(names)}
    by_last = last_parts if len(last_parts) == len(names) else {}
    rows = [exact.get(name, by_last.get(Path(name).name, -1)) for name in wanted]
    if -1 in rows:
        absent = [name for name, row in zip(wanted, rows, strict=True) if row < 0]
        raise UserError(f'{where}: {len(absent)} of {len(wanted)} are not there, the first {absent[0]}')
    return rows
