"""Sets of prompts with a ``{}`` where a name goes, as CLIP was evaluated with on ImageNet; no torch.

The prompts are OpenAI's (CLIP, arXiv 2103.00020, section 3.1.4, and the notebook that was published with it). open_clip
carries them and is installed with this package: they are read from its file, without importing open_clip and torch.
"""

import runpy
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fgdet.utils.checks import UserError

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
    spec = find_spec('open_clip')
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / 'zero_shot_metadata.py'
        if file.is_file():
            return tuple(fill('{}') for fill in runpy.run_path(str(file))[TEMPLATE_SETS[name]])
    raise UserError(
        f'vocabulary templates {name!r}: they come with open_clip; install it (pip install open_clip_torch) or give a '
        'list of prompts'
    )
