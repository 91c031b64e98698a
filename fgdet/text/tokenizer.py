"""CLIP's byte-pair tokenizer at any context length, on the compiled `tokenizers` library.

Axes: T texts, L tokens.
"""

import gzip
import json
import re
from array import array
from collections.abc import Sequence
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex
from tokenizers import Tokenizer as BytePairTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from torch import Tensor

from fgdet.text.cleaning import clean, clean_alone

START, END = '<|startoftext|>', '<|endoftext|>'
# CLIP splits a text into contractions, words, single digits and runs of other marks before it merges bytes. It does so
# ignoring case, by which the long s (U+017F) counts as an s and the combining iota of Greek (U+0345) as nothing at all.
_PIECES = r"'[s\x{17F}]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
# The same in a lower-case ASCII text whose white space are spaces.
_ASCII_PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^ a-z0-9]+")
# CLIP reads so many of the published merges that with 256 bytes, 256 word-final bytes and 2 marks it has 49408 tokens.
_NUM_MERGES = 49408 - 256 - 256 - 2
# How ids are kept: the published vocabulary fits 16 bits.
_ID = np.dtype(np.uint16)
#: A tokenizer that knows this many chunks forgets them before it reads the next texts; they take some 25 MB.
MOST_KNOWN = 1 << 17
#: Characters of the longest chunk that is remembered.
LONGEST_KNOWN = 64
_NOTHING_KNOWN = {'': b''}


class Tokenizer:
    """Texts to token ids, as CLIP was trained: cleaned, lower case, byte pairs, start and end marks.

    CLIP never merges across white space, so the ids of a text are those of its chunks between spaces in a row. A
    tokenizer remembers the chunks that it has seen, and nearly all texts are looked up chunk by chunk.

    Args:
        vocab: token to id, with CLIP's two marks among them.
        merges: byte pairs, the most frequent first.

    Raises:
        ValueError: the vocabulary lacks the start or end mark, or has ids of more than 16 bits.
    """

    def __init__(self, vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> None:
        for mark in (START, END):
            if mark not in vocab:
                raise ValueError(f'the tokenizer vocabulary lacks {mark}')
        if max(vocab.values()) > np.iinfo(_ID).max:
            raise ValueError(f'vocab: expected ids up to {np.iinfo(_ID).max}, got {max(vocab.values())}')
        self._vocab = vocab
        self._merges = list(merges)
        self._model = BPE(vocab=vocab, merges=self._merges, end_of_word_suffix='</w>', unk_token=END)
        self._tokenizer = BytePairTokenizer(self._model)
        self._tokenizer.pre_tokenizer = PreTokenizers(
            [
                Split(Regex(_PIECES), behavior='removed', invert=True),
                ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self.start_id = vocab[START]
        self.end_id = vocab[END]
        self._known = dict(_NOTHING_KNOWN)

    @classmethod
    def clip(cls) -> 'Tokenizer':
        """CLIP's published vocabulary of 49408 tokens, read from the installed open_clip package.

        Raises:
            ValueError: open_clip is not installed or does not hold the vocabulary.
        """
        spec = find_spec('open_clip')
        folders = list(spec.submodule_search_locations or []) if spec else []
        files = [Path(folder) / 'bpe_simple_vocab_16e6.txt.gz' for folder in folders]
        for file in files:
            if file.is_file():
                lines = (
                    gzip.decompress(file.read_bytes()).decode('utf-8').split('\n')[1 : 1 + _NUM_MERGES]
                )  # after a header
                return cls(*_clip_vocabulary([tuple(line.split()) for line in lines]))  # type: ignore[misc]
        raise ValueError("CLIP's byte pairs come with open_clip; install it: pip install open_clip_torch")

    @classmethod
    def from_folder(cls, folder: str | Path) -> 'Tokenizer':
        """Read ``vocab.json`` and ``merges.txt``, the files of Hugging Face's CLIPTokenizer."""
        vocab = json.loads((Path(folder) / 'vocab.json').read_text(encoding='utf-8'))
        lines = (Path(folder) / 'merges.txt').read_text(encoding='utf-8').split('\n')
        pairs = [tuple(line.split()) for line in lines if line and not line.startswith('#version')]
        return cls(vocab, pairs)  # type: ignore[arg-type]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, marks included."""
        return len(self._vocab)

    def __call__(self, texts: str | Sequence[str], context_length: int = 77) -> Tensor:
        """Token ids of each text.

        Args:
            texts: one text or T of them; an empty text is its two marks alone.
            context_length: length L of a row, at least 2; a longer text is cut and still ends in the end mark.

        Returns:
            (T, L) int64, padded with the end mark.

        Raises:
            ValueError: ``context_length`` is below 2.
        """
        rows = self._encode([texts] if isinstance(texts, str) else texts, context_length)
        width = _ID.itemsize * context_length
        ends = _as_bytes([self.end_id] * context_length)
        ids = np.frombuffer(b''.join([(row + ends)[:width] for row in rows]), _ID)
        return torch.from_numpy(ids.astype(np.int64).reshape(len(rows), context_length))

    def encode(self, texts: str | Sequence[str], context_length: int = 77) -> list[list[int]]:
        """Token ids of each text without padding: start mark, at most ``context_length - 2`` ids, end mark.

        Raises:
            ValueError: ``context_length`` is below 2.
        """
        rows = self._encode([texts] if isinstance(texts, str) else texts, context_length)
        return [np.frombuffer(row, _ID).tolist() for row in rows]

    def _encode(self, texts: Sequence[str], context_length: int) -> list[bytes]:
        """The ids of each text with its marks, as the bytes of an array of ``_ID``."""
        if context_length < 2:
            raise ValueError(f'context_length: expected at least 2, for the two marks, got {context_length}')
        if len(self._known) >= MOST_KNOWN:
            self._known = dict(_NOTHING_KNOWN)  # a new one: another thread may be reading the old one
        known, cut = self._known, _ID.itemsize * (context_length - 2)
        bodies, unfinished = [], []
        for index, text in enumerate(texts):
            try:  # itemgetter looks up faster than a loop; the '' before the chunks lets it always give a tuple
                bodies.append(b''.join(itemgetter('', *text.split(' '))(known)))
            except KeyError:
                bodies.append(b'')
                unfinished.append(index)
        if unfinished:
            chunks = dict.fromkeys(chunk for index in unfinished for chunk in texts[index].split(' '))
            found = {chunk: self._encode_alone(chunk) for chunk in chunks if chunk not in known}
            for index in unfinished:
                parts = [found[chunk] if chunk in found else known[chunk] for chunk in texts[index].split(' ')]
                whole = b''.join(part for part in parts if part is not None)
                bodies[index] = self._encode_cleaned(clean(texts[index])) if None in parts else whole
            known.update(
                (chunk, ids) for chunk, ids in found.items() if ids is not None and len(chunk) <= LONGEST_KNOWN
            )
        start, end = _as_bytes([self.start_id]), _as_bytes([self.end_id])
        return [start + body[:cut] + end for body in bodies]

    def _encode_alone(self, chunk: str) -> bytes | None:
        """Ids of a part of a text between two spaces, or None where the rest of the text may change them."""
        cleaned = clean_alone(chunk)
        return None if cleaned is None else self._encode_cleaned(cleaned)

    def _encode_cleaned(self, text: str) -> bytes:
        if text.isascii() and text.isprintable():  # these characters stand for their bytes
            tokenize = self._model.tokenize
            return _as_bytes([token.id for piece in _ASCII_PIECES.findall(text) for token in tokenize(piece)])
        return _as_bytes(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: not the known chunks, which it learns by itself."""
        return self.__dict__ | {'_known': dict(_NOTHING_KNOWN)}

    def save(self, folder: str | Path) -> None:
        """Write the files that :meth:`from_folder` and Hugging Face's CLIPTokenizer read."""
        folder = Path(folder)
        (folder / 'vocab.json').write_text(json.dumps(self._vocab, ensure_ascii=False), encoding='utf-8')
        merges = '\n'.join(['#version: 0.2', *(' '.join(pair) for pair in self._merges)])
        (folder / 'merges.txt').write_text(merges + '\n', encoding='utf-8')
        marks = {'bos_token': START, 'eos_token': END, 'unk_token': END, 'pad_token': END}
        (folder / 'special_tokens_map.json').write_text(json.dumps(marks, indent=2))
        config = {'tokenizer_class': 'CLIPTokenizer', 'model_max_length': 77, 'do_lower_case': True, **marks}
        (folder / 'tokenizer_config.json').write_text(json.dumps(config, indent=2))


def _as_bytes(ids: list[int]) -> bytes:
    return array(_ID.char, ids).tobytes()


def _clip_vocabulary(merges: list[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens in CLIP's order: bytes, word-final bytes, merges, marks."""
    characters = _byte_characters()
    tokens = [*characters, *(c + '</w>' for c in characters), *(''.join(pair) for pair in merges), START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def _byte_characters() -> list[str]:
    """The 256 characters that stand for bytes: printable ones for themselves first, then stand-ins from U+0100 on."""
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    stand_ins = [chr(256 + i) for i in range(256 - len(printable))]
    return [chr(b) for b in printable] + stand_ins
