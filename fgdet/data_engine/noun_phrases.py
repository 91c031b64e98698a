"""Referring expressions of a caption: noun phrases with their attributes and what follows the noun."""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from fgdet.data_engine.image_record import Phrase
from fgdet.data_engine.word_tables import is_plural, kind_of, table
from fgdet.data_engine.word_tags import Word, tag_words

_BEFORE_NOUN = '(?:R{0,3}[AM](?:,?C?R{0,3}[AM]){0,9})?'
# Over tags, one letter a word: `the two big dogs`, `a man's left hand`.
_CHUNK = re.compile(f"D{{0,2}}{_BEFORE_NOUN}N+(?:'{_BEFORE_NOUN}N+){{0,3}}")
_DEPTH = ('background', 'foreground', 'distance')


def noun_phrases(caption: str, tagger: Callable[[str], list[Word]] = tag_words) -> list[Phrase]:
    """Return the referring expressions of a caption, in their order.

    ``caption[p.start : p.end] == p.text`` for each. What stands after ``with``, ``wearing`` or ``of`` belongs to the
    phrase before it and is a phrase too, so a phrase may lie in another one; they never overlap in part. Left out are
    pronouns, what cannot be boxed, words of the picture itself (``photo``, ``the background``), and what is said not
    to be there. The same text may come twice.

    Args:
        caption: any text; the tables are English.
        tagger: gives the words and their tags; the default is the built-in one.
    """
    return _Chunker(caption, _join_compounds(caption, tagger(caption))).phrases()


class _Chunk(NamedTuple):
    """Words ``first`` to before ``last``: what describes the noun begins at ``owned``, the noun at ``noun``."""

    first: int
    owned: int
    noun: int
    last: int


class _Extension(NamedTuple):
    """Where a phrase ends with what follows it, and the attributes in there."""

    last: int
    attributes: tuple[dict[str, str], ...] = ()


class _Chunker:
    def __init__(self, caption: str, words: list[Word]) -> None:
        self.caption = caption
        self.words = words
        self.tags = ''.join(word.tag for word in words) + '.'
        chunks = [self._chunk(match.start(), match.end()) for match in _CHUNK.finditer(self.tags)]
        self.chunks = {chunk.first: chunk for chunk in chunks}
        #: Chunks that are no phrase of their own, those that are with their `of` alone, and with a possession too.
        self.hidden: set[int] = set()
        self.plain: set[int] = set()
        self.held: set[int] = set()
        #: Places of `of` that join nothing.
        self.cut: set[int] = set()

    def phrases(self) -> list[Phrase]:
        return [self._phrase(chunk) for chunk in self.chunks.values() if not self._is_left_out(chunk)]

    def _chunk(self, first: int, last: int) -> _Chunk:
        owned = self.tags.rfind("'", first, last) + 1 or first
        noun = last
        while noun > owned and self.tags[noun - 1] == 'N':
            noun -= 1
        # `is red, white boats pass`: what is said of something else by `is` is no part of it.
        if first and self.tags[first] != 'D' and self.tags[first - 1] == 'B':
            cut = max(self.tags.rfind(',', first, noun), self.tags.rfind('C', first, noun)) + 1
            first, owned = max(first, cut), max(owned, cut)
        return _Chunk(first, owned, noun, last)

    def _is_left_out(self, chunk: _Chunk) -> bool:
        if chunk.first in self.hidden:
            return True
        absent = table('absent')
        before = self.words[chunk.first - 1].lower if chunk.first else ''
        if self.words[chunk.first].lower in absent or before in absent:
            return True
        if sum(letter.isalpha() for letter in self._text(chunk.noun, chunk.last)) < 2:
            return True
        is_group = self._head(chunk) in table('groups') | table('partitives') and self._of(chunk.last) is not None
        return not is_group and self._cannot_be_boxed(chunk)

    def _cannot_be_boxed(self, chunk: _Chunk) -> bool:
        head = self._head(chunk)
        is_object = any(word.lower == 'framed' for word in self.words[chunk.owned : chunk.noun])
        return (head in table('pictures') and not is_object) or head in table('abstract')

    def _phrase(self, chunk: _Chunk) -> Phrase:
        named, number = chunk, ''
        inner = self._of(chunk.last)
        head = self._head(chunk)
        if inner and head in table('groups') | table('partitives') | table('containers'):
            self.hidden.add(inner.first)
            if head not in table('containers'):
                named = inner
                number = 'group' if head in table('groups') else 'many' if is_plural(head) else 'one'
        extension = self._extension(chunk)
        attributes = self._attributes(chunk)
        if named is not chunk:
            attributes += self._attributes(named)
        attributes += extension.attributes
        return Phrase(
            self._text(chunk.first, extension.last),
            *self._span(chunk.first, extension.last),
            ' '.join(self._text(named.noun, named.last).lower().split()),
            attributes,
            number or self._number(chunk),
        )

    def _number(self, chunk: _Chunk) -> str:
        if self._head(chunk) in table('crowds'):
            return 'group'
        numbers = {word.lower for word in self.words[chunk.owned : chunk.noun] if kind_of(word.lower) == 'count'}
        counted = numbers - {'some'}
        return 'many' if counted or is_plural(self._head(chunk)) else 'one'

    def _attributes(self, chunk: _Chunk) -> list[dict[str, str]]:
        found = []
        for word in self.words[chunk.owned : chunk.noun]:
            if word.tag in 'AM' and (kind := kind_of(word.lower)):
                found.append({'word': self.caption[word.start : word.end], 'kind': kind})
        return found

    def _extension(self, chunk: _Chunk) -> _Extension:
        """Take in ``of``, then one of ``with``, ``wearing``, ``sitting``, then a position."""
        last = self._end_of(chunk)
        if chunk.first in self.plain:
            return _Extension(last)
        if chunk.first in self.held:
            return (self._possession(last) if self._lower(last) == 'with' else None) or _Extension(last)
        attributes: tuple[dict[str, str], ...] = ()
        found = self._possession(last) or self._posture(last)
        if found:
            last, attributes = found
        if place := self._position(last):
            # `a car with a man in the background`: the nearer noun is there; `a dog with a ball on the left` is itself.
            is_depth = self._head(self.chunks[last + 1]) in _DEPTH
            nearer = next((c for c in self.chunks.values() if c.last == last), None) if found and is_depth else None
            if nearer:
                self.plain.discard(nearer.first)
            else:
                attributes += place.attributes
            last = place.last
        return _Extension(last, attributes)

    def _end_of(self, chunk: _Chunk) -> int:
        """The end of a chunk with its ``of``, three in a row at most; there the chain ends for all phrases in it."""
        last = chunk.last
        for _ in range(3):
            if not (inner := self._of(last)):
                return last
            last = inner.last
            # What may follow the chunk decides what may follow the others, that they end in the same place.
            for marked in (self.plain, self.held):
                if chunk.first in marked:
                    marked.add(inner.first)
        self.cut.add(last)
        return last

    def _possession(self, last: int) -> _Extension | None:
        """``with a long tail``, ``in a red shirt``, ``wearing a hat and boots``, ``made of wood``."""
        word = self._lower(last)
        pair = f'{word} {self._lower(last + 1)}'
        inner = self.chunks.get(last + 2 if pair in table('having_passive') else last + 1)
        if inner is None:
            return None
        if pair in ('made of', 'made from') and kind_of(self._head(inner)) == 'material':
            self.hidden.add(inner.first)
            return _Extension(inner.last, ({'word': self._text(inner.noun, inner.last), 'kind': 'material'},))
        is_worn = self._is_worn(inner)
        if self.tags[last] == 'P' and word == 'in' and is_worn:
            return _Extension(self._take(inner, is_worn))
        if word in table('having') and not is_worn and not self._cannot_be_boxed(inner):
            self.held.add(inner.first)
            return _Extension(self._extension(inner).last)
        if word == 'with' or word in table('having') or pair in table('having_passive'):
            if self._cannot_be_boxed(inner) or self.words[inner.first].lower in table('absent'):
                return None
            return _Extension(self._take(inner, is_worn and word != 'with'))
        return None

    def _is_worn(self, chunk: _Chunk) -> bool:
        head = self._head(chunk).rsplit(' ', 1)[-1]
        worn = table('clothing')
        return head in worn or head.rstrip('s') in worn or head.removesuffix('es') in worn

    def _take(self, inner: _Chunk, is_worn: bool) -> int:
        """Take in a chunk, and more clothes joined to it; return the end."""
        self.plain.add(inner.first)
        last = self._end_of(inner)
        while is_worn and self.tags[last] in ',C':
            joint = 2 if self.tags[last : last + 2] == ',C' else 1
            following = self.chunks.get(last + joint)
            if following is None or not self._is_worn(following):
                break
            self.plain.add(following.first)
            last = self._end_of(following)
        return last

    def _posture(self, last: int) -> _Extension | None:
        """``lying on the grass``, ``parked in front of a house``."""
        word = self._lower(last)
        if word not in table('postures') or self.tags[last] != 'G':
            return None
        attribute = {'word': self._text(last, last + 1), 'kind': 'state'}
        place = last + 1
        while self.tags[place] == 'R':
            place += 1
        while self.tags[place] in 'PA' and place < last + 4:
            place += 1
        inner = self.chunks.get(place) if self.tags[place - 1] == 'P' else None
        if inner is None:
            return _Extension(last + 1, (attribute,))
        self.plain.add(inner.first)
        return _Extension(self._end_of(inner), (attribute,))

    def _position(self, last: int) -> _Extension | None:
        """``in the background``, ``on the left side of the table``."""
        if self._lower(last) not in ('in', 'on', 'at', 'to'):
            return None
        inner = self.chunks.get(last + 1)
        if inner is None or self._head(inner) not in table('places') or inner.last > inner.noun + 1:
            return None
        end = self._end_of(inner)
        if (self.tags[inner.first] == 'D' and self._lower(inner.first) != 'the') or self._lower(end) == 'of':
            return None
        self.plain.add(inner.first)
        end = self._end_of(inner)
        return _Extension(end, ({'word': self._text(last, end), 'kind': 'position'},))

    def _of(self, last: int) -> _Chunk | None:
        """The chunk after ``of`` at ``last``."""
        return self.chunks.get(last + 1) if self._lower(last) == 'of' and last not in self.cut else None

    def _head(self, chunk: _Chunk) -> str:
        return self.words[chunk.last - 1].lower

    def _lower(self, place: int) -> str:
        return self.words[place].lower if place < len(self.words) else ''

    def _span(self, first: int, last: int) -> tuple[int, int]:
        """Characters of words ``first`` to before ``last``; a quotation mark that opens within is closed."""
        start, end = self.words[first].start, self.words[last - 1].end
        after = self.caption[end : end + 1]
        if after and after in '"\u201d':
            text = self.caption[start:end]
            is_open = text.count('"') % 2 if after == '"' else text.count('\u201c') > text.count('\u201d')
            end += bool(is_open)
        return start, end

    def _text(self, first: int, last: int) -> str:
        start, end = self._span(first, last)
        return self.caption[start:end]


@cache
def _compounds() -> dict[str, list[tuple[str, ...]]]:
    """Compounds in singular and plural by their first word, the longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in sorted(table('compounds')):
        for ending in ('', 's', 'es'):
            parts = tuple((line + ending).split())
            found.setdefault(parts[0], []).append(parts)
    return {first: sorted(parts, key=lambda p: (-len(p), p)) for first, parts in found.items()}


def _join_compounds(caption: str, words: list[Word]) -> list[Word]:
    """Make one noun of the words of a compound."""
    compounds = _compounds()
    joined: list[Word] = []
    place = 0
    while place < len(words):
        word = words[place]
        for parts in compounds.get(word.lower, ()):
            same = words[place : place + len(parts)]
            if tuple(each.lower for each in same) == parts:
                word = Word(word.start, same[-1].end, ' '.join(parts), 'N')
                place += len(parts) - 1
                break
        joined.append(word)
        place += 1
    return joined
