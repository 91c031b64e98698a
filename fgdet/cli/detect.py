"""``fgdet detect``: pictures, annotated videos and COCO-form JSON of what was found."""

import os
import sys
from typing import Any

import click

from fgdet.cli.detect_options import search_options


@click.command()
@click.argument('inputs', nargs=-1, required=True, metavar='INPUT...')
@search_options
@click.option('--out', required=True, help='Folder for the pictures, videos and predictions.json.')
@click.option(
    '--score-threshold', type=click.FloatRange(0, 1), default=0.3, show_default=True, help='Leave out weaker finds.'
)
@click.option('--threads', type=click.IntRange(min=0), default=2, show_default=True, help='Read ahead, write behind.')
@click.option(
    '--every', type=click.IntRange(min=1), default=1, show_default=True, help="Every n-th of a video's frames."
)
@click.option('--max-frames', type=click.IntRange(min=1), help='Stop a video after so many frames.')
@click.option('--json', 'json_file', help='Write the predictions to this file too.')
def command(
    inputs: tuple[str, ...],
    out: str,
    score_threshold: float,
    threads: int,
    every: int,
    max_frames: int | None,
    json_file: str | None,
    **options: Any,
) -> None:
    """Find things named in words on images and videos.

    INPUT may be files, folders, glob patterns, URLs of streams and numbers of cameras. Ctrl-C ends early and keeps what
    is done.
    """
    for name, quiet in (('OPENCV_LOG_LEVEL', 'SILENT'), ('OPENCV_FFMPEG_LOGLEVEL', '-8')):
        os.environ.setdefault(name, quiet)  # what is damaged is said once, by us

    from fgdet.apis.detection_files import FileWriter, RunSettings
    from fgdet.apis.image_files import find_inputs
    from fgdet.apis.search import SearchOptions, build_detector
    from fgdet.cli.files_progress import FilesProgress

    sources, failures = find_inputs(inputs)
    total, interrupted = len(sources) + len(failures), False
    for failure in failures:
        click.echo(f'fgdet: error: {failure.error}', err=True)
    if not sources:  # an older predictions.json stays
        sys.exit(1)
    detector = build_detector(SearchOptions(**options))

    settings = RunSettings(score_threshold, threads, every, max_frames)
    with (
        FilesProgress(len(sources)) as progress,
        FileWriter(out, detector.vocabulary, json_file, settings, progress.on_frame) as writer,
    ):
        try:
            for result in writer.process(detector, sources):
                failures += [result] if result.error else []
                progress.show(result)
        except KeyboardInterrupt:
            interrupted = True
    click.echo(f'{writer.num_done} of {total} done; pictures and predictions.json are in {out}')
    dropped, clipped = getattr(detector, 'num_dropped', 0), getattr(detector, 'num_clipped', 0)
    if dropped or clipped:
        click.echo(
            f'proposals: {dropped} boxes left out, without area inside of their image; {clipped} clipped to theirs'
        )
    if failures:
        click.echo(f'fgdet: error: failed: {", ".join(str(failure.path) for failure in failures)}', err=True)
    if interrupted:
        click.echo('fgdet: error: interrupted; what was done is written', err=True)
    if failures or interrupted:
        sys.exit(1)
