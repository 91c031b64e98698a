"""The stage that takes referring expressions from captions: by spaCy's tags or, without it, by our own tables."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

from fgdet.data_engine.image_record import ImageRecord, Phrase
from fgdet.data_engine.noun_phrases import noun_phrases
from fgdet.data_engine.stage import Failure
from fgdet.data_engine.word_tables import tables_hash, word_class
from fgdet.data_engine.word_tags import Word, split_words
from fgdet.utils.checks import UserError

# A phrase says the same with another of these before it.
_ARTICLES = frozenset(['a', 'an', 'the', 'this', 'that', 'these', 'those'])
_DEFINITE = frozenset(['the', 'this', 'that', 'these', 'those'])
# Universal parts of speech, as spaCy names them, to the tags of Word.
_TAGS = {'DET': 'D', 'ADP': 'P', 'CCONJ': 'C', 'SCONJ': 'C', 'AUX': 'B', 'ADV': 'R', 'NUM': 'M', 'ADJ': 'A'}
_TAGS |= {
    'NOUN': 'N',
    'PROPN': 'N',
    'PRON': 'O',
    'VERB': 'V',
    'PART': 'P',
    'INTJ': 'R',
    'PUNCT': '.',
    'SYM': '.',
    'X': 'N',
}


class PhraseExtraction:
    """Takes the referring expressions of each record's caption: a :class:`~fgdet.data_engine.stage.Stage`.

    The caption is the long one, or the short one where there is no long one; positions are of that caption, which the
    provenance names. Where neither is given the record has no phrases.

    Args:
        model: a spaCy model, such as ``en_core_web_sm``, whose tags are taken where spaCy and the model are installed;
            else the built-in tagger takes its place, and :meth:`settings` and the provenance call it the fallback.
            None: the built-in tagger, by choice.
        require_model: raise instead of falling back.
        max_phrases: most phrases of a caption, the first ones; None: all.
        batch_size: records at once.

    Raises:
        UserError: ``require_model`` and there is no such model; ``max_phrases`` or ``batch_size`` is under 1.
    """

    name = 'phrases'

    def __init__(
        self,
        model: str | None = 'en_core_web_sm',
        require_model: bool = False,
        max_phrases: int | None = None,
        batch_size: int = 256,
    ) -> None:
        for field, value in (('max_phrases', max_phrases), ('batch_size', batch_size)):
            if value is not None and value < 1:
                raise UserError(f'phrases: {field}={value}; give a number of 1 or more')
        self.batch_size = batch_size
        self.max_phrases = max_phrases
        self.model = model if model and find_spec('spacy') and find_spec(model) else None
        if require_model and self.model is None:
            raise UserError(
                f'phrases: the spaCy model {model!r} is not installed; install spacy and the model, or set '
                'require_model=False for the built-in chunker'
            )
        self._tagger = {'tagger': 'built-in', 'fallback': model is not None, 'tables': tables_hash()}
        if self.model:
            self._tagger = {'tagger': _spacy_version(self.model), 'fallback': False, 'tables': tables_hash()}

    def settings(self) -> dict[str, Any]:
        """Return the tagger, whether it is the fallback, the version of the word tables and the limit."""
        return {**self._tagger, 'max_phrases': self.max_phrases}

    def run(self, records: Sequence[ImageRecord]) -> list[ImageRecord | Failure]:
        """Return each record with the phrases of its caption; none fails."""
        return [self._with_phrases(record) for record in records]

    def _with_phrases(self, record: ImageRecord) -> ImageRecord:
        caption = record.caption or record.short_caption
        source = 'caption' if record.caption else 'short_caption' if caption else None
        found = noun_phrases(caption, _spacy_tagger(self.model)) if self.model else noun_phrases(caption)
        phrases = merge_duplicates(found)[: self.max_phrases]
        made = {**self._tagger, 'source': source}
        return replace(record, phrases=phrases, provenance={**record.provenance, self.name: made})


def merge_duplicates(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Return the phrases without those that name a thing again, in their order.

    Again is what differs in case, blanks and article only, and ``the dog`` after ``a brown dog on the left``: the same
    noun (its last word will do) and number after ``the`` or ``this``, with no attribute that the earlier one lacks.
    """
    kept: list[Phrase] = []
    texts: set[str] = set()
    for phrase in phrases:
        words = phrase.text.lower().split()
        bare = ' '.join(words[1:] if words[0] in _ARTICLES else words)
        refers_back = words[0] in _DEFINITE and len(words) <= 1 + len(phrase.noun.split()) + len(phrase.attributes)
        if bare in texts or (refers_back and any(_names(earlier, phrase) for earlier in kept)):
            continue
        texts.add(bare)
        kept.append(phrase)
    return kept


def _names(earlier: Phrase, phrase: Phrase) -> bool:
    known = {each['word'].lower() for each in earlier.attributes}
    added = {each['word'].lower() for each in phrase.attributes} - known
    is_noun = earlier.noun == phrase.noun or earlier.noun.endswith(f' {phrase.noun}')
    return is_noun and earlier.number == phrase.number and not added


@cache
def _load(model: str) -> Any:
    import spacy

    return spacy.load(model, exclude=['ner', 'lemmatizer'])


def _spacy_version(model: str) -> str:
    return f'spacy {model} {_load(model).meta["version"]}'


@cache
def _spacy_tagger(model: str) -> Any:
    """Return a tagger by a spaCy model, of our words: noun phrases are made of its tags by the same grammar."""
    from spacy.tokens import Doc

    pipeline = _load(model)

    def tag(caption: str) -> list[Word]:
        words = split_words(caption)
        if not words:
            return []
        ends = [word.start for word in words[1:]] + [len(caption)]
        blanks = [word.end < following for word, following in zip(words, ends, strict=True)]
        texts = [caption[word.start : word.end] for word in words]
        tokens = list(pipeline(Doc(pipeline.vocab, words=texts, spaces=blanks)))
        following_tags = [token.pos_ for token in tokens[1:]] + ['PUNCT']
        return [
            word._replace(tag=word.tag or _tag(word.lower, token, following))
            for word, token, following in zip(words, tokens, following_tags, strict=True)
        ]

    return tag


def _tag(lower: str, token: Any, following: str) -> str:
    """Our tag of a spaCy token: participles before a noun describe it, and so do materials."""
    is_before_noun = following in ('NOUN', 'PROPN', 'ADJ')
    if token.pos_ == 'VERB' and token.tag_ in ('VBG', 'VBN', 'VBD'):
        return 'A' if token.dep_ == 'amod' else 'G'
    if token.pos_ == 'NOUN' and is_before_noun and word_class(lower) in 'Axc':
        return 'A'
    if token.pos_ == 'PRON' and token.tag_ == 'PRP$':
        return 'D'
    return _TAGS.get(token.pos_, 'N')
