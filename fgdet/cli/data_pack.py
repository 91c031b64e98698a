"""``fgdet data pack``: parse, call :mod:`fgdet.apis.data_pack`, print."""

import click

from fgdet.cli.data_options import JSON, progress


@click.command(short_help='Records and images to WebDataset shards.')
@click.argument('records')
@click.option('--images', required=True, help='Folder that the image paths are relative to.')
@click.option('--out', required=True, help='Folder for the shards.')
@click.option('--prefix', default='data', show_default=True, help="First part of the shards' names.")
@click.option('--shard-samples', type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option('--shard-mib', type=click.FloatRange(min=0, min_open=True), default=1024, show_default=True)
@click.option('--decode', is_flag=True, help='Read images to their end, to leave out those that were cut.')
@JSON
def pack(
    records: str,
    images: str,
    out: str,
    prefix: str,
    shard_samples: int,
    shard_mib: float,
    decode: bool,
    json_file: str | None,
) -> None:
    """Pack RECORDS (a file or a folder) with their images into tar shards of bounded size.

    Image bytes stay as they are. What training could not use is left out and counted. The same input gives the same
    bytes; after an interruption the same command goes on behind the last whole shard.
    """
    from fgdet.apis.data_pack import PackPlan, pack
    from fgdet.utils.files import write_json

    plan = PackPlan(prefix, shard_samples, int(shard_mib * 2**20), decode)
    with progress('pack') as on_progress:
        manifest = pack(records, images, out, plan, on_progress)
    if json_file:
        write_json(json_file, manifest)
    for kind, number in manifest['skipped'].items():
        click.echo(f'left out: {number} {kind}, such as {manifest["examples"][kind][0]}')
    shards = sum(shard['samples'] > 0 for shard in manifest['shards'])
    click.echo(f'{manifest["samples"]} of {manifest["records"]} records in {shards} shards: {out}')
