"""What is measured of images and captions, and what goes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fgdet.data_engine.filters import CaptionFilter, ImageFilter, read_word_list, repeated_share, sharpness
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError
from tests.data_engine.pictures import blurred, save, scene

LONG = 'A man in a red shirt is standing next to a bicycle on the street.'


def test_image_filter__small_long_and_blurred_go_with_what_was_measured(tmp_path: Path) -> None:
    sharp = scene(0, (400, 300))
    records = [
        save(tmp_path, 'sharp.jpg', sharp),
        save(tmp_path, 'blurred.jpg', blurred(sharp, 12)),
        save(tmp_path, 'small.png', sharp.resize((80, 60))),
        save(tmp_path, 'long.png', scene(1, (600, 100))),
        save(tmp_path, 'flat.png', Image.new('RGB', (100, 100), 'grey')),
    ]
    outcomes = ImageFilter(tmp_path).run([*records, ImageRecord('gone', 'none.png', dropped='earlier')])
    assert all(isinstance(outcome, ImageRecord) for outcome in outcomes)
    dropped = [outcome.dropped for outcome in outcomes if isinstance(outcome, ImageRecord)]
    assert dropped == [None, 'blurred image', 'small image', 'long image', 'blurred image', 'earlier']
    assert outcomes[3].scores['aspect'] == 6.0  # type: ignore[union-attr]
    assert all(not record.scores and record.dropped is None for record in records)


def test_image_filter__sizes_are_upright_and_files_whole(tmp_path: Path) -> None:
    turned = scene(0, (120, 80))
    exif = turned.getexif()
    exif[0x0112] = 6
    save(tmp_path, 'turned.jpg', turned, exif=exif)
    data = (tmp_path / 'turned.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(data[: len(data) // 2])
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'folder').mkdir()
    names = ['turned.jpg', 'cut.jpg', 'text.png', 'missing.png', 'folder']
    kept, *broken = ImageFilter(tmp_path).run([ImageRecord(name, name) for name in names])
    assert isinstance(kept, ImageRecord)
    assert (kept.width, kept.height) == (80, 120)
    assert all(isinstance(outcome, Failure) and str(tmp_path) not in outcome.reason for outcome in broken)
    assert [
        outcome.reason.split(' cannot')[0].split(' does')[0] for outcome in broken if isinstance(outcome, Failure)
    ] == [f'image {name}' for name in names[1:]]
    (other,) = ImageFilter(tmp_path).run([ImageRecord('x', 'turned.jpg', 120, 80)])
    assert isinstance(other, Failure)
    assert other.reason == 'image turned.jpg has 80 x 120 pixels upright, the record says 120 x 80'


def test_sharpness__is_the_variance_of_the_laplacian_at_one_size() -> None:
    grey = np.asarray(scene(3, (40, 30)).convert('L'), dtype=np.float64)
    padded = np.pad(grey, 1, mode='reflect')
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    assert sharpness(grey) == pytest.approx(laplacian.var(), rel=1e-4)
    large = np.asarray(scene(4, (512, 384)).convert('L'))
    larger = cv2.resize(large, (1024, 768), interpolation=cv2.INTER_NEAREST)
    assert sharpness(larger) == pytest.approx(sharpness(large), rel=0.05)


@pytest.mark.parametrize(
    ('caption', 'dropped'),
    [
        (LONG, None),
        ('A dog', 'short caption'),
        ('', 'short caption'),
        ('word ' * 5 + LONG * 40, 'long caption'),
        (LONG + ' and a dog and a dog and a dog and a dog and a dog and a dog', 'repeated words'),
        ('Ein Mann mit einem roten Hemd steht neben einem Fahrrad auf der Straße.', 'another language'),
        ('Un homme avec une chemise rouge est près du vélo dans la rue.', 'another language'),
        ('一个穿着 红色 衬衫 的 男人 站在 街上', 'another language'),
        ('Мужчина стоит рядом', 'another language'),
        ('bicycle', 'short caption'),
        ('Red mug, blue café table', None),
    ],
)
def test_caption_filter__by_length_repetition_and_language(caption: str, dropped: str | None) -> None:
    (found,) = CaptionFilter().run([ImageRecord('1', 'x.png', caption=caption)])
    assert isinstance(found, ImageRecord)
    assert found.dropped == dropped
    assert found.scores['caption_words'] == len(caption.split())


def test_caption_filter__unsafe_words_are_the_users_own(tmp_path: Path) -> None:
    words = tmp_path / 'words.txt'
    words.write_text('# remarks\nbanned\nvery bad thing  # a phrase\n', encoding='utf-8')
    judge = CaptionFilter(language=None, unsafe_words=words)
    texts = ['This is Banned, here', 'a very  bad-thing here', 'unbanned and banneds', 'nothing of it']
    found = judge.run([ImageRecord(str(i), 'x.png', caption=text) for i, text in enumerate(texts)])
    assert [each.dropped for each in found if isinstance(each, ImageRecord)] == ['unsafe words'] * 2 + [None] * 2
    (short,) = judge.run([ImageRecord('1', 'x.png', caption=LONG, short_caption='banned')])
    assert isinstance(short, ImageRecord)
    assert (short.dropped, short.scores['unsafe_words']) == ('unsafe words', 1.0)
    assert 'banned' not in str(judge.settings())
    assert len(judge.settings()['unsafe_words']) == 64
    words.write_text('# nothing\n\n')
    with pytest.raises(UserError, match='there is no word in it'):
        read_word_list(words)
    with pytest.raises(UserError, match="or None, got 'xx'"):
        CaptionFilter(language='xx')


def test_repeated_share__worked_by_hand() -> None:
    assert repeated_share('one two three four five six seven eight nine ten') == 0
    assert repeated_share('a b c ' * 4 + 'd') == 9 / 13
    assert repeated_share('a b c a b c d') == 0  # said twice
    assert repeated_share('very very very good') == 2 / 4
    assert repeated_share('There is a dog. There is a cat. there is a Dog!') == 4 / 12
    listed = 'There is a dog on the left. There is a dog on the right. There is a dog in the middle.'
    assert repeated_share(listed) == repeated_share('') == 0
