"""Words of a caption and their tags: the built-in tagger, by tables, suffixes and neighbours."""

import re
from typing import NamedTuple

from fgdet.data_engine.word_tables import is_plural, kind_of, table, word_class

_MARK = '\u0300-\u036f'
_LETTER = rf'[^\W_][{_MARK}]*'
_TOKEN = re.compile(
    rf"(?P<word>(?:{_LETTER})+(?:(?:[-\u2010\u2011]|['\u2019](?!s\b))(?:{_LETTER})+)*)"
    rf"|(?P<own>['\u2019]s\b|(?<=s)['\u2019](?=\s))|(?P<quote>[\"\u201c\u201d\u00ab\u00bb])|(?P<comma>,)|(?P<rest>[^\s_])"
)
_PLAIN_SIGNS = str.maketrans({'\u2019': "'", '\u2010': '-', '\u2011': '-'})
_BREAKS = re.compile(r'[.!?;:()\[\]{}/|*#\u2014\u2013-]')
# `black and white cat`, `red, white and blue flag`: what stands between an adjective and its noun.
_LISTED = re.compile('(?:,?C?R{0,3}[Axcgd]){1,9}[Nxcnp]')
# `a snow covered hill`: with the noun before them they describe the noun after them.
_ENDINGS = frozenset(['covered', 'filled', 'lined', 'topped', 'capped', 'colored', 'coloured', 'shaped', 'sized'])
# Plurals that describe the noun after them: `a water sports shop`.
_PLURAL_FIRST = frozenset(['sports', 'arts', 'goods', 'games', 'sales', 'savings', 'crafts'])
# With `and` before them they do things: `a man and a woman walk`.
_BEINGS = frozenset(
    ['man', 'woman', 'boy', 'girl', 'child', 'person', 'dog', 'cat', 'horse', 'mother', 'father', 'groom']
)
_BE_OR_HAVE = frozenset(['is', 'are', 'was', 'were', 'be', 'been', 'being', 'am', 'has', 'have', 'had', 'having'])


class Word(NamedTuple):
    """A word of a caption.

    Args:
        start: its first character.
        end: the character after its last.
        lower: in small letters, with plain apostrophes and hyphens; a sign is itself.
        tag: ``D O P C B R M A N`` as in :func:`~fgdet.data_engine.word_tables.word_class`, ``V`` verb, ``G``
            participle, ``'`` possessive, ``,`` and ``.`` signs, ``K`` quoted writing.
    """

    start: int
    end: int
    lower: str
    tag: str


def split_words(caption: str) -> list[Word]:
    """Return the words and signs of a caption; the tag is empty for a word, else final.

    What is quoted after words such as ``reads`` stands in the picture as writing: it is one word, tagged ``K``. Other
    quotation marks are left out.
    """
    words: list[Word] = []
    opaque_until = -1
    for match in _TOKEN.finditer(caption):
        start, end, kind = match.start(), match.end(), match.lastgroup
        if start < opaque_until:
            continue
        if kind == 'word':
            words.append(Word(start, end, _plain(match.group()), ''))
        elif kind == 'own':
            words.append(Word(start, end, "'s", "'"))
        elif kind == 'comma':
            words.append(Word(start, end, ',', ','))
        elif kind == 'quote':
            last = next((word.lower for word in reversed(words) if word.tag != ','), '')
            closing = re.compile('["\u201d\u00bb]').search(caption, end)
            if last in table('quoting') and closing:
                opaque_until = closing.end()
                words.append(Word(start, opaque_until, '"', 'K'))
        elif _BREAKS.match(match.group()):
            words.append(Word(start, end, '.', '.'))
    return words


def _plain(word: str) -> str:
    lower = word.lower()
    return lower if lower.isascii() else lower.translate(_PLAIN_SIGNS)


def tag_words(caption: str) -> list[Word]:
    """Return the words of a caption with the tags of the built-in tagger."""
    words = split_words(caption)
    classes = [word.tag or word_class(word.lower) for word in words]
    _proper_names(caption, words, classes)
    shape = ''.join(classes)
    tags: list[str] = []
    for place, (word, found) in enumerate(zip(words, classes, strict=True)):
        before = tags[-1] if tags else '.'
        after = classes[place + 1] if place + 1 < len(words) else '.'
        if found in 'xcgd' and _LISTED.match(shape, place + 1):
            after = 'A'
        if found == 'N' and before == 'N' and word.lower[-1] == 's' and is_plural(word.lower):
            tag = _noun_or_unknown_verb(word.lower, place, words, tags, after)
        elif found in 'NABCPMK,.':
            tag = found
        elif found in 'xc':
            tag = _adjective_or_noun(found, ''.join(tags[-5:]) or '.', after)
        elif found in 'gd':
            tag = _participle(word.lower, before, after)
        elif found in 'vnsp':
            tag = _verb_or_noun(found, place, words, tags, after)
        else:
            tag = found
        if word.lower in _ENDINGS and before == 'N' and after in 'NxcAnp':
            tags[-1] = tag = 'A'
        tags.append(_exception(word.lower, tag, before, after))
    return [word._replace(tag=tag) for word, tag in zip(words, tags, strict=True)]


def _proper_names(caption: str, words: list[Word], classes: list[str]) -> None:
    """Make nouns of words with a capital beside another one within a sentence, unless capitals are everywhere."""
    capital = [caption[word.start].isupper() for word in words]
    named = [is_upper for is_upper, found in zip(capital, classes, strict=True) if found not in "DPCBO.,K'"]
    if sum(named) * 5 > len(named) * 4:
        return
    for place in range(1, len(words)):
        inside = capital[place] and classes[place - 1] not in '.K' and classes[place] not in 'DPCO'
        if inside and (capital[place - 1] or (place + 1 < len(words) and capital[place + 1])):
            classes[place] = 'N'


def _adjective_or_noun(found: str, behind: str, after: str) -> str:
    before = behind[-1]
    if before == 'N' and found == 'x':
        return 'N'
    if after in 'NxcAnpgd' and not (after in 'gd' and before in 'PVG'):
        return 'A'
    return 'N' if found == 'x' or behind.rstrip('A')[-1:] in ('D', 'M', "'") else 'A'


def _participle(word: str, before: str, after: str) -> str:
    # `, eating pizza` is done by someone; `, running water` is there.
    is_done = before in 'C,.' and word.endswith('ing') and not kind_of(word)
    if before in 'NOB' or is_done:
        return 'G'
    if after in 'NxcAnp':
        return 'A'
    return 'N' if before in "D'" and after not in 'gd,C' else 'A' if before in "DAM'" else 'G'


def _verb_or_noun(found: str, place: int, words: list[Word], tags: list[str], after: str) -> str:
    before = tags[-1] if tags else '.'
    often_noun = found in 'np'
    if before in "DAM'":
        return 'N'
    if before == 'P':
        is_verb = words[place - 1].lower == 'to' and (found == 'v' or (found == 'n' and after in 'DM'))
        return 'V' if is_verb else 'N'
    if before == 'N':
        return _after_noun(found, place, words, tags, after)
    if before == 'B':
        return 'N' if often_noun and words[place - 1].lower in _BE_OR_HAVE else 'V'
    if before in 'C,':
        return 'V' if not often_noun or after == 'D' else 'N'
    if before in 'VG.K':
        return 'N' if often_noun or (before == '.' and found == 'v') else 'V'
    return 'V'


def _start(place: int, tags: list[str], inside: str) -> int:
    """The first of the words before ``place``, nine at most, whose tags are all ``inside``."""
    least = max(place - 9, 0)
    while place > least and tags[place - 1] in inside:
        place -= 1
    return place


def _noun_or_unknown_verb(word: str, place: int, words: list[Word], tags: list[str], after: str) -> str:
    """No plural ends a noun phrase that `a` begins: `a soldier salutes a flag`."""
    first = _start(place - 1, tags, 'DAN')
    is_one = words[first].lower in ('a', 'an') or (tags[first] == 'D' and after == 'D')
    is_name = word in _PLURAL_FIRST or is_plural(words[place - 1].lower)
    return 'V' if is_one and not is_name else 'N'


def _after_noun(found: str, place: int, words: list[Word], tags: list[str], after: str) -> str:
    """A verb agrees with the noun before it, which is its subject; else it is part of a compound."""
    first = _start(place - 1, tags, "DAMN'")
    subject = words[place - 1].lower
    is_many = is_plural(subject) and subject not in _PLURAL_FIRST
    if found in 'vs':
        return 'V'
    if found == 'n':
        is_joined = first > 1 and tags[first - 1] == 'C' and tags[first - 2] == 'N' and subject in _BEINGS
        return 'V' if is_many or is_joined else 'N'
    if is_many:
        return 'V' if after == 'D' else 'N'
    is_subject = tags[first] == 'D' or first == 0
    return 'V' if words[first].lower in ('a', 'an', 'one') or (is_subject and after in 'DPROM') else 'N'


def _exception(word: str, tag: str, before: str, after: str) -> str:
    """Words that are a class of their own."""
    is_nominal = after in 'NxcAnpgd'
    if word == 'that' and (before == 'N' or not is_nominal):
        return 'O'
    if word == 'one':
        return 'M' if is_nominal else 'O'
    if tag == 'O' and after == "'" and word.startswith(('some', 'every')):
        return 'N'
    if word == 'her' and after in 's,.PBCDO':
        return 'O'
    if word == 'set' and before == 'N' and after == 'P':
        return 'G'
    if word in ('can', 'saw', 'set', 'felt') and before in "DAMN'" and not (word == 'can' and before == 'N'):
        return 'A' if word == 'felt' and is_nominal else 'N'
    if word in ('pair', 'couple', 'dozen', 'dozens', 'hundreds', 'thousands'):
        return 'M' if after in 'NxcAnp' else 'N'
    if tag == 'R' and before in 'DAM' and after in 'Nnp' and (word.endswith('ly') or '-' in word):
        return 'A'
    if tag == 'N' and before == 'B' and after == 'D' and word.endswith('ing'):
        return 'G'
    if word == 'made' and before == 'N':
        return 'G'
    if word == 'nearby' and is_nominal:
        return 'A'
    if word in ('near', 'far', 'inside', 'outside', 'opposite', 'overhead', 'past') and before == 'D' and is_nominal:
        return 'A'
    if word == "'s" and before in 'OR':
        return 'B'
    return tag
