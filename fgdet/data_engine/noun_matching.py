"""Whether the noun of a phrase and the name of a category mean the same kind of thing."""

from collections.abc import Iterable, Mapping
from functools import cache

from fgdet.data_engine.image_record import Phrase
from fgdet.data_engine.noun_classes import noun_class, singular

# By category, nouns that are true of its things alone or also of things of another one ("bike"); `_` is a space.
_NOUNS = {
    'dog': 'puppy pup hound',
    'cat': 'kitten kitty',
    'horse': 'pony foal mare stallion',
    'cow': 'calf bull cattle ox heifer steer',
    'sheep': 'lamb ram ewe',
    'bird': 'duck goose seagull gull pigeon parrot eagle hawk owl swan chicken rooster penguin sparrow crow turkey',
    'elephant': 'calf',
    'bear': 'cub',
    'car': 'sedan suv jeep taxi cab automobile minivan van vehicle hatchback limousine',
    'truck': 'pickup lorry van vehicle',
    'bus': 'coach minibus vehicle',
    'motorcycle': 'motorbike scooter moped bike dirt_bike',
    'bicycle': 'bike cycle tricycle',
    'airplane': 'plane jet aeroplane aircraft airliner',
    'boat': 'ship sailboat canoe kayak ferry yacht vessel raft',
    'train': 'locomotive tram trolley subway railcar',
    'couch': 'sofa loveseat settee',
    'chair': 'armchair stool recliner seat',
    'bed': 'bunk crib',
    'dining table': 'desk',
    'potted plant': 'houseplant',
    'tv': 'television monitor screen tv_set',
    'laptop': 'computer notebook',
    'mouse': 'computer_mouse',
    'remote': 'remote_control controller wii_remote',
    'cell phone': 'cellphone smartphone mobile iphone',
    'oven': 'stove range',
    'refrigerator': 'fridge',
    'hair drier': 'hair_dryer hairdryer blow_dryer dryer',
    'cup': 'mug',
    'wine glass': 'goblet',
    'donut': 'doughnut',
    'sandwich': 'burger hamburger sub',
    'hot dog': 'hotdog',
    'teddy bear': 'teddy',
    'sports ball': 'baseball football basketball volleyball soccer_ball tennis_ball',
    'frisbee': 'disc disk',
    'skis': 'ski',
    'baseball glove': 'mitt',
    'tennis racket': 'racquet',
    'tie': 'necktie',
    'handbag': 'purse bag',
    'backpack': 'bag rucksack',
    'suitcase': 'luggage bag',
    'clock': 'watch',
    'vase': 'pitcher',
}
# Their last word says another thing than they are.
_NO_KIND_OF_THEIR_LAST_WORD = frozenset(
    {'hot dog', 'teddy bear', 'hair drier', 'hair dryer', 'traffic light', 'sea lion'}
)
_PEOPLE = frozenset({'person', 'people', 'human', 'pedestrian'})
_NO_SINGLE_PERSON = frozenset({'crowd', 'family', 'audience', 'couple'})


class NounMatcher:
    """Matches nouns to category names.

    A noun fits a name that is the same word in the singular or the plural, one of whose synonyms it is, or of which it
    is the last word: ``table`` fits ``dining table``, and ``coffee table`` fits ``table``; but ``dog`` does not fit
    ``hot dog``. Every word for a person fits ``person``.

    Args:
        synonyms: by category, further nouns for it.
    """

    def __init__(self, synonyms: Mapping[str, Iterable[str]] | None = None) -> None:
        self.synonyms = {plain(name): sorted(map(plain, nouns)) for name, nouns in (synonyms or {}).items()}
        self._nouns = {
            name: frozenset(nouns.replace('_', ' ') for nouns in row.split()) for name, row in _NOUNS.items()
        }
        for name, nouns in self.synonyms.items():
            self._nouns[name] = self._nouns.get(name, frozenset()) | frozenset(nouns)

    def fits(self, noun: str, category: str) -> bool:
        """Tell whether a noun may be said of a thing of a category."""
        noun, name = plain(noun), plain(category)
        if not noun or not name:
            return False
        if noun == name or noun in self._nouns.get(name, ()):
            return True
        if name in _PEOPLE and noun not in _NO_SINGLE_PERSON and noun_class(noun.split()) == 'person':
            return True
        longer, shorter = (name, noun) if len(name) > len(noun) else (noun, name)
        return longer.endswith(f' {shorter}') and longer not in _NO_KIND_OF_THEIR_LAST_WORD and longer[:4] != 'toy '


@cache
def plain(noun: str) -> str:
    """A noun in small letters, in the singular, without what stands in brackets."""
    return singular(' '.join(noun.partition('(')[0].replace('_', ' ').lower().split()))


def noun_of(phrase: Phrase) -> str:
    """The noun of a phrase, with the word before it where both together name another thing: ``hot dog``."""
    words = phrase.text.lower().split()
    noun = phrase.noun.lower()
    before = [words[i - 1] for i in range(1, len(words)) if words[i].strip('.,') == noun]
    whole = plain(f'{before[0]} {noun}') if before else ''
    return whole if whole in _NO_KIND_OF_THEIR_LAST_WORD or whole.startswith('toy ') else noun
