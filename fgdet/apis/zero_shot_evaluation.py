"""Zero-shot classification of class folders: of a checkpoint, or of saved predictions.

Axes: N images, K classes, P prompts of a class, D embedding.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fgdet.apis.class_folders import ClassFolders, read_class_folders
from fgdet.apis.embedding import choose_length
from fgdet.apis.read_ahead import windows
from fgdet.apis.region_encoding import PartReport, RegionEncoder
from fgdet.apis.saved_predictions import with_saved
from fgdet.evaluation.evaluation import Evaluation
from fgdet.evaluation.functional.zero_shot import NUM_KEPT, BestClasses, ZeroShotScores, best_classes, wrong_ahead
from fgdet.structures.prompt_templates import read_templates
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, write_json

#: Images whose features are compared with the classes at once, and classes whose prompts are encoded at once.
_IMAGES_AT_ONCE, _CLASSES_AT_ONCE = 1024, 64
_COLUMNS = {'top-1': 'top1', 'top-5': 'top5', 'mean per class': 'mean_per_class'}


def evaluate_zero_shot(
    images: str | Path,
    pred: str | Path | None = None,
    checkpoint: str | Path | None = None,
    classes: str | Path | None = None,
    templates: str = 'openai',
    image_size: int | None = None,
    batch_size: int = 8,
    device: str = 'auto',
    save_pred: str | Path | None = None,
    report: PartReport = lambda part, share, line: None,
) -> Evaluation:
    """Top-1, top-5 and mean per class over all images, those of a last partial batch too.

    An image that cannot be read counts as wrong, and a class that ties with the right one stands before it.

    Args:
        images: one folder a class, see :func:`~fgdet.apis.class_folders.read_class_folders`.
        pred: predictions of ``save_pred`` in the place of a checkpoint.
        checkpoint: FG-CLIP or CLIP weights.
        classes: names of the classes, as for :func:`~fgdet.apis.class_folders.read_class_folders`.
        templates: ``openai``, ``simple``, ``none`` or a file, see
            :func:`~fgdet.structures.prompt_templates.read_templates`.
        image_size: side in pixels; None takes the checkpoint's own.
        batch_size: images at once.
        device: as of torch, or ``auto``.
        save_pred: where to write ``[{"image": path, "classes": [five best folders], "scores": [...]}, ...]``; fewer
            than five where the last places tie, none and an ``error`` where the image cannot be read.
        report: told of progress.

    Raises:
        UserError: options contradict each other, or a file or folder is missing or malformed.
    """
    if (pred is None) == (checkpoint is None):
        raise UserError('zero-shot: give either --pred or --checkpoint')
    if pred and (save_pred or image_size):
        raise UserError('zero-shot: --save-pred and --image-size mean nothing with --pred')
    data = read_class_folders(images, classes)
    inputs: dict[str, Any] = dict(images=str(images), classes=classes and str(classes), templates=templates)
    inputs |= dict(pred=pred and str(pred), checkpoint=checkpoint and str(checkpoint), image_size=image_size)
    notes, save = [], None
    if pred:
        best, errors = read_predictions(pred, data)
    else:
        encoder = RegionEncoder(checkpoint or '', device, batch_size, image_size=image_size)
        prompts = read_templates(templates)
        class_features, num_cut = encode_classes(encoder, data.names, prompts, report)
        best, errors = classify(encoder, data, Path(images), class_features, report)
        side, own = encoder.preprocessing.image_size, encoder.model.preprocessing.image_size
        notes = [f'prompts for a name: {len(prompts)} ({templates}), images at {side} x {side} pixels']
        notes += [f'the weights were trained at {own} x {own}'] if side != own else []
        notes += (
            [f'{num_cut} prompts of more than {encoder.preprocessing.context_length} tokens cut'] if num_cut else []
        )
        if save_pred:
            save = partial(write_json, save_pred, _entries(data, best, errors), indent=None)
            inputs |= dict(pred=str(save_pred), checkpoint=None, image_size=None)
    inputs |= dict(batch_size=batch_size, device=device)
    return with_saved(_evaluation(data, best, errors, notes, inputs), save)


def encode_classes(
    encoder: RegionEncoder,
    names: Sequence[Sequence[str]],
    prompts: Sequence[str],
    report: PartReport = lambda part, share, line: None,
) -> tuple[np.ndarray, int]:
    """Prompt ensembles: the mean of the unit vectors of all prompts of all names of a class, of length 1 again.

    Returns:
        (K, D) float32, and how many prompts were cut at the end of the context.
    """
    rows, num_cut = [], 0
    for some in windows(names, _CLASSES_AT_ONCE):
        texts = [[prompt.replace('{}', name) for name in each for prompt in prompts] for each in some]
        flat = [text for each in texts for text in each]
        num_cut += choose_length(encoder.model, flat, False, 'prompts')[1]
        features = encoder.encode_texts(flat)  # (sum P, D)
        parts = np.split(features, np.cumsum([len(each) for each in texts])[:-1])
        rows += [part.mean(axis=0) for part in parts]
        report('classes', len(rows) / len(names), f'{len(rows)} of {len(names)}')
    means = np.stack(rows)  # (K, D)
    return means / np.linalg.norm(means, axis=1, keepdims=True), num_cut


def classify(
    encoder: RegionEncoder,
    data: ClassFolders,
    root: Path,
    class_features: np.ndarray,
    report: PartReport = lambda part, share, line: None,
) -> tuple[list[BestClasses], dict[str, str]]:
    """The best classes of each image, and why images could not be read, by their name in ``data``."""
    failures: dict[str, str] = {}
    paths = [str(root / name) for name in data.images]
    features = encoder.encode_images(
        paths, lambda done, total: report('images', done / total, f'{done} of {total}'), failures
    )
    best: list[BestClasses] = []
    for some in windows(features, _IMAGES_AT_ONCE):
        rows = np.stack(some)  # (n, D)
        rows[[path in failures for path in paths[len(best) : len(best) + len(rows)]]] = 0
        best += best_classes(rows, class_features)
    return best, {name: failures[path] for name, path in zip(data.images, paths, strict=True) if path in failures}


def read_predictions(path: str | Path, data: ClassFolders) -> tuple[list[BestClasses], dict[str, str]]:
    """What :func:`classify` gave, from a file: one entry for each image, in any order.

    Raises:
        UserError: no such file, an entry that is malformed or names an unknown image or class, an image that comes
            twice or is missing.
    """
    where, content = f'prediction file {path}', read_json(path, 'prediction file')
    if not isinstance(content, list):
        raise UserError(f'{where}: expected a list of {{"image", "classes", "scores"}}, got a {type(content).__name__}')
    rows = {name: row for row, name in enumerate(data.images)}
    label_of = {folder: label for label, folder in enumerate(data.folders)}
    best: dict[str, BestClasses] = {}
    errors: dict[str, str] = {}
    for position, entry in enumerate(content):
        place = f'{where}[{position}]'
        lists: list[Any] = [entry.get(key) if isinstance(entry, dict) else None for key in ('classes', 'scores')]
        if not all(isinstance(each, list) for each in lists) or len(lists[0]) != len(lists[1]):
            raise UserError(f'{place}: expected "image", and lists "classes" and "scores" of one length')
        name, (folders, scores) = entry.get('image'), lists
        if name not in rows or name in best:
            raise UserError(f'{place}: image {name!r} is {"here twice" if name in best else "not in the folders"}')
        unknown = [folder for folder in folders if folder not in label_of]
        if unknown or len(set(folders)) < len(folders):
            raise UserError(f'{place}: {f"class {unknown[0]!r} is no folder" if unknown else "a class comes twice"}')
        numbers = np.array([each if isinstance(each, int | float) else np.nan for each in scores], dtype=np.float64)
        if not np.isfinite(numbers).all() or (np.diff(numbers) > 0).any():
            raise UserError(f'{place}: scores: expected finite numbers that descend, got {scores!r:.80}')
        best[name] = BestClasses(
            np.array([label_of[f] for f in folders], dtype=np.int64)[:NUM_KEPT], numbers[:NUM_KEPT]
        )
        if 'error' in entry:
            errors[name] = str(entry['error'])
    missing = [name for name in data.images if name not in best]
    if missing:
        raise UserError(f'{where}: {len(missing)} of {len(rows)} images have no entry, the first {missing[0]}')
    return [best[name] for name in data.images], errors


def _entries(data: ClassFolders, best: Sequence[BestClasses], errors: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {'image': name, 'classes': [data.folders[label] for label in each.classes], 'scores': each.scores.tolist()}
        | ({'error': errors[name]} if name in errors else {})
        for name, each in zip(data.images, best, strict=True)
    ]


def _evaluation(
    data: ClassFolders,
    best: Sequence[BestClasses],
    errors: dict[str, str],
    notes: Sequence[str],
    inputs: dict[str, Any],
) -> Evaluation:
    run = ZeroShotScores(wrong_ahead(best, data.labels), data.labels, len(data.folders), data.images)
    num_empty = len(data.folders) - len(np.unique(data.labels))
    parts = [f'Accuracy on {len(data.images)} images among {len(data.folders)} classes, ties count against', *notes]
    if num_empty:
        parts.append(f'{num_empty} classes without an image are candidates only')
    if errors:
        named = '; '.join([*errors.values()][:3])
        parts.append(f'{len(errors)} of {len(best)} images cannot be read and count as wrong; {named}')
    counts = dict(num_images=len(best), num_classes=len(data.folders), num_unreadable=len(errors))
    titles = [
        name[0] if name[0].replace(' ', '_') == folder else f'{name[0]} ({folder})'
        for folder, name in zip(data.folders, data.names, strict=True)
    ]
    return Evaluation(
        name='zero-shot',
        protocol='; '.join(parts),
        scores=run.scores() | counts,
        inputs=inputs,
        columns={'images': _COLUMNS},
        classes=run.classes(titles),
        resampler=run,
    )
