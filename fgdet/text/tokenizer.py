"""CLIP's byte-pair tokenizer at any context length, on the compiled `tokenizers` library.

Axes: T texts, L tokens.
"""

import gzip
import html
import json
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import ftfy
import torch
from tokenizers import Regex
from tokenizers import Tokenizer as BytePairTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from torch import Tensor

START, END = '<|startoftext|>', '<|endoftext|>'
# CLIP splits a text into contractions, words, single digits and runs of other marks before it merges bytes. It does so
# ignoring case, by which the long s (U+017F) counts as an s and the combining iota of Greek (U+0345) as nothing at all.
_PIECES = r"'[s\x{17F}]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
# CLIP reads so many of the published merges that with 256 bytes, 256 word-final bytes and 2 marks it has 49408 tokens.
_NUM_MERGES = 49408 - 256 - 256 - 2


class Tokenizer:
    """Texts to token ids, as CLIP was trained: cleaned, lower case, byte pairs, start and end marks.

    Args:
        vocab: token to id, with CLIP's two marks among them.
        merges: byte pairs, the most frequent first.

    Raises:
        ValueError: the vocabulary lacks the start or end mark.
    """

    def __init__(self, vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> None:
        for mark in (START, END):
            if mark not in vocab:
                raise ValueError(f'the tokenizer vocabulary lacks {mark}')
        self._vocab = vocab
        self._merges = list(merges)
        self._tokenizer = BytePairTokenizer(
            BPE(vocab=vocab, merges=self._merges, end_of_word_suffix='</w>', unk_token=END)
        )
        self._tokenizer.pre_tokenizer = PreTokenizers(
            [
                Split(Regex(_PIECES), behavior='removed', invert=True),
                ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self.start_id = vocab[START]
        self.end_id = vocab[END]

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
            context_length: length L of a row; a longer text is cut and still ends in the end mark.

        Returns:
            (T, L) int64, padded with the end mark.
        """
        if isinstance(texts, str):
            texts = [texts]
        ids = torch.full((len(texts), context_length), self.end_id, dtype=torch.int64)
        encodings = self._tokenizer.encode_batch([clean(text) for text in texts], add_special_tokens=False)
        for row, encoding in zip(ids, encodings, strict=True):
            kept = encoding.ids[: context_length - 2]
            row[0] = self.start_id
            row[1 : 1 + len(kept)] = torch.tensor(kept, dtype=torch.int64)
        return ids

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


def clean(text: str) -> str:
    """Mend broken unicode, resolve HTML entities (twice, as CLIP does), fold white space, lower the case."""
    if not text.isascii() or '&' in text or not text.isprintable():
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r'\s+', ' ', text).strip().lower()


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
