"""Boxes from elsewhere: out of a file of results, or from any of mmdet's detectors.

Axes: R boxes of one image.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope

from fgdet.apis.detector_files import load_detector
from fgdet.evaluation.results import load_annotations
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json


class Boxes(NamedTuple):
    """Boxes of one image."""

    boxes: np.ndarray  # (R, 4) float32 xyxy in pixels of the image
    scores: np.ndarray  # (R,) float32 in 0..1
    names: list[str | None]  # what each was taken for; None where it is of no class


class Proposals(Protocol):
    """A source of boxes."""

    names: tuple[str, ...]  # the classes it knows, none for boxes of no class

    def boxes_of(self, image: np.ndarray, source: str | None) -> Boxes:
        """The boxes of an (H, W, 3) uint8 RGB image, which was read from the file ``source``."""


class SavedProposals:
    """Boxes out of a JSON file.

    Args:
        path: what ``fgdet detect`` writes as ``predictions.json``, or any dict with ``images`` and ``annotations`` that
            have a ``score``; or COCO's list of results, where ``category_id`` may be left out for boxes of no class.
        images: for a list: the COCO-form annotation file that its ids are from.

    Attributes:
        num_dropped: boxes left out as their numbers are no box (not finite, or without area).

    Raises:
        UserError: a file is missing or of another form, an entry misses a field or has a score outside of 0..1, or a
            list comes without ``images``.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None) -> None:
        content = read_json(path, 'proposal file')
        if isinstance(content, list):
            if images is None:
                raise UserError(
                    f'proposal file {path}: a list of results has no names of images; give the annotation file '
                    'that its ids are from (--proposals-images)'
                )
            entries, about = content, load_annotations(images)
        elif isinstance(content, dict) and isinstance(content.get('annotations'), list) and content.get('images'):
            entries, about = content['annotations'], content
        else:
            raise UserError(f"proposal file {path}: expected a list of results or a dict of 'images' and 'annotations'")
        for part, field in (('images', 'file_name'), ('categories', 'name')):
            for position, each in enumerate(about.get(part) or ()):
                if not isinstance(each, dict) or field not in each or not isinstance(each.get('id'), int | str):
                    raise UserError(f'{images or path}: {part}[{position}]: expected id and {field}, got {each!r:.80}')
        self.path = path
        self.num_dropped = 0
        categories: dict[int | str, str] = {each['id']: str(each['name']) for each in about.get('categories') or ()}
        self.names = tuple(dict.fromkeys(categories.values()))
        self._images = {each['id']: each for each in about['images']}
        self._by_stem: dict[str, list[int | str]] = defaultdict(list)
        for image_id, each in self._images.items():
            self._by_stem[Path(str(each['file_name'])).name].append(image_id)
        self._found: dict[int | str, list[tuple[list[float], float, str | None]]] = defaultdict(list)
        for position, entry in enumerate(entries):
            self._add(entry, f'proposal file {path}: entry {position}', categories)

    def boxes_of(self, image: np.ndarray, source: str | None) -> Boxes:
        """See :class:`Proposals`.

        Raises:
            UserError: the file knows no such image, or knows it in another size.
        """
        record = self._record(source)
        size, stored = image.shape[1::-1], (record.get('width'), record.get('height'))
        if all(stored) and stored != size:
            raise UserError(
                f'image {source}: it has {size[0]} x {size[1]} pixels, and {stored[0]} x {stored[1]} in {self.path}'
            )
        found = self._found.get(record['id'], [])
        boxes, scores, names = zip(*found, strict=True) if found else ((), (), ())
        xywh = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        return Boxes(xyxy.astype(np.float32), np.array(scores, dtype=np.float32), list(names))

    def _add(self, entry: Any, where: str, categories: Mapping[int | str, str]) -> None:
        if not isinstance(entry, dict) or any(field not in entry for field in ('image_id', 'bbox', 'score')):
            raise UserError(f'{where}: expected image_id, bbox and score, got {str(entry)[:80]}')
        box, score, category = entry['bbox'], entry['score'], entry.get('category_id')
        if not isinstance(entry['image_id'], int | str) or entry['image_id'] not in self._images:
            raise UserError(f'{where}: image_id {entry["image_id"]!r} is none of the {len(self._images)} images')
        if not isinstance(category, int | str | None) or (
            category is not None and categories and category not in categories
        ):
            raise UserError(f'{where}: category_id {category!r} is none of the {len(categories)} categories')
        if not isinstance(box, list) or len(box) != 4 or not all(isinstance(n, int | float) for n in box):
            raise UserError(f'{where}: bbox: expected four numbers x, y, width, height, got {box!r}')
        if not isinstance(score, int | float) or not 0 <= score <= 1:
            raise UserError(f'{where}: score: expected 0..1, got {score!r}')
        if not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
            self.num_dropped += 1
        else:
            self._found[entry['image_id']].append((box, score, None if category is None else categories.get(category)))

    def _record(self, source: str | None) -> dict[str, Any]:
        """The image whose name shares the most folders with the path, of those with its last part."""
        if source is None:
            raise UserError(f'proposal file {self.path}: only images from files have names to be found by, not arrays')
        path = Path(source).resolve().parts
        shared = {i: _shared(path, Path(self._images[i]['file_name']).parts) for i in self._by_stem[path[-1]]}
        if not shared:
            raise UserError(f'image {source}: not among the {len(self._images)} images of proposal file {self.path}')
        most = max(shared.values())
        best = [image_id for image_id, count in shared.items() if count == most]
        if len(best) > 1:
            raise UserError(
                f'image {source}: {len(best)} images of proposal file {self.path} are called {path[-1]}; its file_name '
                'must hold the folder too'
            )
        return self._images[best[0]]


class DetectedProposals:
    """Boxes of one of mmdet's detectors, run on each image.

    Args:
        config: its config; None takes the one that training stored in the checkpoint.
        checkpoint: its weights.
        device: as for :func:`~fgdet.apis.detector_files.load_detector`.

    Raises:
        UserError: as there.
    """

    def __init__(self, config: str | Path | Config | None, checkpoint: str | Path, device: str = 'auto') -> None:
        files = load_detector(config, checkpoint, device, BaseDetector, "none of mmdet's")
        self._model: Any = files.model
        self.names = files.class_names or ()
        init_default_scope('mmdet')
        self._pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *files.pipeline])

    @torch.no_grad()
    def boxes_of(self, image: np.ndarray, source: str | None) -> Boxes:
        """See :class:`Proposals`."""
        inputs = self._pipeline(dict(img=np.ascontiguousarray(image[..., ::-1]), img_id=0))
        found = self._model.test_step(pseudo_collate([inputs]))[0].pred_instances.cpu().numpy()
        names: Iterable[str | None] = (self.names[label] if self.names else None for label in found.labels)
        return Boxes(found.bboxes.astype(np.float32), found.scores.astype(np.float32), list(names))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many last parts two paths have in common."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
