"""``fgdet detect``: pictures and COCO-form JSON of what was found."""

import sys

import click


@click.command()
@click.argument('inputs', nargs=-1, required=True, metavar='INPUT...')
@click.option('--checkpoint', required=True, help='Detector checkpoint that training wrote.')
@click.option('--config', help='Its config; without it, the one stored in the checkpoint.')
@click.option(
    '--vocab', help='Names to look for, "red mug, striped cat", or a .txt or .json file.  [default: the trained]'
)
@click.option('--out', required=True, help='Folder for the pictures and predictions.json.')
@click.option(
    '--score-threshold', type=click.FloatRange(0, 1), default=0.3, show_default=True, help='Leave out weaker finds.'
)
@click.option('--json', 'json_file', help='Write the predictions to this file too.')
@click.option('--device', default='auto', show_default=True, help='cpu, cuda, cuda:1 ...')
def command(
    inputs: tuple[str, ...],
    checkpoint: str,
    config: str | None,
    vocab: str | None,
    out: str,
    score_threshold: float,
    json_file: str | None,
    device: str,
) -> None:
    """Find things named in words on images, folders of images and glob patterns."""
    from rich.console import Console
    from rich.progress import track

    from fgdet.apis.detection import Detector
    from fgdet.apis.image_files import FileWriter, find_images, read_vocabulary

    vocabulary = None if vocab is None else read_vocabulary(vocab)
    paths, failures = find_images(inputs)
    total = len(paths) + len(failures)
    for failure in failures:
        click.echo(f'fgdet: error: {failure.error}', err=True)
    detector = Detector.from_pretrained(config, checkpoint, device)
    if vocabulary is not None:
        detector.set_vocabulary(vocabulary)

    console = Console()
    with FileWriter(out, detector.vocabulary, json_file) as writer:
        results = writer.process(detector, paths, score_threshold)
        shown = track(results, total=len(paths), console=console, transient=True) if console.is_terminal else results
        for number, result in enumerate(shown, 1):
            if result.detections is None:
                failures.append(result)
                click.echo(f'fgdet: error: {result.error}', err=True)
            else:
                click.echo(f'[{number}/{len(paths)}] {result.path}: {len(result.detections)} found')
    click.echo(f'{total - len(failures)} of {total} done; pictures and predictions.json are in {out}')
    if failures:
        click.echo(f'fgdet: error: failed: {", ".join(str(failure.path) for failure in failures)}', err=True)
        sys.exit(1)
