"""The error that a user can mend, and the small checks that raise it."""

from pathlib import Path


class UserError(ValueError):
    """A mistake in what the user gave; the message names the thing, what came and what to do, in one line."""


def existing_file(path: str | Path, what: str) -> Path:
    """Return ``path`` as a :class:`~pathlib.Path`.

    Args:
        path: the file to look for.
        what: how the error names it, for example ``'annotation file'``.

    Raises:
        UserError: nothing is there, or it is a folder, a pipe or a device.
    """
    path = Path(path)
    if not path.is_file():
        found = 'it is a folder' if path.is_dir() else 'a pipe or a device' if path.exists() else 'no such file'
        raise UserError(f'{what} {path}: {found}; give the path of an existing file')
    return path


class NonFiniteLossError(RuntimeError):
    """A loss that is no finite number, and the samples of the batch that gave it.

    Args:
        losses: each loss term by name.
        keys: names of the batch's samples.
    """

    def __init__(self, losses: dict[str, float], keys: list[str]) -> None:
        terms = ', '.join(f'{name}={value}' for name, value in losses.items())
        super().__init__(f'the loss is not finite ({terms}) on a batch of {len(keys)} samples')
        self.losses = losses
        self.keys = keys
