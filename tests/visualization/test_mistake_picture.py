import numpy as np

from fgdet.visualization.mistake_picture import DETECTED, TRUTH, draw_mistake


def _columns(picture, color):
    return np.flatnonzero((picture == color).all(axis=2).any(axis=0))


def test_draw_mistake__boxes_where_they_are():
    image = np.full((400, 600, 3), 100, np.uint8)
    picture = draw_mistake(image, [100.0, 100.0, 100.0, 100.0], [150.0, 100.0, 50.0, 100.0], side=160)
    assert picture.shape == (160, 160, 3)  # 100 x 100 with 30 % around: nothing is scaled
    assert (_columns(picture, DETECTED).min(), _columns(picture, DETECTED).max()) == (30, 130)
    truth = _columns(picture, TRUTH)
    assert truth.min() == 80  # the right edges lie on each other
    assert (picture[0] == 100).all()


def test_draw_mistake__at_the_border_small_outside_and_without_boxes():
    image = np.full((50, 200, 3), 9, np.uint8)
    for detected, truth in (
        ([190.0, 40.0, 500.0, 500.0], None),
        ([3.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]),
        ([900.0, 900.0, 10.0, 10.0], None),
        (None, [0.0, 0.0, 200.0, 50.0]),
    ):
        picture = draw_mistake(image, detected, truth, side=100)
        assert max(picture.shape[:2]) == 100
        assert len(_columns(picture, DETECTED if detected else TRUTH))
    whole = draw_mistake(image, None, None, side=100)
    assert whole.shape == (25, 100, 3)
    assert (whole == 9).all()
