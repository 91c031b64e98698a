"""``fgdet data build``: parse, call :mod:`fgdet.apis.data_build`, print."""

import sys

import click

from fgdet.cli.data_options import JSON, WORKERS


@click.command(short_help='A folder of images to captions, phrases, boxes and negatives.')
@click.argument('images')
@click.option('--out', required=True, help='Folder for the data set.')
@click.option('--annotations', help='Given boxes in the form of COCO.')
@click.option('--config', help='Python file with stages = [dict(type=...), ...]; without it the embedded stages run.')
@click.option('--stages', help='Run only these, between commas.')
@click.option('--limit', type=click.IntRange(min=1), help='Only the first so many images.')
@click.option('--dry-run', is_flag=True, help='Say what there is to do, and do nothing.')
@click.option('--retry-failed', is_flag=True, help='Try again what failed before.')
@click.option('--seed', default=0, show_default=True, help='Seed of the stages that choose at random.')
@WORKERS
@JSON
def build(
    images: str,
    out: str,
    annotations: str | None,
    config: str | None,
    stages: str | None,
    limit: int | None,
    dry_run: bool,
    retry_failed: bool,
    seed: int,
    workers: int,
    json_file: str | None,
) -> None:
    """Build training data in FineHARD's form from a folder of IMAGES.

    What each stage has done is kept: after an interruption of any kind the same command goes on. The same images,
    settings and seed give the same bytes.
    """
    from fgdet.apis.data_build import Build, BuildPlan
    from fgdet.cli.progress import PartsProgress
    from fgdet.utils.files import check_output_file, write_json

    if json_file:
        check_output_file(json_file, '--json')
    names = [name.strip() for name in stages.split(',')] if stages else None
    plan = BuildPlan(annotations, config, names, limit, retry_failed, workers, seed)
    build = Build(images, out, plan, lambda part, done, line: shown.update(part, done, line), click.echo)
    if dry_run:
        todo = build.todo()
        for name, number in todo.items():
            click.echo(f'{name}: {number} images to do')
        if json_file:
            write_json(json_file, dict(todo=todo))
        return
    try:
        with PartsProgress(dict.fromkeys(build.parts, 1.0)) as shown:
            manifest = build.run()
    except KeyboardInterrupt:
        click.echo('stopped; the same command goes on from here', err=True)
        sys.exit(130)
    if json_file:
        write_json(json_file, manifest)
    for stage in manifest['stages_run']:
        fresh, seconds = stage['records'] - stage['before'], stage['seconds']
        click.echo(f'{stage["name"]}: {stage["records"]} images, {fresh} of them now in {seconds:.1f} s')
    counts = manifest['counts']
    for what in ('failed', 'dropped'):
        for name, number in counts[what].items():
            click.echo(f'{what}: {number} by {name} ({out}/{"failures" if what == "failed" else "dropped"}.jsonl)')
    click.echo(
        f'{counts["records"]} of {manifest["images"]} images, {counts["regions"]} regions, {counts["negatives"]} '
        f'hard negatives: {out}'
    )
