"""Images sorted into one folder a class, as ImageNet is, and what the classes are called."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fgdet.apis.image_files import IMAGE_ENDINGS
from fgdet.structures.prompt_templates import imagenet_class_names
from fgdet.utils.checks import UserError
from fgdet.utils.files import read_json, read_text

_WORDNET_ID = re.compile(r'n\d{8}')


class ClassFolders(NamedTuple):
    """K classes and the images of all of them."""

    folders: list[str]  # K, sorted; also those without an image
    names: list[list[str]]  # of each class, one or several
    images: list[str]  # paths below the root, class by class
    labels: np.ndarray  # of each image, its class 0..K-1


def read_class_folders(root: str | Path, classes: str | Path | None = None) -> ClassFolders:
    """Look through the folders of a root; files of other endings than images' are passed over.

    Args:
        root: each folder in it is a class; its images may lie in further folders.
        classes: names of the classes: JSON ``{"folder": "name" or ["name", ...]}``, a text file of lines
            ``folder name, other name``, or ``imagenet`` for the 1,000 of ImageNet; None takes the folders' own names,
            with spaces for underscores.

    Raises:
        UserError: no such folder, fewer than two classes, no image at all, or a class without a name.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f'images {root}: no such folder')
    folders = sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith('.'))
    if len(folders) < 2:
        raise UserError(
            f'images {root}: expected a folder for each of two or more classes, got {len(folders)} folders'
            f'{" (" + folders[0] + ")" if folders else ""}'
        )
    images, labels = [], []
    for label, folder in enumerate(folders):
        found = sorted(
            path.relative_to(root).as_posix()
            for path in (root / folder).rglob('*')
            if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()
        )
        images += found
        labels += [label] * len(found)
    if not images:
        raise UserError(f'images {root}: its {len(folders)} class folders hold no image')
    return ClassFolders(folders, _names(folders, root, classes), images, np.array(labels, dtype=np.int64))


def _names(folders: list[str], root: Path, classes: str | Path | None) -> list[list[str]]:
    if classes is None:
        if all(_WORDNET_ID.fullmatch(folder) for folder in folders):
            raise UserError(
                f'images {root}: its folders are called by WordNet ids, such as {folders[0]}; give the names with '
                '--classes FILE, or --classes imagenet where they are the 1,000 of ImageNet'
            )
        return [[folder.replace('_', ' ')] for folder in folders]
    if str(classes) == 'imagenet':
        known = imagenet_class_names()
        if len(folders) != len(known) or not all(_WORDNET_ID.fullmatch(folder) for folder in folders):
            raise UserError(
                f'--classes imagenet: expected {len(known):,} folders called by WordNet ids, got {len(folders)}, the '
                f'first {folders[0]}; give a file'
            )
        return [[name] for name in known]
    named = _read_names(Path(classes))
    missing = [folder for folder in folders if folder not in named]
    if missing:
        raise UserError(
            f'classes file {classes}: {len(missing)} of {len(folders)} folders have no name, such as {missing[0]}'
        )
    return [named[folder] for folder in folders]


def _read_names(path: Path) -> dict[str, list[str]]:
    where = f'classes file {path}'
    if path.suffix == '.json':
        content = read_json(path, 'classes file')
        if not isinstance(content, dict):
            raise UserError(f'{where}: expected {{"folder": "name" or ["name", ...]}}, got a {type(content).__name__}')
        given = {folder: [names] if isinstance(names, str) else names for folder, names in content.items()}
    else:
        lines = [line.strip() for line in read_text(path, 'classes file').splitlines() if line.strip()]
        split = [line.partition('\t' if '\t' in line else ' ') for line in lines]
        given = {folder: [name.strip() for name in names.split(',')] for folder, _, names in split}
    for folder, names in given.items():
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip() for n in names):
            raise UserError(f'{where}: {folder}: expected one or several names, got {names!r:.60}')
    return given
