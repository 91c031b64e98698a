"""Whether a caption is in a language, by its script and its most frequent words: a simple test, no model.

It tells English from German or Chinese in a sentence; it does not tell Danish from Norwegian, and says nothing of a few
words, in which none of the frequent ones need stand.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

#: Frequent words by language, those of captions among them; a word may be in several.
STOP_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        'en': """the a an of in on and with is are to at by from for it its this that there has have two three next
            behind front while as who which their his her some under over near up""",
        'de': """der die das den dem des ein eine einen einem einer und mit ist sind auf in im am an von zu vor hinter
            neben unter über nicht für es sie er zwei drei sich""",
        'fr': """le la les un une des du de et avec est sont dans sur au aux en pour par il elle ils deux trois qui que
            près devant derrière sous à""",
        'es': """el la los las un una unos unas de del y con es son en al por para se que dos tres su sobre junto frente
            detrás hay está""",
        'it': """il lo la i gli le un uno una di del della e con è sono in su sul sulla al alla per da che due tre si
            vicino davanti""",
        'pt': """o a os as um uma uns umas de do da e com é são em no na ao à por para que dois duas três se perto
            frente está""",
        'nl': """de het een en met is zijn op in van te aan voor achter naast onder over niet twee drie die dat er""",
    }.items()
}
#: A text of fewer words is judged by its script alone.
FEWEST_WORDS = 8


def latin_share(text: str) -> float:
    """The share of a text's letters that are Latin, 0..1; 1 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    return sum(map(_is_latin, letters)) / len(letters) if letters else 1.0


@cache
def _is_latin(char: str) -> bool:
    return unicodedata.name(char, '').startswith(('LATIN', 'FULLWIDTH LATIN', 'FEMININE', 'MASCULINE'))


def stop_word_shares(text: str, languages: Iterable[str] = STOP_WORDS) -> dict[str, float]:
    """By language, the share of a text's words that are among its frequent ones, 0..1."""
    words = re.findall(r'[^\W\d_]+', text.lower())
    return {each: sum(word in STOP_WORDS[each] for word in words) / max(1, len(words)) for each in languages}


def seems_to_be(text: str, language: str, least_latin: float = 0.9) -> bool:
    """Tell whether nothing speaks against a language: script, and in a longer text the frequent words.

    Args:
        text: a caption.
        language: a key of :data:`STOP_WORDS`; all of them are written in Latin letters.
        least_latin: share of the letters.
    """
    if latin_share(text) < least_latin:
        return False
    if len(re.findall(r'[^\W\d_]+', text)) < FEWEST_WORDS:
        return True
    shares = stop_word_shares(text)
    return shares[language] > 0 and shares[language] >= max(shares.values())
