"""Scenes are reproducible, their boxes, masks and texts are true, and the files written agree with pycocotools."""

import json
import pickle

import cv2
import numpy as np
import pytest
from mmengine.runner import Runner
from pycocotools.coco import COCO

from fgdet.datasets import shapes_render
from fgdet.datasets.shapes_world import ShapesWorld, ShapesWorldDataset, write_coco, write_records
from fgdet.registry import DATASETS

NUM_SCENES = 60


@pytest.fixture(scope='module')
def scenes():
    world = ShapesWorld()
    return [world.scene(i) for i in range(NUM_SCENES)]


def _same(first, second) -> bool:
    return (
        np.array_equal(first.image, second.image)
        and (first.caption, first.short_caption) == (second.caption, second.short_caption)
        and first.regions() == second.regions()
        and all(np.array_equal(a.mask, b.mask) for a, b in zip(first.objects, second.objects, strict=True))
    )


def test_scene__depends_on_seed_and_index_alone(scenes):
    world = ShapesWorld()  # another object, another order
    for index in (41, 3, 59, 3, 0):
        assert _same(world.scene(index), scenes[index])
    assert _same(pickle.loads(pickle.dumps(world)).scene(7), scenes[7])


def test_scene__other_index_or_seed_is_another_scene(scenes):
    assert not np.array_equal(ShapesWorld(seed=1).scene(0).image, scenes[0].image)
    assert len({scene.image.tobytes() for scene in scenes}) == NUM_SCENES
    assert len({scene.caption for scene in scenes}) == NUM_SCENES


def test_scene__image_and_number_of_objects(scenes):
    assert all(scene.image.shape == (96, 96, 3) and scene.image.dtype == np.uint8 for scene in scenes)
    assert {len(scene.objects) for scene in scenes} == {2, 3, 4}
    large = ShapesWorld(image_size=160, object_size=(40, 60), objects_per_scene=(1, 1)).scene(5)
    assert large.image.shape == (160, 160, 3) and len(large.objects) == 1


def test_scene__boxes_are_mask_extents(scenes):
    for thing in (thing for scene in scenes for thing in scene.objects):
        points = [(x, y) for y in range(96) for x in range(96) if thing.mask[y, x]]
        xs, ys = zip(*points, strict=True)
        assert thing.bbox_xyxy.tolist() == [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def test_scene__masks_are_disjoint(scenes):
    for scene in scenes:
        assert np.sum([thing.mask for thing in scene.objects], axis=0).max() == 1


def test_scene__every_object_stays_half_visible(monkeypatch):
    """Repeat the painter's order by hand: the masks are what no later object covers, and half of each is left."""
    pasted: list[np.ndarray] = []
    paste = shapes_render.paste

    def recording_paste(canvas, stamp, x, y):
        full = np.zeros(canvas.shape[:2], bool)
        for row, column in zip(*np.nonzero(stamp.mask), strict=True):
            full[y + row, x + column] = True
        pasted.append(full)
        paste(canvas, stamp, x, y)

    monkeypatch.setattr(shapes_render, 'paste', recording_paste)
    world = ShapesWorld(objects_per_scene=(4, 5), num_negatives=2)
    shares = []
    for index in range(30):
        pasted.clear()
        scene = world.scene(index)
        assert len(scene.objects) == len(pasted)
        for i, thing in enumerate(scene.objects):
            visible = pasted[i].copy()
            for later in pasted[i + 1 :]:
                visible &= ~later
            assert np.array_equal(visible, thing.mask)
            shares.append(visible.sum() / pasted[i].sum())
    assert 0.5 <= min(shares) < 0.75 and max(shares) == 1  # overlaps do occur


def test_scene__objects_stand_out_from_what_surrounds_them(scenes):
    for scene in scenes:
        anything = np.any([thing.mask for thing in scene.objects], axis=0)
        background = scene.image[~cv2.dilate(anything.astype(np.uint8), np.ones((3, 3))).astype(bool)].astype(int)
        for thing in scene.objects:
            saturation = np.ptp(scene.image[thing.mask].astype(int), axis=-1).mean()
            assert saturation > 2 * np.ptp(background, axis=-1).mean()


def test_scene__negatives_change_one_attribute_and_are_true_of_nothing(scenes):
    for scene in scenes:
        names = {thing.name for thing in scene.objects}
        assert len(names) == len(scene.objects)
        for thing in scene.objects:
            assert len(set(thing.negatives)) == 10
            assert not names & set(thing.negatives)
            for negative in thing.negatives:
                changed = [a != b for a, b in zip(negative.split(), thing.name.split(), strict=True)]
                assert sum(changed) == 1


def test_scene__some_objects_are_one_attribute_apart(scenes):
    def distance(first, second):
        return sum(a != b for a, b in zip(first.name.split(), second.name.split(), strict=True))

    near = [any(distance(scene.objects[0], other) == 1 for other in scene.objects[1:]) for scene in scenes]
    assert 0.3 < np.mean(near) < 0.9


def test_scene__captions_mention_every_object(scenes):
    for scene in scenes:
        assert 30 <= len(scene.caption.split()) <= 90
        assert scene.background in scene.caption
        for thing in scene.objects:
            assert f'{thing.size_word} {thing.name}' in scene.caption
            assert thing.name in scene.short_caption
            assert thing.long_expr.split(' ', 1)[1].startswith(f'{thing.size_word} {thing.name} ')


def test_scene__size_words_follow_extent():
    small = ShapesWorld(object_size=(24, 30)).scene(0)
    large = ShapesWorld(object_size=(45, 50), objects_per_scene=(1, 1)).scene(0)
    assert {thing.size_word for thing in small.objects} == {'small'}
    assert {thing.size_word for thing in large.objects} == {'large'}


@pytest.mark.parametrize('side', ['base', 'novel'])
def test_world__compositions_of_one_side_only(side):
    world = ShapesWorld(compositions=side)
    allowed = set(world.base_names if side == 'base' else world.novel_names)
    seen = {thing.name for i in range(40) for thing in world.scene(i).objects}
    assert seen <= allowed and len(seen) > 20
    assert len(world.names) == 144


def test_world__small_vocabulary():
    world = ShapesWorld(shapes=('ring', 'star'), colours=('red', 'blue', 'pink'), patterns=['solid'], num_negatives=0)
    names = {thing.name for i in range(20) for thing in world.scene(i).objects}
    assert names == set(world.names) and len(names) == 6


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'shapes': ('ring', 'cube')}, 'shapes: expected distinct values out of circle'),
        ({'colours': ()}, 'colours: expected'),
        ({'patterns': ('solid', 'solid')}, 'patterns: expected'),
        ({'object_size': (24, 96)}, 'object_size: expected 12 <= low <= high <= 94, got'),
        ({'objects_per_scene': (3, 2)}, 'objects_per_scene: expected 1 <= low'),
        ({'compositions': 'rare'}, 'compositions: expected one of all, base, novel'),
        ({'num_negatives': 12}, 'num_negatives: expected 0 to 11'),
        ({'shapes': ['ring'], 'colours': ['red'], 'patterns': ['solid']}, 'objects_per_scene: expected at most 1'),
    ],
)
def test_world__bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShapesWorld(**arguments)


def test_write_coco__agrees_with_pycocotools(tmp_path, scenes):
    world = ShapesWorld()
    ann_file = write_coco(world, range(2, 8), tmp_path / 'images', tmp_path / 'annotations' / 'val.json')
    coco = COCO(str(ann_file))
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == world.names
    assert coco.getCatIds() == list(range(1, 145))
    assert coco.getImgIds() == list(range(2, 8))
    assert min(coco.getAnnIds()) == 1
    for index in range(2, 8):
        (info,) = coco.loadImgs(index)
        image = cv2.imread(str(tmp_path / 'images' / info['file_name']))
        assert image is not None and np.array_equal(image[..., ::-1], scenes[index].image)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=index))
        for annotation, thing in zip(annotations, scenes[index].objects, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, thing.mask)
            assert annotation['area'] == mask.sum()
            x, y, w, h = annotation['bbox']
            assert [x, y, x + w, y + h] == thing.bbox_xyxy.tolist()
            assert world.names[annotation['category_id'] - 1] == thing.name
    assert not list(tmp_path.rglob('*.part'))


def test_write_coco__no_scenes(tmp_path):
    ann_file = write_coco(ShapesWorld(), [], tmp_path / 'images', tmp_path / 'none.json')
    content = json.loads(ann_file.read_text())
    assert content['images'] == [] and content['annotations'] == [] and len(content['categories']) == 144


def test_write_records__list_and_lines_are_the_same(tmp_path, scenes):
    world = ShapesWorld()
    as_list = json.loads(write_records(world, range(3), tmp_path / 'a', tmp_path / 'a.json').read_text())
    lines = write_records(world, range(3), tmp_path / 'b', tmp_path / 'b.jsonl').read_text().splitlines()
    assert as_list == [json.loads(line) for line in lines]
    assert as_list == [scenes[i].to_record(record['f_path']) for i, record in enumerate(as_list)]
    for record in as_list:
        assert (tmp_path / 'a' / record['f_path']).read_bytes() == (tmp_path / 'b' / record['f_path']).read_bytes()
        for box in record['bbox_info']:
            x1, y1, x2, y2, score = box['bbox']
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and score == 1
            assert list(box['short_expr_negs']) == [str(key) for key in range(10)]


def test_dataset__start_selects_scenes(scenes):
    dataset = ShapesWorldDataset(pipeline=[], num_scenes=3, start=10)
    assert len(dataset) == 3
    sample = dataset[2]
    assert np.array_equal(sample['img'], scenes[12].image)
    assert sample['sample_key'] == 'shapes-0-12'
    assert sample['regions'] == scenes[12].regions()
    assert (sample['caption'], sample['short_caption']) == (scenes[12].caption, scenes[12].short_caption)
    assert sample['ori_shape'] == sample['img_shape'] == (96, 96)
    with pytest.raises(IndexError, match='scene -1 of a dataset of 3'):
        dataset[-1]


def test_dataset__later_pass_is_the_same_scene_with_another_random_state(scenes):
    dataset = ShapesWorldDataset(pipeline=[], num_scenes=3, start=10)
    first, again, later = dataset[2], dataset[2], dataset[2 + 3]
    assert first['sample_key'] == later['sample_key'] == 'shapes-0-12'
    assert np.array_equal(later['img'], scenes[12].image)
    draws = [sample['rng'].random() for sample in (first, again, later)]
    assert draws[0] == draws[1] != draws[2]
    assert [sample['sample_key'] for sample in dataset] == ['shapes-0-10', 'shapes-0-11', 'shapes-0-12']


def test_dataset__built_by_the_runner():
    config = {
        'type': 'fgdet.ShapesWorldDataset',
        'pipeline': [lambda results: {'key': results['sample_key'], 'sum': int(results['img'].sum())}],
        'num_scenes': 5,
        'world': {'image_size': 64, 'object_size': [16, 30], 'compositions': 'base'},
        'seed': 4,
    }
    sampler = {'type': 'DefaultSampler', 'shuffle': False}
    loader = Runner.build_dataloader(
        {'dataset': config, 'sampler': sampler, 'batch_size': 2, 'collate_fn': {'type': 'pseudo_collate'}}
    )
    batches = list(loader)
    assert [key for batch in batches for key in batch['key']] == [f'shapes-4-{i}' for i in range(5)]
    assert len(loader.dataset.metainfo['novel_classes']) == 36
    assert DATASETS.get('ShapesWorldDataset') is ShapesWorldDataset
