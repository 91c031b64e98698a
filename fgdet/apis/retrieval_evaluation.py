"""Image-text retrieval: of a checkpoint on images with captions, or of saved embeddings.

Axes: B images, T captions, D embedding.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fgdet.apis.caption_embeddings import CaptionEmbeddings, encode_captions, read_caption_embeddings
from fgdet.apis.embedding_files import write_embeddings
from fgdet.apis.region_encoding import PartReport, RegionEncoder
from fgdet.apis.saved_predictions import with_saved
from fgdet.datasets.caption_files import read_captions
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.retrieval import (
    DIRECTIONS,
    KS,
    CaptionRanks,
    caption_ranks,
    caption_recalls,
    caption_resampler,
    unit_rows,
)
from fgdet.utils.checks import UserError

#: Files that cannot be read and are named, of all of them.
_NUM_NAMED = 3
_TITLES = dict(zip(DIRECTIONS, ('image to text', 'text to image'), strict=True))


def evaluate_retrieval(
    pred: Sequence[str | Path] = (),
    ann: str | Path | None = None,
    checkpoint: str | Path | None = None,
    images: str | Path | None = None,
    long: bool | None = None,
    captions: int | None = 5,
    split: str = 'test',
    image_size: int | None = None,
    batch_size: int = 8,
    device: str = 'auto',
    save_pred: str | Path | None = None,
    report: PartReport = lambda part, share, line: None,
) -> Evaluation:
    """Recall at 1, 5 and 10 in both directions.

    Args:
        pred: embedding files in the place of a checkpoint; they need ``ann`` unless ``save_pred`` wrote them.
        ann: captions, see :func:`~fgdet.datasets.caption_files.read_captions`.
        checkpoint: FG-CLIP or CLIP weights.
        images: folder of the images.
        long: True reads captions with the context of 248 tokens, False with that of 77; None the latter where all
            fit. Records with long and short captions have each read with its own, and None scores both.
        captions: of an image, the first ones; None for all.
        split: of Karpathy's file.
        image_size: side in pixels; None takes the checkpoint's own.
        batch_size: images at once.
        device: as of torch, or ``auto``.
        save_pred: where to write the embeddings; they alone give the same scores.
        report: told of progress.

    Returns:
        ``i2t_r1``, ``i2t_r5``, ``i2t_r10``, ``t2i_r1`` ...; of records ``long_i2t_r1``, ``short_i2t_r1`` ...

    Raises:
        UserError: options contradict each other, a file is missing or malformed, or captions are too long.
    """
    if bool(pred) == bool(checkpoint) or (checkpoint and not (images and ann)):
        raise UserError('retrieval: give either --pred, or --checkpoint with --images and --ann')
    if pred and (save_pred or image_size):
        raise UserError('retrieval: --save-pred and --image-size mean nothing with --pred')
    captioned = read_captions(ann, captions, split) if ann else None
    notes: list[str] = []
    if checkpoint and images and captioned:
        encoder = RegionEncoder(checkpoint, device, batch_size, image_size=image_size)
        counts = [partial(_count, report, part) for part in ('images', 'texts')]
        embeddings, failures = encode_captions(encoder, captioned, images, long, *counts)
        notes = [*failures.values()][:_NUM_NAMED]
    else:
        embeddings = read_caption_embeddings(pred, captioned, long)
    if captioned:
        left_out = dict(num_left_out=captioned.num_left_out, num_bare=captioned.num_bare, captions=captions)
        embeddings.settings |= {name: str(value) for name, value in left_out.items()}
    save = partial(write_embeddings, save_pred, embeddings.to_file()) if save_pred else None
    if save_pred:
        pred, checkpoint, images, image_size = [save_pred], None, None, None
    evaluation = score_retrieval(embeddings, lambda share: report('ranks', share, ''))
    evaluation.protocol = '; '.join([evaluation.protocol, *notes])
    files = dict(ann=ann, checkpoint=checkpoint, images=images)
    evaluation.inputs = {name: path and str(path) for name, path in files.items()}
    evaluation.inputs |= dict(pred=[str(path) for path in pred], long=long, captions=captions, split=split)
    evaluation.inputs |= dict(image_size=image_size, batch_size=batch_size, device=device)
    return with_saved(evaluation, save)


def score_retrieval(embeddings: CaptionEmbeddings, report: Callable[[float], None] | None = None) -> Evaluation:
    """Score embeddings; see :func:`evaluate_retrieval`. ``report`` is told the share of the ranks that is done."""
    several = len(embeddings.texts) > 1
    scores: dict[str, float] = {}
    ranks: dict[str, CaptionRanks] = {}
    columns: dict[str, dict[str, str]] = {}
    for name, (features, _, further) in embeddings.texts.items():
        prefix = f'{name}_' if several else ''
        ranks[prefix] = caption_ranks(embeddings.images, features, further['images'], report)
        scores |= caption_recalls(ranks[prefix], prefix)
        for direction, title in _TITLES.items():
            columns[f'{name}, {title}' if several else title] = {f'R@{k}': f'{prefix}{direction}_r{k}' for k in KS}
    num_unreadable = int(np.isnan(unit_rows(embeddings.images)).any(axis=1).sum())
    counts = {'num_images': len(embeddings.images), 'num_unreadable': num_unreadable}
    settings = embeddings.settings
    texts = []
    for name, table in embeddings.texts.items():
        prefix, num_cut = f'{name}_' if several else '', int(settings.get(f'{name}.num_cut', 0))
        counts |= {f'{prefix}num_texts': len(table.names), f'{prefix}num_cut': num_cut}
        cut = f', {num_cut} cut' if num_cut else ''
        kind = f'{name} ' if name != 'text' else ''
        texts.append(f'{len(table.names)} {kind}captions of up to {settings.get(f"{name}.tokens", "?")} tokens{cut}')
    return Evaluation(
        name='retrieval',
        protocol=_protocol(settings, counts, texts),
        scores=scores | counts,
        inputs={},
        columns=columns,
        resampler=caption_resampler(ranks, embeddings.image_names),
    )


def _protocol(settings: dict[str, str], counts: dict[str, int], texts: Sequence[str]) -> str:
    size, own = settings.get('image_size', '?'), settings.get('image_size_of_weights', '?')
    parts = [
        f'Retrieval among {counts["num_images"]} images at {size} x {size} pixels and {" and ".join(texts)}',
        'any caption of an image is right, ties count against',
    ]
    if size != own:
        parts.append(f'the weights were trained at {own} x {own}')
    if int(settings.get('num_left_out', 0)):
        parts.append(f'{settings["num_left_out"]} captions beyond the first {settings["captions"]} left out')
    if int(settings.get('num_bare', 0)):
        parts.append(f'{settings["num_bare"]} images without a caption left out')
    if counts['num_unreadable']:
        parts.append(f'{counts["num_unreadable"]} of {counts["num_images"]} images cannot be read and count as wrong')
    return '; '.join(parts)


def _count(report: PartReport, part: str, done: int, total: int) -> None:
    report(part, done / total, f'{done} of {total}')
