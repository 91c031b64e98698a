"""A vocabulary's arguments from what a user writes: a line of text, a list in a file, an annotation file; no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import read_json, read_text

ENDINGS = ('.txt', '.json')


def arguments_from_text(text: str) -> dict[str, Any]:
    """Names between commas, each with its own threshold after an equals sign if it is to have one.

    Raises:
        UserError: what follows an equals sign is no number.
    """
    names, thresholds = [], {}
    for part in text.split(','):
        name, equals, number = part.rpartition('=')
        if not equals:
            names.append(part)
            continue
        try:
            thresholds[name] = float(number)
        except ValueError as error:
            raise UserError(
                f'vocabulary {part.strip()!r}: expected name=threshold, such as {name.strip()}=0.4; a name with an '
                'equals sign or a comma can stand in a .txt file, one a line'
            ) from error
        names.append(name)
    return {'names': names, 'thresholds': thresholds or None}


def arguments_from_file(path: str | Path, fields: Sequence[str]) -> dict[str, Any]:
    """What a ``.txt`` or ``.json`` file says, see :meth:`fgdet.structures.vocabulary.Vocabulary.from_file`.

    Args:
        path: the file.
        fields: the keys that a dict of arguments may have.

    Raises:
        UserError: no such file, another ending, or a form that is not known.
    """
    path = existing_file(path, 'vocabulary file')
    if path.suffix == '.txt':
        return {'names': [line for line in read_text(path, 'vocabulary file').splitlines() if line.strip()]}
    if path.suffix != '.json':
        raise UserError(f'vocabulary file {path}: ending {path.suffix!r} is not known; use {" or ".join(ENDINGS)}')
    content = read_json(path, 'vocabulary file')
    if isinstance(content, dict) and isinstance(content.get('categories'), list):
        return _from_categories(content['categories'], path)
    if isinstance(content, list):
        is_category_list = bool(content) and all(isinstance(entry, dict) for entry in content)
        return _from_categories(content, path) if is_category_list else {'names': content}
    if isinstance(content, dict) and content and set(content) <= set(fields):
        names = content.get('names', [*(content.get('base') or ()), *(content.get('novel') or ())])
        return content | {'names': names}
    raise UserError(
        f'vocabulary file {path}: expected a list of names, COCO categories, or a dict with keys among '
        f'{", ".join(fields)}'
    )


def arguments_from_coco(path: str | Path) -> dict[str, Any]:
    """What the ``categories`` of a COCO-form or LVIS annotation file say.

    Raises:
        UserError: no such file, or no categories in it.
    """
    content = read_json(path, 'annotation file')
    if not isinstance(content, dict) or not isinstance(content.get('categories'), list):
        raise UserError(f"annotation file {path}: no list under 'categories'; give a COCO-form file")
    return _from_categories(content['categories'], Path(path))


def _from_categories(categories: list[Any], path: Path) -> dict[str, Any]:
    """Names by ascending id, in the order of the file where an id is missing; LVIS's further fields by name."""
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not isinstance(category.get('name'), str):
            raise UserError(f"{path}: categories[{position}] has no 'name': {category!r}")
    if all(isinstance(category.get('id'), int) for category in categories):
        categories = sorted(categories, key=lambda category: category['id'])
    found: dict[str, Any] = {'names': [category['name'] for category in categories]}
    for field in ('synonyms', 'frequency'):
        stated = {each['name']: each[field] for each in categories if each.get(field)}
        found[field] = stated or None
    return found
