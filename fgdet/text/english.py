"""A little English grammar for texts that are made of names: articles, plurals, numbers and lists."""

_NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
_PLURALS = {
    'person': 'people',
    'man': 'men',
    'woman': 'women',
    'child': 'children',
    'mouse': 'mice',
    'goose': 'geese',
    'foot': 'feet',
    'tooth': 'teeth',
    'ox': 'oxen',
    'knife': 'knives',
    'loaf': 'loaves',
    'leaf': 'leaves',
    'wolf': 'wolves',
    'calf': 'calves',
    'shelf': 'shelves',
    'scarf': 'scarves',
    'potato': 'potatoes',
    'tomato': 'tomatoes',
    'bus': 'buses',
}
_SAME = {'sheep', 'deer', 'fish', 'aircraft', 'bison', 'moose', 'salmon', 'shrimp', 'swine'}
#: Of two equal halves: one of them is a pair.
_PAIRS = {
    'skis',
    'scissors',
    'pants',
    'jeans',
    'shorts',
    'trousers',
    'glasses',
    'sunglasses',
    'goggles',
    'tongs',
    'pliers',
}
_UNCOUNTED = {'broccoli', 'bread', 'rice', 'grass', 'water', 'furniture', 'luggage', 'food', 'clothing', 'snow', 'sand'}


def article(phrase: str) -> str:
    """Return ``a red mug`` of ``red mug``, ``an apple``, ``a pair of scissors``, and ``broccoli`` as it is."""
    last = phrase.rpartition(' ')[2].lower()
    if last in _UNCOUNTED:
        return phrase
    if last in _PAIRS:
        return f'a pair of {phrase}'
    first = phrase.lower()
    vowel = first[:1] in tuple('aeiou') and not first.startswith(('uni', 'use', 'eu', 'one', 'ute'))
    return f'{"an" if vowel else "a"} {phrase}'


def plural(phrase: str) -> str:
    """Return the plural of a name in the singular; its last word takes the ending."""
    head, space, last = phrase.rpartition(' ')
    word = last.lower()
    if word in _SAME | _PAIRS | _UNCOUNTED:
        return phrase
    if word in _PLURALS:
        last = _PLURALS[word]
    elif word.endswith(('s', 'sh', 'ch', 'x', 'z')):
        last += 'es'
    elif word.endswith('y') and word[-2:-1] not in tuple('aeiou'):
        last = f'{last[:-1]}ies'
    else:
        last += 's'
    return head + space + last


def counted(phrase: str, number: int, most: int = 9) -> str:
    """Return ``a dog``, ``two dogs``, and ``many dogs`` above ``most``, which is at most 9."""
    if number == 1:
        return article(phrase)
    word = _NUMBERS[number] if number <= most else 'many'
    last = phrase.rpartition(' ')[2].lower()
    if last in _UNCOUNTED:
        return phrase
    return f'{word} pairs of {phrase}' if last in _PAIRS else f'{word} {plural(phrase)}'


def listed(parts: list[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f'{", ".join(parts[:-1])} and {parts[-1]}'
