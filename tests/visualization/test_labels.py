import numpy as np

from fgdet.visualization.labels import fit_text, load_font, place_labels


def _overlaps(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_place_labels__above_then_inside_at_the_top_edge():
    assert place_labels([(50, 60, 90, 90)], [(30, 12)], (200, 100)) == [(50, 48, 80, 60)]
    assert place_labels([(50, 0, 90, 90)], [(30, 12)], (200, 100)) == [(50, 0, 80, 12)]


def test_place_labels__stay_inside_the_image():
    rng = np.random.default_rng(0)
    for _ in range(50):
        corners = np.sort(rng.integers(0, 200, (20, 2, 2)), axis=1).reshape(20, 4)
        places = place_labels([tuple(box) for box in corners.tolist()], [(60, 14)] * 20, (200, 200))
        assert all(left >= 0 and top >= 0 and right <= 200 and bottom <= 200 for left, top, right, bottom in places)


def test_place_labels__same_box_many_times_without_overlap():
    places = place_labels([(80, 80, 140, 140)] * 8, [(40, 12)] * 8, (300, 300))
    assert not any(_overlaps(a, b) for index, a in enumerate(places) for b in places[:index])


def test_place_labels__a_crowd_without_overlap():
    rng = np.random.default_rng(0)
    corners = np.stack([rng.integers(150, 450, 25), rng.integers(120, 300, 25)], axis=1)
    boxes = [(int(x), int(y), int(x) + 30, int(y) + 30) for x, y in corners]
    places = place_labels(boxes, [(64, 16)] * 25, (640, 427))
    assert not any(_overlaps(a, b) for index, a in enumerate(places) for b in places[:index])


def test_place_labels__label_larger_than_the_image_starts_at_its_edge():
    assert place_labels([(2, 2, 5, 5)], [(50, 12)], (20, 10)) == [(0, 0, 50, 12)]


def test_place_labels__none():
    assert place_labels([], [], (10, 10)) == []


def test_fit_text__cuts_only_what_is_too_wide():
    font = load_font(12)
    assert fit_text('a  red\nmug', font, 500) == 'a red mug'
    cut = fit_text('a very long description of a mug', font, 80)
    assert cut.endswith('…')
    assert cut.startswith('a ver')
    assert font.getlength(cut) <= 80


def test_load_font__has_glyphs_beyond_latin():
    font = load_font(20)
    missing = bytes(font.getmask('\U0010fffd'))
    assert all(bytes(font.getmask(letter)) != missing for letter in 'éЖΩא☃')


def test_place_labels__none_where_nothing_is_free():
    places = place_labels([(0, 0, 40, 20)] * 3, [(40, 20)] * 3, (40, 40))
    assert places == [(0, 0, 40, 20), (0, 20, 40, 40), None]
