"""The embedded default data: seeded scenes of objects with colour, pattern, shape and size, and the texts about them.

A scene depends on (seed, index) alone, never on the order of calls or the process, so any number of scenes exists
without a file. Axes: H W image, N objects.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import Compose
from pycocotools import mask as coco_mask
from torch.utils.data import Dataset

from fgdet.datasets import shapes_render as render
from fgdet.datasets import shapes_text as text
from fgdet.datasets.shapes_render import COLOURS, PATTERNS, SHAPES
from fgdet.datasets.shapes_scene import Scene, SceneObject, mask_box
from fgdet.datasets.shapes_text import Mention, composition_split
from fgdet.registry import DATASETS
from fgdet.utils.files import write_bytes, write_json, write_text

__all__ = [
    'COLOURS',
    'PATTERNS',
    'SHAPES',
    'Scene',
    'SceneObject',
    'ShapesWorld',
    'ShapesWorldDataset',
    'composition_split',
    'write_coco',
    'write_records',
]

MIN_VISIBLE = 0.5  # share of its own area that every object keeps under the later ones
LARGE_SHARE = 0.4  # of the image's edge: from there on an object is called large
SIBLING_SHARE = 0.35  # of the objects differ from the scene's first in one attribute only: all attributes must be read
NUM_PLACES = 20  # places tried for an object before a smaller one is drawn


class ShapesWorld:
    """An endless, indexable set of scenes.

    Args:
        seed: another seed is another world; 0 or above.
        image_size: edge of the square images in pixels.
        shapes, colours, patterns: the vocabulary, in the order that fixes class ids and the base/novel split.
        objects_per_scene: fewest and most objects; a scene stays below it only where there is no room left.
        object_size: shortest and longest edge in pixels that the longer side of an object's box may have.
        compositions: which compositions appear: ``'all'``, ``'base'`` or ``'novel'`` (see :func:`composition_split`).
        num_negatives: hard negatives for every object.

    Attributes:
        names: names of all compositions, whichever of them appear.
        base_names, novel_names: the two sides of the split.

    Raises:
        ValueError: an argument is out of range or not in the vocabulary.
    """

    def __init__(
        self,
        seed: int = 0,
        image_size: int = 96,
        shapes: Sequence[str] = SHAPES,
        colours: Sequence[str] = COLOURS,
        patterns: Sequence[str] = PATTERNS,
        objects_per_scene: tuple[int, int] = (2, 4),
        object_size: tuple[int, int] = (24, 52),
        compositions: str = 'all',
        num_negatives: int = 10,
    ) -> None:
        for field, values, known in (
            ('shapes', shapes, SHAPES),
            ('colours', colours, COLOURS),
            ('patterns', patterns, PATTERNS),
        ):
            if not values or len(set(values)) < len(values) or not set(values) <= set(known):
                raise ValueError(f'{field}: expected distinct values out of {", ".join(known)}, got {values!r}')
        if not 12 <= object_size[0] <= object_size[1] <= image_size - 2:
            raise ValueError(f'object_size: expected 12 <= low <= high <= {image_size - 2}, got {object_size!r}')
        if not 1 <= objects_per_scene[0] <= objects_per_scene[1]:
            raise ValueError(f'objects_per_scene: expected 1 <= low <= high, got {objects_per_scene!r}')
        self.seed = seed
        self.image_size = image_size
        self.object_size = object_size
        self.objects_per_scene = objects_per_scene
        self.num_negatives = num_negatives
        self.names = [text.composition_name(c) for c in text.all_compositions(shapes, colours, patterns)]
        self.base_names, self.novel_names = composition_split(tuple(shapes), tuple(colours), tuple(patterns))
        pools = {'all': self.names, 'base': self.base_names, 'novel': self.novel_names}
        if compositions not in pools:
            raise ValueError(f'compositions: expected one of {", ".join(pools)}, got {compositions!r}')
        self._pool = pools[compositions]
        if len(self._pool) < objects_per_scene[1]:
            raise ValueError(
                f'objects_per_scene: expected at most {len(self._pool)}, the number of {compositions} compositions, '
                f'got {objects_per_scene!r}'
            )
        self._near = {
            text.composition_name(c): [
                text.composition_name(n) for n in text.one_attribute_apart(c, shapes, colours, patterns)
            ]
            for c in text.all_compositions(shapes, colours, patterns)
        }
        most = max(0, len(self._near[self.names[0]]) - (objects_per_scene[1] - 1))
        if not 0 <= num_negatives <= most:
            raise ValueError(
                f'num_negatives: expected 0 to {most} with this vocabulary and {objects_per_scene[1]} objects a scene, '
                f'got {num_negatives}'
            )

    def scene(self, index: int) -> Scene:
        """Render scene ``index`` (0 or above): the same picture and texts at every call."""
        rng = np.random.default_rng([self.seed, index])
        background = render.draw_background(rng, self.image_size)
        names, extents, owner = self._draw_objects(rng, background.pixels)
        masks = [owner == i + 1 for i in range(len(names))]  # N x (H, W)
        boxes = [mask_box(mask) for mask in masks]
        mentions = [self._mention(*each) for each in zip(names, extents, boxes, strict=True)]
        objects = []
        for name, mention, box, mask in zip(names, mentions, boxes, masks, strict=True):
            colour, pattern, shape = name.split()
            negatives = self._negatives(rng, name, names)
            objects.append(
                SceneObject(colour, pattern, shape, mention.size_word, box, mask, mention.long_expr, negatives)
            )
        words = f'{background.tone} {background.texture} background'
        caption = text.long_caption(mentions, words, rng)
        image = render.develop(rng, background.pixels)
        return Scene(image, tuple(objects), caption, text.short_caption(mentions), words)

    def _draw_objects(self, rng: np.random.Generator, canvas: np.ndarray) -> tuple[list[str], list[float], np.ndarray]:
        """Draw objects on ``canvas`` (H, W, 3), in place, none of which hides more than half of an earlier one.

        Returns:
            their names, their extents in pixels, and (H, W) uint8 with the number of the object on top, from 1, or 0.
        """
        owner = np.zeros(canvas.shape[:2], np.uint8)
        names: list[str] = []
        extents: list[float] = []
        areas = [0]  # of the background, of which any share may be covered, and of every object in full
        for name in self._pick_names(rng):
            colour, pattern, shape = name.split()
            extent = rng.uniform(*self.object_size)
            while extent >= self.object_size[0]:
                stamp = render.draw_stamp(rng, colour, pattern, shape, extent)
                place = _find_place(rng, stamp.mask, owner, areas)
                if place is not None:
                    x, y = place
                    render.paste(canvas, stamp, x, y)
                    h, w = stamp.mask.shape
                    owner[y : y + h, x : x + w][stamp.mask] = len(areas)
                    names.append(name)
                    extents.append(extent)
                    areas.append(int(stamp.mask.sum()))
                    break
                extent *= 0.8
        return names, extents, owner

    def _pick_names(self, rng: np.random.Generator) -> list[str]:
        """Distinct compositions, some of them one attribute away from the first."""
        num = rng.integers(self.objects_per_scene[0], self.objects_per_scene[1] + 1)
        names = [self._pool[rng.integers(len(self._pool))]]
        allowed = set(self._pool)
        while len(names) < num:
            near = rng.random() < SIBLING_SHARE
            choices = [n for n in self._near[names[0]] if n in allowed and n not in names] if near else self._pool
            name = choices[rng.integers(len(choices))] if choices else names[0]
            if name not in names:
                names.append(name)
        return names

    def _mention(self, name: str, extent: float, box: np.ndarray) -> Mention:
        size_word = 'large' if extent >= LARGE_SHARE * self.image_size else 'small'
        x, y = ((box[:2] + box[2:]) / (2 * self.image_size)).tolist()
        return Mention(name, size_word, (x, y))

    def _negatives(self, rng: np.random.Generator, name: str, present: list[str]) -> tuple[str, ...]:
        choices = [near for near in self._near[name] if near not in present]
        return tuple(choices[i] for i in rng.permutation(len(choices))[: self.num_negatives])


def _find_place(
    rng: np.random.Generator, mask: np.ndarray, owner: np.ndarray, areas: list[int]
) -> tuple[int, int] | None:
    """Top left pixel (x, y) where ``mask`` (h, w) leaves enough of every object of ``owner`` (H, W) visible, if any."""
    share = MIN_VISIBLE + (1 - MIN_VISIBLE) * math.sqrt(rng.random())  # mostly little overlap, sometimes the most
    visible = np.bincount(owner.ravel(), minlength=len(areas))
    room = np.maximum(visible - share * np.array(areas), 0)  # pixels of each that may be covered
    h, w = mask.shape
    places = rng.integers(0, (owner.shape[1] - w + 1, owner.shape[0] - h + 1), (NUM_PLACES, 2))
    for x, y in places.tolist():
        covered = np.bincount(owner[y : y + h, x : x + w][mask], minlength=len(areas))
        if not (covered > room).any():
            return x, y
    return None


@DATASETS.register_module()
class ShapesWorldDataset(Dataset):
    """Scenes ``start`` to ``start + num_scenes`` of a world, as region-text samples through a pipeline.

    The pipeline receives ``img`` (H, W, 3) uint8 RGB, ``caption``, ``short_caption``, ``regions`` (see
    :meth:`Scene.regions`), ``sample_key``, ``ori_shape`` and ``img_shape`` (both (H, W)), and ``rng``, a generator that
    depends on seed, start and index alone.

    Args:
        pipeline: configs of transforms, or callables.
        num_scenes: length of the dataset.
        world: arguments of :class:`ShapesWorld` other than its seed.
        seed: seed of the world.
        start: index of the first scene; ranges that do not meet share no scene.
    """

    def __init__(
        self,
        pipeline: Sequence[Any],
        num_scenes: int,
        world: dict[str, Any] | None = None,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.world = ShapesWorld(seed=seed, **(world or {}))
        self.pipeline = Compose(pipeline)
        self.num_scenes = num_scenes
        self.start = start
        self.metainfo = {
            'classes': tuple(self.world.names),
            'base_classes': tuple(self.world.base_names),
            'novel_classes': tuple(self.world.novel_names),
        }

    def __len__(self) -> int:
        return self.num_scenes

    def __iter__(self) -> Iterator[Any]:
        """One pass, which indexing alone would not end."""
        return (self[index] for index in range(self.num_scenes))

    def __getitem__(self, index: int) -> Any:
        """Render one scene and run the pipeline on it; an index of len or more is a later pass over the same scenes.

        Raises:
            IndexError: ``index`` is negative.
        """
        if index < 0:
            raise IndexError(f'scene {index} of a dataset of {self.num_scenes} scenes')
        rng = np.random.default_rng([self.world.seed, self.start, index])
        index %= self.num_scenes
        scene = self.world.scene(self.start + index)
        return self.pipeline(
            {
                'img': scene.image,
                'caption': scene.caption,
                'short_caption': scene.short_caption,
                'regions': scene.regions(),
                'sample_key': f'shapes-{self.world.seed}-{self.start + index}',
                'ori_shape': scene.image.shape[:2],
                'img_shape': scene.image.shape[:2],
                'rng': rng,
            }
        )


def write_coco(world: ShapesWorld, indices: Iterable[int], folder: str | Path, ann_file: str | Path) -> Path:
    """Render scenes as PNG files with COCO instance annotations.

    Categories are all compositions of the world with ids from 1, in the order of ``world.names``; an image's id is its
    scene's index. Every file appears complete or not at all, the annotations last.

    Args:
        world: where the scenes come from.
        indices: which scenes.
        folder: images go there; made if missing.
        ann_file: annotation JSON; its folder is made if missing.

    Returns:
        the path of the annotation file.
    """
    categories = [{'id': i, 'name': name, 'supercategory': name.split()[-1]} for i, name in enumerate(world.names, 1)]
    ids = {name: i for i, name in enumerate(world.names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in indices:
        scene = world.scene(index)
        height, width = scene.image.shape[:2]
        file_name = _write_image(Path(folder), index, scene.image)
        images.append({'id': index, 'file_name': file_name, 'height': height, 'width': width, 'caption': scene.caption})
        for obj in scene.objects:
            x1, y1, x2, y2 = obj.bbox_xyxy.tolist()
            rle = coco_mask.encode(np.asfortranarray(obj.mask.astype(np.uint8)))
            annotations.append(
                {
                    'id': len(annotations) + 1,  # from 1: COCO's evaluation takes a match with id 0 for none
                    'image_id': index,
                    'category_id': ids[obj.name],
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': int(obj.mask.sum()),
                    'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()},
                    'iscrowd': 0,
                }
            )
    content = {'info': {}, 'images': images, 'annotations': annotations, 'categories': categories}
    write_json(ann_file, content, indent=None)
    return Path(ann_file)


def write_records(world: ShapesWorld, indices: Iterable[int], folder: str | Path, records_file: str | Path) -> Path:
    """Render scenes as PNG files with FineHARD records whose ``f_path`` is relative to ``folder``.

    Args:
        world: where the scenes come from.
        indices: which scenes.
        folder: images go there; made if missing.
        records_file: one JSON list, or one record a line where the name ends in ``.jsonl``.

    Returns:
        the path of the records file.
    """
    records = []
    for index in indices:
        scene = world.scene(index)
        records.append(scene.to_record(_write_image(Path(folder), index, scene.image)))
    path = Path(records_file)
    lines = path.suffix == '.jsonl'
    content = ''.join(json.dumps(record) + '\n' for record in records) if lines else json.dumps(records)
    write_text(path, content)
    return path


def _write_image(folder: Path, index: int, image: np.ndarray) -> str:
    file_name = f'{index:08d}.png'
    _, data = cv2.imencode('.png', image[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 1))
    write_bytes(folder / file_name, data.tobytes())
    return file_name
