"""Tables of English words for captions, written for fgdet: ``words/*.txt``."""

import hashlib
from functools import cache
from importlib.resources import files

from fgdet.data_engine.attributes import KINDS

#: What a table is called where its words have one tag, whatever stands around them; earlier tables win.
CLOSED = dict(
    nouns='N',
    auxiliaries='B',
    conjunctions='C',
    pronouns='O',
    count='M',
    determiners='D',
    prepositions='P',
    adverbs='R',
)
_TABLES = (
    *CLOSED,
    *KINDS,
    *('abstract', 'absent', 'adjectives', 'clothing', 'compounds', 'containers', 'crowds', 'groups', 'having'),
    *('having_passive', 'irregular_verbs', 'nouns_too', 'partitives', 'pictures', 'places', 'plurals', 'postures'),
    *('quoting', 'singulars', 'verbs'),
)
_LINES = ('compounds', 'having_passive')


def _read(name: str) -> str:
    return (files(__package__) / 'words' / f'{name}.txt').read_text(encoding='utf-8')


@cache
def table(name: str) -> frozenset[str]:
    """Return the entries of a table: its words, or its lines where an entry has several words."""
    lines = [line.strip() for line in _read(name).splitlines() if line.strip() and not line.startswith('#')]
    return frozenset(lines if name in _LINES else ' '.join(lines).split())


@cache
def tables_hash() -> str:
    """Return the start of the SHA-256 of all tables: it names their version."""
    digest = hashlib.sha256()
    for name in sorted(set(_TABLES)):
        digest.update(f'{name}\0{_read(name)}\0'.encode())
    return digest.hexdigest()[:16]


@cache
def _kinds() -> dict[str, str]:
    kinds: dict[str, str] = {}
    for kind in KINDS:
        for word in sorted(table(kind)):
            kinds.setdefault(word, kind)
    return kinds


_SUFFIX_KINDS = {
    '-colored': 'colour',
    '-coloured': 'colour',
    '-shaped': 'shape',
    '-sized': 'size',
    '-patterned': 'pattern',
}
_SUFFIX_KINDS |= dict.fromkeys(('-covered', '-eaten', '-filled', '-lined', '-lit'), 'state')


def kind_of(word: str) -> str | None:
    """Return the kind of attribute of a word in small letters, one of :data:`~fgdet.data_engine.attributes.KINDS`.

    Hyphens are looked into: ``heart-shaped`` is a shape, ``dark-red`` a colour. None where it is no attribute.
    """
    if kind := _kinds().get(word):
        return kind
    if word.isdigit():
        return 'count' if word.strip('0') != '1' else None
    if '-' not in word:
        return None
    suffix = word[word.rindex('-') :]
    return _SUFFIX_KINDS.get(suffix) or _kinds().get(suffix[1:])


@cache
def is_plural(word: str) -> bool:
    """Say whether a noun in small letters stands for many, by its form."""
    last = word.rsplit('-', 1)[-1]
    if last in table('plurals') or (last.endswith(('men', 'women', 'people')) and last not in ('specimen', 'omen')):
        return True
    return (
        len(last) > 2
        and last.endswith('s')
        and not last.endswith(('ss', 'us', 'is'))
        and last not in table('singulars')
    )


def _forms(verb: str) -> tuple[str, str, tuple[str, str]]:
    """The -s form, the -ing form and the regular past of a verb."""
    vowel, twice = 'aeiou', verb
    short = len(verb) > 2 and verb[-1] not in 'aeiouwxy' and verb[-2] in vowel and verb[-3] not in vowel
    if (short and (len(verb) < 5 or verb in ('sprint', 'scrub', 'stroll', 'strut', 'unwrap'))) or verb in (
        'begin',
        'unplug',
    ):
        twice = verb + verb[-1]
    if verb.endswith('y') and verb[-2] not in vowel:
        return verb[:-1] + 'ies', verb + 'ing', (verb[:-1] + 'ied',) * 2
    with_s = verb + ('es' if verb.endswith(('s', 'x', 'z', 'ch', 'sh', 'o')) else 's')
    if verb.endswith('ie'):
        return with_s, verb[:-2] + 'ying', (verb + 'd',) * 2
    if verb.endswith('e') and not verb.endswith(('ee', 'oe')):
        return with_s, verb[:-1] + 'ing', (verb + 'd',) * 2
    if verb.endswith('e'):
        return with_s, verb + 'ing', (verb + 'd',) * 2
    return with_s, twice + 'ing', (twice + 'ed', verb + 'ed')


@cache
def _word_classes() -> dict[str, str]:
    classes: dict[str, str] = {}
    for name, tag in CLOSED.items():
        for word in table(name):
            classes.setdefault(word, tag)
    too = table('nouns_too')
    for kind in ('adjectives', *KINDS):
        for word in table(kind):
            is_noun = word in too or kind in ('material', 'position')
            classes.setdefault(word, 'x' if is_noun else 'c' if kind == 'colour' else 'A')
    for verb in sorted(table('verbs')):
        with_s, with_ing, pasts = _forms(verb)
        classes.setdefault(verb, 'n' if verb in too else 'v')
        classes.setdefault(with_s, 'p' if verb in too else 's')
        classes.setdefault(with_ing, 'g')
        for past in pasts:
            classes.setdefault(past, 'd')
    for word in table('irregular_verbs'):
        classes.setdefault(word, 'g' if word.endswith('ing') else 'd')
    for word in table('postures') | table('state') | table('texture') | table('pattern'):
        if (
            classes[word] == 'A'
            and word.endswith(('ing', 'ed', 'en', 'torn', 'worn', 'cut', 'bent'))
            and word != 'naked'
        ):
            classes[word] = 'g' if word.endswith('ing') else 'd'
    return classes


@cache
def word_class(word: str) -> str:
    """Return what a word in small letters may be, before its neighbours are looked at.

    ``D O P C B R M A N``: determiner, pronoun, preposition, conjunction, auxiliary, adverb, number, adjective, noun;
    ``x``: adjective or noun; ``c``: colour, seldom a noun; ``v n``: a verb's base form, ``n`` where it is as often a
    noun; ``s p``: the same of the -s form; ``g d``: participles in -ing, and past forms.
    """
    if found := _word_classes().get(word):
        return found
    if word[0].isdigit():
        return 'M'
    if '-' in word:
        last = word_class(word.rsplit('-', 1)[1])
        return 'A' if kind_of(word) or last in 'Axcgd' else 'R' if last in 'RP' else 'N'
    if word.endswith('ly') and len(word) > 4:
        return 'R'
    if word.endswith(('ful', 'ous', 'less', 'ible', 'able', 'ctive', 'ative', 'sive')) and len(word) > 5:
        return 'A'
    if word.endswith('ing') and len(word) > 5:
        return 'g'
    if word.endswith('ed') and len(word) > 4:
        return 'd'
    return 'N'
