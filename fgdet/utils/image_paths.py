"""Where the images that an annotation file names lie."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fgdet.utils.checks import UserError


def name_of_image(entry: Mapping[str, Any]) -> str | None:
    """Return ``file_name`` of an entry of ``images``, or the end of ``coco_url``, which is all LVIS has; else None."""
    return entry.get('file_name') or path_of_url(str(entry.get('coco_url') or '')) or None


def names_of_images(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return :func:`name_of_image` of each.

    Raises:
        UserError: an image has none; the first one is named.
    """
    names = []
    for entry in entries:
        name = name_of_image(entry)
        if name is None:
            raise UserError(f"image {entry['id']} of the annotations has neither 'file_name' nor 'coco_url'")
        names.append(name)
    return names


def path_of_url(url: str) -> str:
    """Return ``val2017/000000000139.jpg`` of ``http://images.cocodataset.org/val2017/000000000139.jpg``."""
    return '/'.join(url.split('/')[-2:])


def locate_image(folder: str | Path, name: str) -> Path | None:
    """Return the file of this name in a folder, or of the last part of the name; None where neither is there."""
    places = Path(folder) / name, Path(folder) / Path(name).name
    return next((path for path in places if path.is_file()), None)


def locate_images(folder: str | Path, names: Sequence[str]) -> list[Path]:
    """Return :func:`locate_image` of each.

    Raises:
        UserError: no such folder, or files are missing; the first is named and all are counted.
    """
    if not Path(folder).is_dir():
        raise UserError(f'images {folder}: no such folder')
    found = {name: locate_image(folder, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise UserError(
            f'images {folder}: {len(missing)} of {len(found)} files are not there, the first {missing[0]}; '
            'is this their folder?'
        )
    return [path for name in names if (path := found[name])]
