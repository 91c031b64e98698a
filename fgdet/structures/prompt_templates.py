"""Sets of prompts with a ``{}`` where a name goes, as CLIP was evaluated with on ImageNet; no torch.

The prompts are OpenAI's (CLIP, arXiv 2103.00020, section 3.1.4, and the notebook that was published with it). open_clip
carries them and is installed with this package: they are read from its file, without importing open_clip and torch.
"""

import runpy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, read_text

#: Name of a set, and what open_clip calls it: the 80 prompts of the paper, and the 7 of them that do nearly as well.
TEMPLATE_SETS = {'imagenet': 'OPENAI_IMAGENET_TEMPLATES', 'simple': 'SIMPLE_IMAGENET_TEMPLATES'}


@cache
def template_set(name: str) -> tuple[str, ...]:
    """The prompts of a set in their published order: 80 for ``'imagenet'``, 7 for ``'simple'``.

    Raises:
        UserError: no such set, or open_clip is not installed.
    """
    if name not in TEMPLATE_SETS:
        raise UserError(
            f'vocabulary templates: expected a list of prompts or one of {", ".join(TEMPLATE_SETS)}, got {name!r}'
        )
    return tuple(fill('{}') for fill in _published(TEMPLATE_SETS[name], f'vocabulary templates {name!r}'))


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes that belong to these prompts, in the order of their WordNet ids.

    Raises:
        UserError: open_clip is not installed.
    """
    return tuple(_published('IMAGENET_CLASSNAMES', 'the class names of ImageNet'))


def _published(name: str, what: str) -> Any:
    """What open_clip has under a name."""
    spec = find_spec('open_clip')
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / 'zero_shot_metadata.py'
        if file.is_file():
            return runpy.run_path(str(file))[name]
    raise UserError(
        f'{what}: they come with open_clip; install it (pip install open_clip_torch), or give them in a file or list'
    )


def read_templates(choice: str | Path) -> tuple[str, ...]:
    """The prompts that a user chose.

    Args:
        choice: ``'openai'`` for the 80 of :func:`template_set`, ``'simple'`` for its 7, ``'none'`` for the name alone,
            or a file: a JSON list, or one prompt a line.

    Raises:
        UserError: no such file, or a prompt has no ``{}``.
    """
    if choice == 'none':
        return ('{}',)
    if choice in ('openai', *TEMPLATE_SETS):
        return template_set('imagenet' if choice == 'openai' else str(choice))
    path = Path(choice)
    if not path.is_file():
        raise UserError(
            f'templates {choice}: expected openai, simple, none or a file of prompts, and there is no such file'
        )
    is_json = path.suffix == '.json'
    prompts = read_json(path, 'templates') if is_json else read_text(path, 'templates').splitlines()
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise UserError(f'templates {path}: expected a JSON list of strings')
    prompts = [prompt.strip() for prompt in prompts if prompt.strip()]
    wrong = next((prompt for prompt in prompts if '{}' not in prompt), None)
    if wrong is not None or not prompts:
        raise UserError(
            f'templates {path}: {f"{wrong!r} has no {{}} where the name goes" if prompts else "it is empty"}'
        )
    return tuple(prompts)
