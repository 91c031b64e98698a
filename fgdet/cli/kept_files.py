"""A guard for commands that read and write files of the user's choice."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from fgdet.utils.files import check_files_differ

_OUTPUTS = ('out', 'save_pred', 'thresholds_out', 'json_file', 'html_file')


def keeps_files(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command refuse to write over a file of another of its options; apply it below all of them."""

    @wraps(function)
    def checked(**options: Any) -> Any:
        names = {
            each.name: each.opts[0] if isinstance(each, click.Option) else each.human_readable_name
            for each in click.get_current_context().command.params
        }
        outputs = [(names[name], options[name]) for name in _OUTPUTS if options.get(name)]
        inputs = [
            (names[name], path)
            for name, value in options.items()
            for path in (value if isinstance(value, tuple) else (value,))
            if name not in _OUTPUTS and isinstance(path, str)
        ]
        check_files_differ(outputs, inputs)
        return function(**options)

    return checked
