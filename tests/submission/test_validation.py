import numpy as np
import pytest

from fgdet.evaluation.result_table import ResultTable
from fgdet.submission.candidates import Candidates
from fgdet.submission.image_info import load_image_info
from fgdet.submission.mending import are_corners, mend
from fgdet.submission.validation import find_problems
from tests.submission_builders import entries, entry, run_lengths, write_info

NAN, INFINITY = float('nan'), float('inf')
MASK = np.zeros((80, 100), bool)
MASK[3:20, 5:50] = True


@pytest.fixture
def info(tmp_path):
    return load_image_info(write_info(tmp_path))


def _found(info, found, limit=100, with_masks=False):
    return find_problems(_candidates(info, found, with_masks), info, limit)


def _candidates(info, found, with_masks=False):
    return Candidates.of(ResultTable.from_entries(found), info, with_masks)


BOX_PROBLEMS = [
    ({'image_id': 14}, 'unknown image', 'image_id 14 is not among the 4 images of image_info'),
    ({'category_id': 2}, 'unknown category', 'category_id 2 is not among the 3 categories'),
    ({'score': NAN}, 'score that is no number', 'got nan'),
    ({'score': -INFINITY}, 'score that is no number', 'got -inf'),
    ({'score': 1.5}, 'score outside [0, 1]', 'got 1.5'),
    ({'score': -0.1}, 'score outside [0, 1]', 'got -0.1'),
    ({'bbox': [1, NAN, 2, 3]}, 'box that is no number', '[1.0, nan, 2.0, 3.0]'),
    ({'bbox': [1, 2, INFINITY, 3]}, 'box that is no number', 'inf'),
    ({'bbox': [NAN] * 4}, 'no box', "no 'bbox'"),
    ({'bbox': [30, 2, -3, 5]}, 'negative size', '[30.0, 2.0, -3.0, 5.0]'),
    ({'bbox': [3, 2, 0, 5]}, 'no area', 'less than 0.01 pixels'),
    ({'bbox': [3, 2, 5, 0.004]}, 'no area', 'less than 0.01 pixels'),
    ({'bbox': [-1, 2, 5, 5]}, 'box outside the image', 'of image 10 of 100 x 80 pixels'),
    ({'bbox': [60, 2, 40.2, 5]}, 'box outside the image', 'x, y, width, height'),
    ({'bbox': [60, 70, 5, 11]}, 'box outside the image', ''),
]


@pytest.mark.parametrize(('changes', 'kind', 'words'), BOX_PROBLEMS)
def test_boxes__each_problem_is_found_with_its_position(info, changes, kind, words):
    found = entries(20)
    found[17] = entry(**changes)
    problems = _found(info, found)
    assert problems.counts == {kind: 1}
    ((position, named, message),) = problems.examples
    assert (position, named) == (17, kind) and words in message


@pytest.mark.parametrize('bbox', [[-0.05, 0, 100.05, 80], [0, 79.9, 100, 0.15], [99.99, 0, 0.01, 0.02]])
def test_boxes__a_tenth_of_a_pixel_is_rounding(info, bbox):
    assert not _found(info, [entry(bbox=bbox)])


MASK_PROBLEMS = [
    (None, 'no mask', "no 'segmentation'"),
    (run_lengths(MASK.T), 'mask of another size than its image', 'expected [height, width] [80, 100], got [100, 80]'),
    ({'size': [80, 100], 'counts': run_lengths(MASK[:-1])['counts']}, 'mask that cannot be decoded', '8000 pixels'),
    ({'size': [80, 100], 'counts': '  '}, 'mask that cannot be decoded', 'segmentation.counts'),
    ({'size': [80, 100], 'counts': ''}, 'mask that cannot be decoded', 'segmentation.counts'),
    (run_lengths(MASK & False), 'no area', 'no pixel'),
]


@pytest.mark.parametrize(('mask', 'kind', 'words'), MASK_PROBLEMS)
def test_masks__each_problem_is_found_with_its_position(info, mask, kind, words):
    found = entries(20, with_masks=True)
    found[17] = entry(segmentation=mask, bbox=[NAN] * 4)  # boxes are not looked at
    problems = _found(info, found, with_masks=True)
    assert problems.counts == {kind: 1}
    assert problems.examples[0][:2] == (17, kind) and words in problems.examples[0][2]


def test_duplicates__same_image_category_and_box_or_mask(info):
    other = [entry(11), entry(category_id=3), entry(bbox=[10.27, 20.5, 30, 40.75])]
    assert not _found(info, [entry(), *other])
    problems = _found(info, [entry(), *other, entry(score=0.7), entry(bbox=[10.2501, 20.5, 30, 40.75])])
    assert problems.counts == {'duplicate': 2} and [example[0] for example in problems.examples] == [4, 5]
    masks = [MASK, MASK, np.roll(MASK, 1)]
    found = [entry(segmentation=run_lengths(mask), bbox=[i, 0, 1, 1]) for i, mask in enumerate(masks)]
    problems = _found(info, found, with_masks=True)
    assert problems.counts == {'duplicate': 1} and problems.examples[0][0] == 1


@pytest.mark.parametrize('with_masks', [False, True])
def test_duplicates__equal_a_naive_search_in_many_images_and_categories(tmp_path, with_masks):
    random = np.random.default_rng(0)
    images = [{'id': i, 'width': 9, 'height': 2} for i in range(64)]
    categories = [{'id': i} for i in range(64)]
    info = load_image_info(write_info(tmp_path, images=images, categories=categories))
    shapes = [[run_lengths(np.arange(18).reshape(2, 9) < i + 1), [i, 0, 1, 1]] for i in range(3)]
    found, seen, expected = [], set(), []
    for position, (image, category, shape) in enumerate(random.integers(0, [64, 64, 3], (6000, 3)).tolist()):
        mask, box = shapes[shape]
        found.append(entry(image, category_id=category, bbox=box, segmentation=mask))
        if (image, category, shape) in seen:
            expected.append(position)
        seen.add((image, category, shape))
    assert np.flatnonzero(_candidates(info, found, with_masks).repeated()).tolist() == expected


def test_too_many__counts_images_and_shows_the_first_beyond(info):
    found = [entry(11 if i == 3 else 10, bbox=[i, 0, 1, 1]) for i in range(8)]
    assert not _found(info, found, limit=7)
    problems = _found(info, found, limit=5)
    assert problems.counts == {'too many in an image': 1}
    assert problems.examples == [(6, 'too many in an image', 'image 10 has 7 detections, and 5 are allowed')]


def test_examples__the_first_ten_by_position_and_all_counted(info):
    found = [entry(99, score=2.0, bbox=[i, 0, 1, 1]) for i in range(30)]
    problems = _found(info, found)
    assert problems.counts == {'unknown image': 30, 'score outside [0, 1]': 30}
    assert [example[0] for example in problems.examples] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert not _found(info, [])


@pytest.mark.parametrize('seed', range(60))
def test_mend__equals_a_naive_loop_and_leaves_no_problem(info, seed):
    random = np.random.default_rng(seed)
    choices = ([10, 11, 99], [1, 3], [-20.0, 0.0, 0.002, 7.125, 90.0], [0.0, 0.25, 0.5, 1.0 + 1e-9])
    images, categories, sides, scores = choices
    rows = [
        (random.choice(images), random.choice(categories), random.choice(sides, 4).tolist(), random.choice(scores))
        for _ in range(random.integers(0, 26))
    ]
    found = [entry(int(i), category_id=int(c), bbox=box, score=float(score)) for i, c, box, score in rows]
    candidates = _candidates(info, found)
    mended, done = mend(candidates, info, 5)
    corners = are_corners(candidates, info)
    if not corners:
        assert not find_problems(mended, info, 5)
    expected = _naive(found, 5, clip=not corners)
    assert mended.positions.tolist() == [position for position, _ in expected]
    assert mended.table.boxes.tolist() == [box for _, box in expected]
    dropped = sum(count for what, count in done.items() if what.startswith('dropped'))
    assert len(found) - dropped == len(expected)
    again, nothing = mend(mended, info, 5)
    assert not nothing and again.table.boxes.tolist() == mended.table.boxes.tolist()


def _naive(found, limit, clip):
    sizes = {10: (100, 80), 11: (110, 80)}
    kept = []
    for position, each in enumerate(found):
        (x, y, w, h), (width, height) = each['bbox'], sizes.get(each['image_id'], (0, 0))
        if each['image_id'] not in sizes or w < 0 or h < 0:
            continue
        if clip and (x < -0.1 or y < -0.1 or x + w > width + 0.1 or y + h > height + 0.1):
            left, top = min(max(x, 0), width), min(max(y, 0), height)
            x, y, w, h = left, top, min(max(x + w, 0), width) - left, min(max(y + h, 0), height) - top
        if min(w, h) > 0.005:
            kept.append((position, each, [x, y, w, h]))
    kept.sort(key=lambda item: -min(item[1]['score'], 1.0))
    unique, counts, result = set(), dict.fromkeys(sizes, 0), []
    for position, each, box in kept:
        key = (each['image_id'], each['category_id'], *(round(value, 2) for value in box))
        if key in unique:
            continue
        unique.add(key)
        counts[each['image_id']] += 1
        if counts[each['image_id']] <= limit:
            result.append((each['image_id'], position, box))
    return [(position, box) for _, position, box in sorted(result, key=lambda item: item[0])]


def test_mend__says_what_it_did(info):
    found = [
        entry(bbox=[-5, 0, 10, 10], score=0.3),
        entry(99),
        entry(bbox=[1, 1, -1, 5]),
        entry(score=0.9),
        entry(score=0.8),
        entry(bbox=[200, 0, 5, 5]),
        entry(score=1 + 1e-8, bbox=[0, 0, 9, 9.5]),
        *(entry(score=0.1, bbox=[i, 0, 1.5, 1]) for i in range(30)),
    ]
    mended, done = mend(_candidates(info, found), info, 4)
    assert done == {
        'dropped, unknown image': 1,
        'dropped, negative size': 1,
        'clipped, box outside the image': 2,
        'dropped, no area': 1,
        'clipped, score outside [0, 1]': 1,
        'dropped, duplicate': 1,
        'dropped, too many in an image': 29,
        'sorted by image and score': 4,
    }
    assert mended.positions.tolist() == [6, 3, 0, 7] and mended.table.scores.tolist() == [1.0, 0.9, 0.3, 0.1]
    assert mended.table.boxes[2].tolist() == [0, 0, 5, 10]


@pytest.mark.parametrize(
    'changes',
    [
        {'category_id': 2},
        {'score': NAN},
        {'score': 1.01},
        {'bbox': [NAN, 1, 2, 3]},
        {'bbox': [NAN] * 4},
    ],
)
def test_mend__leaves_what_cannot_be_known(info, changes):
    found = [*entries(10), entry(**changes)]
    mended, _ = mend(_candidates(info, found), info, 100)
    problems = find_problems(mended, info, 100)
    assert sum(problems.counts.values()) == 1 and problems.examples[0][0] == 10


def test_mend__masks_without_a_pixel_go_and_wrong_ones_stay(info):
    found = entries(10, with_masks=True)
    found[2]['segmentation'] = run_lengths(np.zeros((80, 10 * (found[2]['image_id'] - 10) + 100), bool))
    found[4]['segmentation'] = {'size': [1, 2], 'counts': '2'}
    mended, done = mend(_candidates(info, found, with_masks=True), info, 100)
    assert done['dropped, no area'] == 1 and len(mended) == 9
    problems = find_problems(mended, info, 100)
    assert problems.counts == {'mask of another size than its image': 1} and problems.examples[0][0] == 4


def test_corners__boxes_written_as_corners_are_not_clipped(info):
    found = entries(40)
    for each in found:
        x, y, w, h = each['bbox']
        each['bbox'] = [x, y, x + w, y + h]
    candidates = _candidates(info, found)
    assert are_corners(candidates, info)
    mended, _ = mend(candidates, info, 100)
    assert 'box outside the image' in find_problems(mended, info, 100).counts
    assert not are_corners(_candidates(info, entries(40)), info)
