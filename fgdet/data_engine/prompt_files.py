"""Prompts in files: each has a version, the hash of its text, which goes into the record of what it made."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_text

#: The package's own prompts.
FOLDER = Path(__file__).parent / 'prompts'


class Prompt(NamedTuple):
    """A prompt's name, its text without white space around it, and 12 digits of the SHA-256 of that."""

    name: str
    text: str
    version: str

    def label(self) -> str:
        """Return ``name@version``."""
        return f'{self.name}@{self.version}'


def load_prompt(name: str | Path) -> Prompt:
    """Return a prompt of the package by its name, such as ``captions``, or any text file by its path.

    Raises:
        UserError: there is none of this name, it is no UTF-8 text, or it is empty.
    """
    known = sorted(path.stem for path in FOLDER.glob('*.txt'))
    path = FOLDER / f'{name}.txt' if str(name) in known else Path(name)
    if not path.is_file():
        raise UserError(f'prompt {name}: no such file, and the package has {", ".join(known)}')
    text = read_text(path, 'prompt').strip()
    if not text:
        raise UserError(f'prompt {path}: it is empty')
    return Prompt(path.stem, text, hashlib.sha256(text.encode()).hexdigest()[:12])
