"""``fgdet embed``: texts, images or regions as vectors in a ``.safetensors`` file; :mod:`fgdet.apis.embedding`."""

import sys
from functools import partial
from typing import Any

import click

from fgdet.cli.encoder_options import encoder_options
from fgdet.cli.evaluation_output import check_path
from fgdet.cli.kept_files import keeps_files
from fgdet.utils.checks import UserError

_OUT = click.option('--out', required=True, callback=check_path, help='The .safetensors file; in memory until the end.')
_RAW = click.option('--raw', is_flag=True, help='Features as the model gives them; without it they have length 1.')
_JSON = click.option('--json', 'json_file', callback=check_path, help='Write what was made, and how, to this file.')


def _output_options(function: Any) -> Any:
    return _OUT(_RAW(_JSON(keeps_files(function))))


@click.group()
def command() -> None:
    """Texts, images or regions as vectors in a .safetensors file.

    The tensor is called text, image or region; the bytes of text.names and so on are a JSON list of the rows' names.
    """


@command.command()
@click.argument('texts', nargs=-1, metavar='[TEXT]...')
@click.option('--file', help='Texts of a file, one a line.')
@click.option('--long/--short', default=None, help='Read 248 tokens, or cut at 77; needed where a text is longer.')
@encoder_options(images=False)
@_output_options
def text(texts: tuple[str, ...], file: str | None, long: bool | None, **shared: Any) -> None:
    """Texts, as arguments or from a file."""
    from fgdet.apis.embedding import embed_texts, read_lines

    _run(partial(embed_texts, texts=[*texts, *(read_lines(file) if file else ())], long=long), 'texts', {}, **shared)


@command.command()
@click.argument('inputs', nargs=-1, required=True, metavar='INPUT...')
@encoder_options()
@_output_options
def image(inputs: tuple[str, ...], **shared: Any) -> None:
    """Image files, folders (with their subfolders) and glob patterns."""
    from fgdet.apis.embedding import embed_images
    from fgdet.apis.image_files import find_images

    failures: dict[str, str] = {}
    _run(partial(embed_images, paths=find_images(inputs), failures=failures), 'images', failures, **shared)


@command.command()
@click.argument('file')
@click.option('--images', required=True, help='Folder of the images.')
@click.option('--mode', type=click.Choice(['roi', 'crop']), default='roi', show_default=True, help='Pooled or cut out.')
@encoder_options()
@_output_options
def regions(file: str, images: str, **shared: Any) -> None:
    """Boxes of a COCO-form annotation FILE, or of JSON {"file name": [[x1, y1, x2, y2], ...]}."""
    from fgdet.apis.embedding import embed_regions
    from fgdet.apis.region_files import read_regions

    failures: dict[str, str] = {}
    embed = partial(embed_regions, regions=read_regions(file), folder=images, failures=failures)
    _run(embed, 'images', failures, **shared)


def _run(
    embed: Any, part: str, failures: dict[str, str], out: str, raw: bool, json_file: str | None, **encoder: Any
) -> None:
    """Encode and write; what could not be read is said, and is a failure although the rest is written."""
    from fgdet.apis.embedding_files import ENDING, write_embeddings
    from fgdet.apis.region_encoding import RegionEncoder
    from fgdet.cli.progress import PartsProgress
    from fgdet.utils.files import write_json

    if not out.endswith(ENDING):
        raise UserError(f'--out {out}: expected a name ending in {ENDING}')
    model = RegionEncoder(**encoder)
    with PartsProgress({part: 1.0}) as progress:
        show = partial(progress.update, part)
        embeddings = embed(model, normalize=not raw, report=lambda done, of: show(done / of, f'{done} of {of}'))
    write_embeddings(out, embeddings)
    ((name, table),) = embeddings.tables.items()
    count, dim = table.features.shape
    click.echo(f'{out}: {name} {count} x {dim}')
    if json_file:
        about = {'out': out, 'table': name, 'count': count, 'dim': dim, 'failures': failures}
        write_json(json_file, about | embeddings.settings)
    for reason in failures.values():
        click.echo(f'fgdet: error: {reason}', err=True)
    if failures:
        sys.exit(1)
