"""Trained names that stand against the names a user looks for.

A classifier that was trained to tell its base classes and the background apart knows an *object* well. Asked for one
absent name alone, it has nowhere else to put an object and gives it to that name; with the trained names in the
softmax beside it, the object goes to what it looks like.
"""

from fgdet.structures.vocabulary import Vocabulary

#: Names up to which each stands in every template, as the asked ones do. More of them, such as LVIS's 1,203, stand in
#: one prompt each: 80 templates of them would take a CPU twenty minutes before a first picture.
MAX_ENSEMBLED = 200
ONE_PROMPT = 'a photo of a {}.'

_SMALL_WORDS = frozenset(('a', 'an', 'the', 'of', 'in', 'on', 'with'))


def with_competition(vocabulary: Vocabulary, trained: Vocabulary) -> Vocabulary:
    """A vocabulary with :func:`competing_names` and training's negatives against it, unless it says which it wants."""
    own = [name for name in trained.negatives if name not in vocabulary.names]
    rivals = [name for name in competing_names(vocabulary, trained) if name not in own]
    if len(rivals) <= MAX_ENSEMBLED:
        return vocabulary.with_negatives([*own, *rivals], trained.background)
    prompts = [ONE_PROMPT.replace('{}', name.replace('_', ' ')) for name in rivals]
    return vocabulary.with_negatives(own, dict.fromkeys([*trained.background, *prompts]))


def competing_names(vocabulary: Vocabulary, trained: Vocabulary) -> tuple[str, ...]:
    """The names of training, base and novel, that mean something else than every name of a vocabulary.

    One is left out where it, or one of its synonyms, is one of the names or their synonyms, or where the words
    of one are among those of the other: ``car`` does not stand against ``red car``, nor ``red solid ring`` against
    ``ring``. A name in other words (``puppy`` for a trained ``dog``) is not recognised; give such a pair as synonyms.
    """
    asked = [words for name in vocabulary.names for words in _word_sets(name, vocabulary)]
    return tuple(
        name
        for name in trained.names
        if not any(words <= other or other <= words for words in _word_sets(name, trained) for other in asked)
    )


def _word_sets(name: str, vocabulary: Vocabulary) -> list[frozenset[str]]:
    return [_words(text) for text in (name, *vocabulary.synonyms.get(name, ()))]


def _words(text: str) -> frozenset[str]:
    words = frozenset(text.lower().replace('-', ' ').split())
    return words - _SMALL_WORDS or words
