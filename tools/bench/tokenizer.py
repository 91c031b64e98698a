# ruff: noqa: RUF001 (odd characters are what is measured)
"""Captions to CLIP's token ids: fgdet.text.tokenizer.Tokenizer over open_clip's SimpleTokenizer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from open_clip.tokenizer import SimpleTokenizer
from timing import alternate, num_threads, record
from torch import Tensor

from fgdet.text.tokenizer import Tokenizer

CONTEXT_LENGTH = 248
_NUM_WORDS = 12_000
# What comes between two words in place of a space, and how often.
_BREAKS = {', ': 0.05, '. ': 0.06, '-': 0.003, '; ': 0.003, ' (': 0.002, ') ': 0.002, '\n': 0.001, "'s ": 0.01}
# Odd pieces: accents, quotes, dashes, other scripts, emoji, entities and ampersands; then rare ones, broken encodings.
_ODD = (
    'café',
    'naïve',
    'São Paulo',
    'Ünïcödé',
    'crème brûlée',
    'the dog’s',
    '“open”',
    '‘shop’',
    'red — blue',
    '1990–2000',
    'wait…',
    '20°C',
    '½ cup',
    '5 × 7',
    '€50',
    '商店',
    'カフェ',
    'привет',
    'ελληνικά',
    '한국어',
    '😀',
    '👍🏽',
    '👩‍👩‍👧‍👦',
    '🇫🇷',
    '❤️',
    '🐶🐶🐶',
    'fish & chips',
    'R&amp;D',
    '&lt;b&gt;',
    '&quot;sale&quot;',
    'caf&eacute;',
    '&#39;n&#39;',
    'ﬁsh',
    'ｗｉｄｅ',
    'zero\u200bwidth',
    'non\u00a0breaking',
)
_BROKEN = ('â€œbrokenâ€\x9d', 'schÃ¶n')


def run(repeats: int = 5, threads: int | None = None, num_captions: int = 10_000) -> dict[str, Any]:
    """Measure with the words known from earlier texts, as in training after its first batches, and with none known.

    Args:
        repeats: pairs of alternating runs for each case.
        threads: threads that torch computes with; the tokenizers use one.
        num_captions: size of the sample, see :func:`sample`.

    Returns:
        The record with known words, and both cases as ``cases``. ``max_error`` is the number of different ids;
        ``settings`` has the captions a second.
    """
    ours, theirs = Tokenizer.clip(), SimpleTokenizer()
    new = iter([(Tokenizer.clip(), SimpleTokenizer()) for _ in range(repeats + 2)])
    captions = sample(num_captions, [token[:-4] for token in theirs.encoder if token.endswith('</w>')])
    pair: list[Any] = []

    def our_first() -> Tensor:
        pair[:] = next(new)
        return pair[0](captions, CONTEXT_LENGTH)

    with num_threads(threads):
        known = (lambda: ours(captions, CONTEXT_LENGTH), lambda: theirs(captions, CONTEXT_LENGTH))
        first = (our_first, lambda: pair[1](captions, CONTEXT_LENGTH))
        cases = [_measure('known words', *known, repeats, captions), _measure('new words', *first, repeats, captions)]
    return {**cases[0], 'name': 'tokenizer', 'cases': cases}


def sample(count: int, words: Sequence[str], seed: int = 0) -> list[str]:
    """Captions of 60 to 200 words and phrases of 5 to 20, as many of each.

    Of 100, 6 hold one or two odd pieces; of 2,000, one holds a broken encoding.

    Args:
        count: texts in the sample.
        words: the more frequent first; drawn by Zipf's law. Some are joined to a word that the tokenizer splits.
        seed: of all choices.
    """
    rng = np.random.default_rng(seed)
    words = [word for word in words if word.isalpha() and word.isascii() and len(word) > 1][:_NUM_WORDS]
    chances = 1 / (np.arange(len(words)) + 2.7) ** 1.1
    breaks = (*_BREAKS, ' ')
    break_chances = (*_BREAKS.values(), 1 - sum(_BREAKS.values()))
    captions = []
    for index in range(count):
        length = int(rng.integers(60, 201) if index % 2 else rng.integers(5, 21))
        drawn = [words[i] for i in rng.choice(len(words), length, p=chances / chances.sum())]
        for at in np.flatnonzero(rng.random(length) < 0.005):
            drawn[at] += drawn[at - 1]
        for at in np.flatnonzero(rng.random(length) < 0.005):
            drawn[at] = str(int(10 ** rng.uniform(0, 3)))
        if rng.random() < 0.06:
            for at in rng.integers(0, length, rng.integers(1, 3)):
                drawn[at] = _ODD[rng.integers(len(_ODD))]
        if rng.random() < 0.0005:
            drawn[0] = _BROKEN[rng.integers(len(_BROKEN))]
        between = rng.choice(breaks, length, p=break_chances).tolist()
        captions.append(
            ''.join(word + gap for word, gap in zip(drawn, between, strict=True)).strip().capitalize() + '.'
        )
    return captions


def _measure(
    name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor], repeats: int, captions: list[str]
) -> dict[str, Any]:
    our_ids, their_ids = ours(), theirs()
    their_ids = their_ids.masked_fill((their_ids == our_ids[0, -1]).cumsum(1) > 0, our_ids[0, -1].item())
    comparison = alternate(ours, theirs, repeats)
    settings = {
        'captions': len(captions),
        'words': sum(len(caption.split()) for caption in captions),
        'distinct_words': len({word for caption in captions for word in caption.split()}),
        'with_odd_characters': sum(not caption.isascii() or '&' in caption for caption in captions),
        'context_length': CONTEXT_LENGTH,
        'captions_per_second': len(captions) / float(np.median(comparison.ours)),
        'their_captions_per_second': len(captions) / float(np.median(comparison.theirs)),
    }
    return record(name, comparison, float((our_ids != their_ids).sum()), settings)
