# ruff: noqa: RUF001 (odd characters are what is tested)
"""Token ids against open_clip's own tokenizer, which is CLIP's."""

import json
import pickle
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.utils.data import DataLoader

from fgdet.datasets.shapes_world import ShapesWorld
from fgdet.text import tokenizer as tokenizer_module
from fgdet.text.tokenizer import Tokenizer

START, END = 49406, 49407

NASTY = [
    '',
    ' ',
    '\t\n\r',
    '.',
    'a',
    'A CAT',
    "it's the dog's; they've, we're, I'm, he'd, she'll, can't, 'twas, 's 't",
    "IT'S THE DOG'S; THEY'VE",
    "''s'''t '",
    '12 123 1234567890 3.14 1,000,000 1st 2nd v2.0 007',
    '½ ² Ⅷ ٣ ৪ 一二三 ①',
    'rock&roll &amp; &lt;b&gt; &quot;x&quot; &#39; &eacute; &amp;amp;lt; &notanentity; R&D &',
    'café naïve Ünïcödé ñandú ÅNGSTRÖM straße İstanbul ŞIĞ',
    'e\u0301 o\u0308 (combining) \u1e9b\u0323',
    'Привет мир ελληνικά עברית العربية हिन्दी ไทย 한국어 日本語 中文',
    '😀 👍🏽 👩‍👩‍👧‍👦 🇫🇷 ❤️ a😀b',
    '“curly” ‘quotes’ — dash… • bullet ™ © ® £ € ¥ ° ±',
    'â€œmojibakeâ€\x9d sÃ¡ schÃ¶n',
    'zero\u200bwidth \u200dnon\u00a0breaking\u3000ideographic \ufeff bom \u2028 line',
    'ﬁ ﬂ ligatures ｆｕｌｌｗｉｄｔｈ',
    'tab\tnewline\nreturn\rvertical\x0bform\x0cunit\x1fdelete\x7fnull\x00end\x85next',
    '\x1b[31mred\x1b[0m',
    'snake_case kebab-case CamelCase http://example.com/a?b=c&d=e#f user@example.com #hashtag C++ C# .NET',
    '!!!??? ... --- *** ((())) [[]] {} <> | \\ / ~ ` ^ % $ @',
    'a' * 500,
    'word ' * 300,
    '! ' * 300,
    '😀' * 100,
    'antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis',
    '  leading and trailing  and   inner   spaces  ',
    '\ud83d lone surrogate'.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace'),
    '\U0001d54f\U0001d4d0 mathematical letters \U00020000 rare ideograph \ue000 private \uffff',
]


@pytest.fixture(scope='module')
def tokenizer() -> Tokenizer:
    return Tokenizer.clip()


@pytest.fixture(scope='module')
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


def padded_with_end(ids: Tensor) -> Tensor:
    """open_clip pads with 0 after the end mark; FG-CLIP with the end mark."""
    after = (ids == END).int().cumsum(1) > 0
    return ids.masked_fill(after, END)


@pytest.mark.parametrize('length', [77, 248, 3])
@pytest.mark.parametrize('text', NASTY, ids=[str(i) for i in range(len(NASTY))])
def test_ids__equal_open_clips_on_odd_texts(
    tokenizer: Tokenizer, theirs: SimpleTokenizer, text: str, length: int
) -> None:
    assert torch.equal(tokenizer(text, length), padded_with_end(theirs(text, length)))


def test_ids__equal_open_clips_on_generated_captions(tokenizer: Tokenizer, theirs: SimpleTokenizer) -> None:
    world = ShapesWorld()
    scenes = [world.scene(i) for i in range(200)]
    captions = [text for scene in scenes for text in (scene.caption, scene.short_caption)]
    captions += [
        text for s in scenes for r in s.regions() for text in (r['short_expr'], r['long_expr'], *r['negatives'])
    ]
    captions = captions[:2000]
    assert len(captions) == 2000 and len(set(captions)) > 500
    assert torch.equal(tokenizer(captions, 248), padded_with_end(theirs(captions, 248)))


def test_ids__equal_open_clips_on_every_character(tokenizer: Tokenizer, theirs: SimpleTokenizer) -> None:
    """Each assigned character up to U+3000 and from U+F900 on, between letters, digits, marks and apostrophes."""
    codes = [*range(32, 0x3000), *range(0xF900, 0xFFFE), 0x1F600, 0x1D54F]
    characters = [chr(c) for c in codes if unicodedata.category(chr(c)) not in {'Cn', 'Co'}]
    texts = [f"a{c}b{c}{c}1'{c}!{c}.{c}" for c in characters]
    different = (tokenizer(texts) != padded_with_end(theirs(texts))).any(1)
    assert [hex(ord(c)) for c, d in zip(characters, different, strict=True) if d] == []


def test_ids__equal_open_clips_on_random_texts(tokenizer: Tokenizer, theirs: SimpleTokenizer) -> None:
    """Words, entities, white space and characters of all kinds in any order; new chunks first, then known ones."""
    texts = random_texts(800)
    expected = padded_with_end(theirs(texts, 248))
    fresh = pickle.loads(pickle.dumps(tokenizer))
    for _ in range(2):
        assert [t for t, same in zip(texts, (fresh(texts, 248) == expected).all(1), strict=True) if not same] == []


def random_texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    codes = [*range(0x20), *range(0x7F, 0x2100), *range(0x2190, 0x2800), *range(0x3000, 0x3100), *range(0xF900, 0xFFFE)]
    codes += range(0x1F300, 0x1F700)
    characters = [chr(code) for code in codes if unicodedata.category(chr(code)) not in {'Cn', 'Co', 'Cs'}]
    words = [
        'a',
        'The',
        'dog',
        'ran;',
        '(quickly)',
        'on',
        '2',
        'red-brown',
        'LEGS,',
        "it's",
        '"fine".',
        'C++',
        '&',
        'x<y',
        '>',
    ]
    entities = '&amp; &lt; &LT; &nbsp; &rsquo; &eacute; &EACUTE; &#39; &#x41; &#7; &#10; &amp;amp; &amp;lt; &ampx; &#'
    spaces = [
        ' ',
        ' ',
        ' ',
        ' ',
        '  ',
        '',
        '\n',
        '\t',
        '\r\n',
        '\x0b',
        '\x0c',
        '\x1c',
        '\x85',
        '\xa0',
        '\u2028',
        '\u3000',
    ]
    odd = [piece for text in NASTY[8:24] for piece in text.split(' ')]
    texts = []
    for _ in range(count):
        pieces = []
        for kind in rng.choice(4, rng.integers(1, 12), p=(0.6, 0.15, 0.15, 0.1)):
            pieces.append(str(rng.choice((words, odd, characters, entities.split(' '))[kind])))
            pieces.append(spaces[rng.integers(len(spaces))])
        texts.append(''.join(pieces))
    return texts


def test_ids__the_same_when_known_chunks_are_forgotten(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(300, seed=1)
    expected = tokenizer(texts)
    monkeypatch.setattr(tokenizer_module, 'MOST_KNOWN', 100)
    small = pickle.loads(pickle.dumps(tokenizer))
    rows = []
    for start in range(0, 300, 20):
        rows.append(small(texts[start : start + 20]))
        assert len(small._known) < 100 + 20 * 24
    assert torch.equal(torch.cat(rows), expected)


def test_ids__long_chunks_are_not_kept(tokenizer: Tokenizer) -> None:
    small = pickle.loads(pickle.dumps(tokenizer))
    small(['x' * 100_000, 'short ' + 'y' * 65, 'é' * 65])
    assert set(small._known) == {'', 'short'}


def test_ids__known_chunks_stay_at_home(tokenizer: Tokenizer) -> None:
    small = pickle.loads(pickle.dumps(tokenizer))
    assert set(small._known) == {''}
    empty = len(pickle.dumps(small))
    small(random_texts(200))
    assert len(small._known) > 100
    assert len(pickle.dumps(small)) == empty


def test_ids__in_worker_processes_and_threads(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(400, seed=2)
    expected = tokenizer(texts)
    loader: Any = DataLoader(texts, batch_size=50, num_workers=2, collate_fn=tokenizer)  # type: ignore[arg-type]
    assert torch.equal(torch.cat(list(loader)), expected)
    monkeypatch.setattr(tokenizer_module, 'MOST_KNOWN', 200)
    shared = pickle.loads(pickle.dumps(tokenizer))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            rows = pool.map(shared, [texts[start : start + 10] for start in range(0, 400, 10)])
            assert torch.equal(torch.cat(list(rows)), expected)


def test_encode__the_rows_without_padding(tokenizer: Tokenizer) -> None:
    texts = ['', 'a photo of a cat', 'cat ' * 100]
    assert tokenizer.encode(texts) == [
        [START, END],
        [START, 320, 1125, 539, 320, 2368, END],
        [START, *[2368] * 75, END],
    ]
    assert tokenizer.encode('cat', context_length=2) == [[START, END]]
    assert tokenizer.encode([]) == []
    with pytest.raises(ValueError, match='context_length: expected at least 2'):
        tokenizer.encode('cat', context_length=1)


def test_ids__known_ones(tokenizer: Tokenizer) -> None:
    assert tokenizer('a photo of a cat').tolist() == [[START, 320, 1125, 539, 320, 2368] + 71 * [END]]
    assert tokenizer.vocab_size == 49408


def test_ids__marks_in_a_text_are_plain_text(tokenizer: Tokenizer) -> None:
    """A caption cannot end the text early: nothing that a caption holds becomes one of the two marks."""
    for mark in ('<|endoftext|>', '<|startoftext|>'):
        ids = tokenizer(f'a {mark} b')[0]
        assert ids[0] == START and (ids == START).sum() == 1
        words = int((ids == END).int().argmax())
        assert words > 5 and (ids[words:] == END).all()


@pytest.mark.parametrize(('words', 'length'), [(75, 77), (76, 77), (246, 248), (247, 248)])
def test_ids__longest_text_that_fits_and_one_word_more(tokenizer: Tokenizer, words: int, length: int) -> None:
    ids = tokenizer('cat ' * words, length)[0]
    assert ids.tolist() == [START] + (length - 2) * [2368] + [END]


def test_ids__no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer([]).shape == (0, 77) and tokenizer([]).dtype == torch.int64


def test_save__round_trip(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.from_folder(tmp_path)
    assert torch.equal(loaded(NASTY), tokenizer(NASTY))
    assert (loaded.start_id, loaded.end_id, loaded.vocab_size) == (START, END, 49408)
    assert json.loads((tmp_path / 'tokenizer_config.json').read_text())['tokenizer_class'] == 'CLIPTokenizer'


def test_vocabulary__must_have_both_marks() -> None:
    with pytest.raises(ValueError, match=r'lacks <\|endoftext\|>'):
        Tokenizer({'a': 0, '<|startoftext|>': 1}, [])
    with pytest.raises(ValueError, match='ids up to 65535, got 65536'):
        Tokenizer({'<|endoftext|>': 0, '<|startoftext|>': 65536}, [])


def test_clip__without_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('fgdet.text.tokenizer.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='pip install open_clip_torch'):
        Tokenizer.clip()
