"""Words for attributes, what each is the opposite of, and which of them suit a class of things.

A line of a table holds senses that exclude one another, divided by ``|``; the words of a sense can be true together, so
that none is written for another. Words behind ``;`` are known but never written. ``_`` stands for a space.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, takewhile

from fgdet.data_engine.noun_classes import OTHER, is_noun, noun_class, singular

VERSION = 1
_TABLE = {
    'colour': [
        """red ; scarlet crimson maroon burgundy dark_red bright_red cherry | orange ; ginger peach coral
        | yellow ; mustard lemon-yellow light_yellow bright_yellow | gold golden | beige ; cream ivory off-white
        | green ; olive lime emerald dark_green light_green bright_green lime_green | teal ; turquoise cyan aqua
        | blue ; navy navy_blue light_blue dark_blue sky_blue royal_blue baby_blue bright_blue azure indigo
        | purple ; violet lavender lilac magenta dark_purple light_purple | pink ; hot_pink light_pink fuchsia
        | brown ; tan chestnut dark_brown light_brown bronze-coloured
        | black ; jet-black | grey gray silver ; dark_grey dark_gray light_grey light_gray charcoal silvery
        | white ; snow-white pure_white | blonde blond | transparent ; clear see-through translucent"""
    ],
    'material': [
        """wooden wood ; oak bamboo timber | metal metallic steel ; iron aluminum aluminium chrome stainless_steel brass
        copper tin bronze | plastic ; vinyl | glass | ceramic ; porcelain clay china terracotta | leather ; suede
        | cotton fabric cloth ; canvas linen | denim | wool woolen ; woollen knitted knit | silk ; satin
        | stone marble ; granite slate cobblestone | brick ; bricked | concrete ; cement | paper ; cardboard
        | wicker ; rattan straw | rubber"""
    ],
    'pattern': [
        """striped ; stripy pinstriped tabby | checkered plaid ; checked chequered tartan gingham
        | polka-dot spotted dotted ; polka_dot polka-dotted speckled | floral flowered ; flower-patterned
        | plain ; solid solid-coloured solid-colored unpatterned | camouflage ; camo | zigzag | paisley""",
        'colorful multicolored colourful multicoloured ; multi-colored rainbow | plain ; monochrome',
    ],
    'shape': [
        """round circular ; oval spherical | square rectangular ; boxy | triangular | hexagonal octagonal
        | heart-shaped | star-shaped""",
        'straight ; upright | curved bent ; crooked',
        'curly wavy ; frizzy | straight',
        'flat | domed',
        'pointed ; pointy sharp | rounded blunt',
    ],
    'size': [
        'small tiny little ; miniature mini petite compact | large big huge ; giant enormous massive oversized',
        'tall | short',
        'long ; lengthy | short',
        'thin ; slim skinny slender | thick ; fat chunky',
        'narrow | wide ; broad',
        'deep | shallow',
    ],
    'texture': [
        'smooth ; sleek | rough bumpy ; coarse rugged',
        'shiny glossy ; polished gleaming | matte dull',
        'fluffy furry ; hairy fuzzy shaggy woolly long-haired | short-haired ; hairless',
        'soft | hard ; rigid firm',
        'wrinkled crumpled ; creased | smooth ; ironed',
        'crispy crunchy | soggy',
    ],
    'state': [
        """standing | sitting ; seated sits perched resting | lying ; laying sleeping asleep reclining napping
        | kneeling ; crouching squatting | running ; sprinting galloping | jumping ; leaping | swimming
        | flying | walking""",
        'parked ; stationary stopped | moving ; driving speeding',
        'open ; opened | closed ; shut',
        'empty | full ; filled',
        'clean ; spotless | dirty ; muddy grimy stained',
        'wet ; soaked damp | dry',
        'new ; brand-new modern | old ; worn vintage antique ancient weathered',
        'young ; youthful baby | old elderly ; aged senior',
        'broken ; cracked damaged shattered | intact',
        'lit illuminated | unlit',
        'raw ; uncooked | cooked ; fried grilled roasted baked',
        'fresh | rotten ; moldy stale',
        'ripe | unripe',
        'whole ; uncut | sliced ; cut chopped',
        'smiling ; laughing grinning | frowning ; crying',
        'awake | asleep ; sleeping',
        'folded | unfolded',
        'hot ; steaming | cold ; iced frozen',
        'leafy | leafless bare',
        'rusty ; rusted | rust-free',
        'shaved ; clean-shaven | bearded',
        'happy ; cheerful | sad ; unhappy',
        'bright | dark ; dim',
        'sunny | rainy ; cloudy overcast',
        'peeled | unpeeled',
    ],
    'position': [
        'in_front_of | behind',
        'on_top_of ; atop | underneath under beneath',
        'above | below ; beneath under underneath',
        'inside | outside',
        'to_the_left_of | to_the_right_of',
        'next_to near beside ; close_to alongside | far_from',
        'left ; left-hand | right ; right-hand',
        'upper | lower',
        'top | bottom',
        'front | back rear',
        'foreground | background',
        'indoors | outdoors',
    ],
    'count': [
        'two ; 2 both | three ; 3 | four ; 4 | five ; 5 | six ; 6 | seven ; 7 | eight ; 8 | nine ; 9 | ten ; 10',
        'many ; numerous lots_of | a_few ; few',
    ],
}
#: Senses of a line that people take for one another: neither is written for the other.
_NEAR = """red orange; orange gold; orange brown; yellow gold; yellow beige; gold brown; beige white; beige brown; teal
green; teal blue; purple pink; purple blue; grey transparent; white transparent; blonde gold;
blonde yellow; blonde beige; blonde brown; cotton denim; cotton wool; cotton silk; stone brick; stone concrete; stone
ceramic; brick concrete; brick ceramic; glass plastic; leather rubber; leather plastic; plastic rubber;
wicker wooden; standing walking; walking running; running jumping; standing jumping; sitting kneeling;
sitting lying; striped checkered; striped zigzag"""
_BASIC = 'red orange yellow green blue purple pink brown black white grey'
_POSTURES = 'standing sitting lying walking running jumping'
#: By class, the words of lines with many senses that can be written for it. What is not listed has none.
_SUITS = {
    'person': dict(state=f'{_POSTURES} kneeling'),
    'animal': dict(colour='black white brown grey', pattern='striped spotted plain', state=_POSTURES),
    'hair': dict(colour='black brown blonde grey white red'),
    'face': dict(),
    'vehicle': dict(colour=_BASIC, pattern='striped plain checkered'),
    'clothes': dict(
        colour=_BASIC,
        pattern='striped checkered polka-dot floral plain plaid',
        material='leather cotton denim wool silk',
    ),
    'cloth': dict(colour=_BASIC, pattern='striped checkered polka-dot floral plain', material='cotton wool silk'),
    'bag': dict(
        colour=_BASIC, pattern='striped checkered polka-dot floral plain', material='leather plastic denim cotton'
    ),
    'seat': dict(
        colour=_BASIC,
        material='wooden metal plastic leather wicker',
        pattern='striped checkered floral plain',
        shape='round square triangular',
    ),
    'furniture': dict(
        colour=_BASIC,
        material='wooden metal plastic glass stone',
        pattern='striped checkered plain',
        shape='round square triangular hexagonal',
    ),
    'container': dict(
        colour=_BASIC,
        material='wooden metal plastic glass ceramic paper',
        pattern='striped checkered polka-dot floral plain',
        shape='round square triangular hexagonal heart-shaped',
    ),
    'building': dict(
        colour='red yellow green blue brown white grey pink black',
        material='wooden glass stone brick concrete',
        shape='round square triangular hexagonal',
    ),
    'structure': dict(colour='red yellow green blue brown white grey pink black', material='wooden metal stone brick'),
    'food': dict(colour='red green yellow brown white black orange', shape='round square triangular heart-shaped'),
    'drink': dict(colour='red green yellow brown white black orange'),
    'plant': dict(colour='green yellow brown red'),
    'flower': dict(colour='red pink yellow white purple orange blue'),
    'sky': dict(colour='blue grey orange pink'),
    'water_body': dict(colour='blue green grey brown'),
    'ground': dict(colour='brown grey green white red black'),
    'device': dict(
        colour=_BASIC,
        material='wooden metal plastic glass',
        shape='round square triangular hexagonal',
        pattern='striped plain checkered',
    ),
    'tool': dict(
        colour=_BASIC,
        material='wooden metal plastic glass',
        pattern='striped plain checkered',
        shape='round square triangular',
    ),
    'toy': dict(
        colour=_BASIC,
        material='wooden metal plastic rubber leather',
        pattern='striped checkered polka-dot plain',
        shape='round square triangular',
    ),
    OTHER: dict(
        colour=_BASIC, material='wooden metal plastic', shape='round square triangular', pattern='plain striped'
    ),
}  # fmt: skip
_LIVING = ('person', 'animal')
#: Words that are written for some classes only; below, those that are written for all others.
_ONLY_FOR = {
    'young': _LIVING, 'elderly': ('person',),
    'tall': ('person', 'plant', 'building', 'furniture', 'animal', 'container'), 'domed': ('building',),
    'curly': ('hair', 'animal'), 'wavy': ('hair',),
}  # fmt: skip
_NOT_FOR = {
    'new': (*_LIVING, 'sky', 'face', 'hair', 'plant', 'flower', 'food', 'ground', 'water_body'),
    'deep': ('person',), 'long': ('person', 'plant', 'building'), 'straight': ('person', 'animal'),
    'hard': (*_LIVING, 'clothes', 'hair'), 'wide': ('person', 'animal', 'hair'),
    'narrow': ('person', 'animal', 'hair'), 'thick': ('person', 'animal', 'vehicle', 'building', 'ground'),
    'thin': ('vehicle', 'building', 'ground'), 'tiny': ('person',), 'huge': ('person',), 'big': ('person',),
    'full': ('person',), 'curved': ('hair',), 'bent': ('hair',),
}  # fmt: skip
#: Compounds whose first word is no attribute.
_COMPOUNDS = """hot dog, hot dogs, orange juice, red wine, white wine, green bean, green beans, black pepper,
brown rice, ice cream, cold cut, red light, green light, yellow light, flat screen, paper towel, paper towels,
rubber duck, polar bear, brown bear, black bear, hard hat, soft drink, soft drinks, full of, filled with,
baby carriage, baby stroller, top hat, tank top, straw hat, blue jay, orange slice, orange slices, orange tree,
hot chocolate, hot sauce, cut flowers, fried rice, clear sky, clear skies, cherry tomatoes, cherry tree, peach tree,
coral reef, lime tree, olive oil, olive tree, wood stove, tin foil, tin can, china cabinet, steel drum, fried egg,
baked goods, golden retriever"""
_STOP_WORDS = """a an the with in on at of by to from and or , . ; : that which who is are was were has having wearing
    holding
    under over behind near beside next inside outside above below against for its his her their between through into
    while as underneath beneath atop along across around carrying riding using eating drinking playing looking facing
    standing sitting lying walking running jumping sleeping parked flying swimming kneeling resting this these those
    covered filled made"""
_STOPS = frozenset(_STOP_WORDS.split())
_ARTICLES = ('a', 'an', 'the', 'his', 'her', 'its', 'their')
#: Behind these an attribute needs no noun.
_SAYING = ('painted', 'is', 'are', 'colored', 'coloured', 'looks')
_DETERMINERS = ('the', 'its', 'his', 'her', 'their', 'far', 'facing', 'my')
_AFTER_THE = ('left', 'right', 'upper', 'lower', 'top', 'bottom', 'front', 'back', 'rear', 'left-hand', 'right-hand')


@dataclass(frozen=True)
class Sense:
    """Words that can be true of one thing together, and the other senses of their line.

    Args:
        kind: of attribute.
        line: number of the line in its kind.
        number: of the sense in its line.
        words: all of them; the first is the name of the sense.
    """

    kind: str
    line: int
    number: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class FoundWord:
    """An attribute in a text.

    Args:
        start: its first character.
        end: the character after its last.
        word: as in the lexicon.
        kind: of attribute.
        noun: what it is said of, in the singular; empty where that is not clear.
        noun_class: the class of that.
    """

    start: int
    end: int
    word: str
    kind: str
    noun: str
    noun_class: str


def _senses() -> dict[str, list[Sense]]:
    """All senses that each word has."""
    found: dict[str, list[Sense]] = {}
    for kind, lines in _TABLE.items():
        for line, text in enumerate(lines):
            for number, part in enumerate(text.split('|')):
                names = tuple(word.replace('_', ' ') for word in part.replace(';', ' ').split())
                sense = Sense(kind, line, number, names)
                for word in names:
                    found.setdefault(word, []).append(sense)
    return found


SENSES = _senses()
#: By kind and number of line, the words that are written for each of its senses.
_LINES = {
    (kind, number): [[word.replace('_', ' ') for word in part.partition(';')[0].split()] for part in line.split('|')]
    for kind, lines in _TABLE.items()
    for number, line in enumerate(lines)
}
_POSTURE_WORDS = frozenset(SENSES['standing'][0].words).union(
    *(sense.words for senses in SENSES.values() for sense in senses if sense.kind == 'state' and sense.line == 0)
)
_PAIRS = {frozenset(pair.split()) for pair in _NEAR.split(';')}
_LENGTHS = range(max(len(word.split()) for word in SENSES), 0, -1)
_NO_ATTRIBUTES = frozenset(' '.join(each.split()) for each in _COMPOUNDS.split(','))
_TOKEN = re.compile(r"[\w'-]+|[,.;:]")


def kind_of(word: str) -> str | None:
    """Return the kind of attribute that a word is, or None where the lexicon does not know it."""
    senses = SENSES.get(word.lower())
    return senses[0].kind if senses else None


def is_stop(word: str) -> bool:
    """Tell whether a word in small letters ends a chain of attributes and their noun."""
    return word in _STOPS


def contradicts(word: str, other: str) -> bool:
    """Tell whether two words cannot both be true of one thing: opposites, or senses that nobody takes for another."""
    mine, theirs = SENSES.get(word, []), SENSES.get(other, [])
    if any(a.words[0] == b.words[0] or set(a.words) & {other} or set(b.words) & {word} for a in mine for b in theirs):
        return False
    return any(
        a.kind == b.kind and a.line == b.line and frozenset((a.words[0], b.words[0])) not in _PAIRS
        for a in mine
        for b in theirs
    )


@lru_cache(maxsize=65536)
def swaps(word: str, of_class: str, synonyms: bool = False) -> tuple[str, ...]:
    """Return the words that are false where ``word`` is true and that things of a class can be.

    One word for each sense; with ``synonyms`` the further words instead. Two senses of a line are opposites, which
    suit whatever the word suits; with more of them the class decides.
    """
    found: list[str] = []
    for sense in SENSES.get(word, []):
        line = _LINES[sense.kind, sense.line]
        allowed = _SUITS[of_class].get(sense.kind, '').split() if len(line) > 2 and sense.kind != 'count' else None
        for other in line:
            written = [each for each in other if allowed is None or each.replace(' ', '_') in allowed]
            written = [each for each in written if _is_usual(each, of_class) and contradicts(word, each)]
            found += written[1:] if synonyms else written[:1]
    return tuple(dict.fromkeys(found))


def _is_usual(word: str, of_class: str) -> bool:
    only = _ONLY_FOR.get(word)
    return (only is None or of_class in only) and of_class not in _NOT_FOR.get(word, ())


def find_attributes(text: str) -> list[FoundWord]:
    """Return the attributes of a phrase from left to right, the longest ones where they overlap.

    A word is no attribute where it is the noun itself (``an orange on a plate``), part of a compound (``hot dog``), or
    a verb (``a bag left on a bench``).
    """
    tokens = [(match.start(), match.end(), match[0].lower()) for match in _TOKEN.finditer(text)]
    words = [token[2] for token in tokens]
    found: list[FoundWord] = []
    position = 0
    while position < len(words):
        for length in _LENGTHS:
            word = ' '.join(words[position : position + length])
            if position + length <= len(words) and word in SENSES and _is_attribute(words, position, position + length):
                nouns = _described(words, position, position + length)
                noun = singular(nouns[-1]) if nouns else ''
                span = tokens[position][0], tokens[position + length - 1][1]
                found.append(FoundWord(*span, word, SENSES[word][0].kind, noun, noun_class(nouns)))
                position += length - 1
                break
        position += 1
    return found


def _is_attribute(words: list[str], start: int, end: int) -> bool:
    """Whether words that are in the lexicon are meant as an attribute here."""
    word, kind = ' '.join(words[start:end]), SENSES[' '.join(words[start:end])][0].kind
    before, after = words[start - 1] if start else '', words[end] if end < len(words) else ''
    if f'{words[end - 1]} {after}' in _NO_ATTRIBUTES:
        return False
    if word in _AFTER_THE:
        return before in _DETERMINERS
    if kind == 'position':
        return bool(after)
    if _behind(words, end):
        return True
    if after in _ARTICLES and word in _POSTURE_WORDS:  # walking a dog
        return False
    return (kind == 'state' and before not in _ARTICLES) or before in _SAYING


def _behind(words: list[str], end: int) -> list[str]:
    """The words of the noun behind an attribute, over those that are joined to it (red and white bus)."""
    while end + 1 < len(words) and words[end] in ('and', ',') and words[end + 1] in SENSES:
        end += 2
    behind = list(takewhile(lambda word: word not in _STOPS, words[end:]))
    following = end + len(behind)
    if behind and behind[-1] in SENSES and words[following : following + 1] == [','] and not is_noun(behind[-1]):
        return _behind(words, following + 1)
    return behind


def _described(words: list[str], start: int, end: int) -> list[str]:
    """The words of what an attribute is said of: those behind it, else those before it.

    A posture behind clothes is that of the phrase's first noun: a man in a blue shirt standing.
    """
    if behind := _behind(words, end):
        return behind
    chains = [list(chain) for stops, chain in groupby(words[:start], lambda word: word in _STOPS) if not stops]
    living = [chain for chain in chains if noun_class(chain) in _LIVING]
    return living[0] if living and ' '.join(words[start:end]) in _POSTURE_WORDS else chains[-1] if chains else []
