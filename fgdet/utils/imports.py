"""Importing libraries that talk while they are imported."""

from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO


def import_quietly(*names: str) -> None:
    """Import modules and drop what they print; mmdet reports each optional dataset that it cannot import."""
    with redirect_stdout(StringIO()):
        for name in names:
            import_module(name)
