"""``fgdet data fetch``: parse, call :mod:`fgdet.apis.data_fetch`, print."""

from typing import Any

import click

from fgdet.cli.data_options import JSON, progress

_AT_LEAST_1 = click.IntRange(min=1)
_POSITIVE = click.FloatRange(min=0, min_open=True)


def _number(name: str, kind: Any, default: Any, text: str) -> Any:
    return click.option(name, type=kind, default=default, show_default=True, help=text)


@click.command(short_help='Image links to WebDataset shards.')
@click.argument('links')
@click.option('--out', required=True, help='Folder for the shards; the same command again goes on.')
@click.option('--url-column', help='Column of the links.  [default: url, URL or image_url]')
@click.option('--caption-column', help='Column of the captions.  [default: caption, text, TEXT or alt_text]')
@click.option('--short-caption-column', help='Column of the short captions.  [default: the captions]')
@click.option('--regions-column', help="Column of GRIT's phrases with boxes, such as ref_exps.")
@click.option('--keep', multiple=True, help='A further column for the records; may be given again.')
@click.option('--prefix', default='images', show_default=True, help="First part of the shards' names.")
@click.option('--key', type=click.Choice(['url', 'content']), default='url', show_default=True, help='What keys hash.')
@_number('--shard-links', _AT_LEAST_1, 10_000, 'Links of a shard.')
@click.option('--limit', type=_AT_LEAST_1, help='The first so many links alone.')
@_number('--concurrency', _AT_LEAST_1, 64, 'Requests at the same time.')
@_number('--per-host', _AT_LEAST_1, 4, 'Of these, to one host.')
@_number('--delay', click.FloatRange(min=0), 0.0, 'Seconds between two requests to one host.')
@_number('--connect-timeout', _POSITIVE, 10.0, 'Seconds for a connection.')
@_number('--read-timeout', _POSITIVE, 10.0, 'Seconds that a server may be silent.')
@_number('--timeout', _POSITIVE, 30.0, 'Seconds for an image in all.')
@_number('--retries', click.IntRange(min=0), 2, 'Further tries after 429, 5xx and broken connections.')
@_number('--max-mib', _POSITIVE, 20.0, 'Largest file.')
@_number('--max-pixels', click.IntRange(1, 89_478_485), 89_478_485, 'Largest image, width times height.')
@click.option('--header-only', is_flag=True, help='Do not read images to their end: quicker, and cut ones are kept.')
@click.option('--user-agent', help='What servers are told; put a contact in it.')
@click.option('--allow-private', is_flag=True, help='Connect to private and loopback addresses too.')
@JSON
def fetch(links: str, out: str, json_file: str | None, **options: Any) -> None:
    """Fetch the images of LINKS into tar shards in OUT.

    LINKS is a list (parquet, JSON, JSON lines, CSV, TSV, or text with one link a line) or a folder of lists. Only http
    and https links to public addresses are followed, redirects included; proxies of the environment are not used. Links
    that give no image are listed with their reasons in OUT/dead_links.jsonl, which is a list for a later try.
    """
    from fgdet.apis import data_fetch as api
    from fgdet.utils.files import check_output_file, write_json

    if json_file:
        check_output_file(json_file, '--json')
    columns = api.LinkColumns(
        url=options['url_column'],
        caption=options['caption_column'],
        short_caption=options['short_caption_column'],
        regions=options['regions_column'],
        keep=options['keep'],
    )
    plan = api.FetchPlan(columns, *(options[name] for name in ('prefix', 'shard_links', 'key', 'limit')))
    settings = api.DownloadSettings(
        concurrency=options['concurrency'],
        per_host=options['per_host'],
        delay=options['delay'],
        connect_s=options['connect_timeout'],
        read_s=options['read_timeout'],
        total_s=options['timeout'],
        most_bytes=int(options['max_mib'] * 2**20),
        most_pixels=options['max_pixels'],
        decode=not options['header_only'],
        retries=options['retries'],
        user_agent=options['user_agent'],
    )
    policy = api.allow_private if options['allow_private'] else api.is_public
    with progress('fetch') as on_progress:
        manifest = api.fetch(links, out, plan, settings, policy, on_progress)
    if json_file:
        write_json(json_file, manifest)
    for reason, number in manifest['dead'].items():
        click.echo(f'no image: {number} {reason}')
    shards = sum(shard['samples'] > 0 for shard in manifest['shards'])
    click.echo(f'{manifest["samples"]} images of {manifest["links"]} links in {shards} shards: {out}')
