"""A scene's boxes and its record, on a scene made by hand."""

import numpy as np

from fgdet.datasets.shapes_scene import Scene, SceneObject, mask_box


def _scene(negatives: tuple[str, ...] = ('blue solid ring', 'red dotted ring')) -> Scene:
    mask = np.zeros((20, 40), bool)
    mask[5:10, 8:12] = True
    mask[12, 3] = True
    thing = SceneObject('red', 'solid', 'ring', 'small', mask_box(mask), mask, 'a small red solid ring', negatives)
    return Scene(np.zeros((20, 40, 3), np.uint8), (thing,), 'A long caption.', 'a red solid ring', 'dark background')


def test_mask_box__naive_loop():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((17, 23)) < 0.02
        mask[rng.integers(17), rng.integers(23)] = True
        points = [(x, y) for y in range(17) for x in range(23) if mask[y, x]]
        xs, ys = zip(*points, strict=True)
        assert mask_box(mask).tolist() == [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def test_regions__normalised_by_width_and_height():
    (region,) = _scene().regions()
    np.testing.assert_allclose(region['bbox'], (3 / 40, 5 / 20, 12 / 40, 13 / 20))
    assert region['short_expr'] == 'red solid ring'
    assert region['long_expr'] == 'a small red solid ring'
    assert region['negatives'] == ['blue solid ring', 'red dotted ring']


def test_to_record__hand_worked():
    assert _scene().to_record('a/b.png') == {
        'f_path': 'a/b.png',
        'caption': 'A long caption.',
        'short_caption': 'a red solid ring',
        'bbox_info': [
            {
                'bbox': [0.075, 0.25, 0.3, 0.65, 1.0],
                'short_expr': 'red solid ring',
                'long_expr': 'a small red solid ring',
                'flag_short_neg': 1,
                'short_expr_negs': {'0': 'blue solid ring', '1': 'red dotted ring'},
            }
        ],
    }


def test_to_record__without_negatives():
    (box,) = _scene(negatives=()).to_record('a.png')['bbox_info']
    assert box['flag_short_neg'] == 0 and box['short_expr_negs'] == {}
