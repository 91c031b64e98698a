"""``fgdet export``: a detector as an ONNX graph."""

import click


@click.command()
@click.option('--checkpoint', required=True, help='Detector checkpoint that training wrote.')
@click.option('--config', help='Its config; without it, the one stored in the checkpoint.')
@click.option('--out', required=True, help='The .onnx file to write.')
@click.option(
    '--vocab', help='Names to bake in, "red mug, striped cat", or a .txt or .json file.  [default: the trained]'
)
@click.option('--embeddings-input', is_flag=True, help='Classes as an input of the graph instead of baked in.')
@click.option('--check', type=click.IntRange(min=0), default=3, show_default=True, help='Random images to compare on.')
@click.option('--json', 'json_file', help='Write what was exported, and how exact it is, to this file.')
def command(
    checkpoint: str,
    config: str | None,
    out: str,
    vocab: str | None,
    embeddings_input: bool,
    check: int,
    json_file: str | None,
) -> None:
    """Write a detector as an ONNX graph of any batch and image size; docs/export.md shows how to run it.

    The graph takes images (B, 3, H, W) float32 RGB in 0..255, resized and padded, and their sizes (B, 2), and gives
    boxes, scores, labels and, of a detector with masks, masks. With --embeddings-input it also takes embeddings (K, d)
    of length 1 and is_base (K,).
    """
    from fgdet.apis.detection import Detector
    from fgdet.apis.export import export_onnx
    from fgdet.apis.image_files import read_vocabulary
    from fgdet.utils.files import write_json

    if vocab is not None and embeddings_input:
        raise click.UsageError('--vocab bakes names in, --embeddings-input takes them later; give one of the two')
    vocabulary = None if vocab is None else read_vocabulary(vocab)
    detector = Detector.from_pretrained(config, checkpoint, 'cpu')
    if vocabulary is not None:
        detector.set_vocabulary(vocabulary)
    report = export_onnx(detector, out, embeddings_input, check)
    if json_file:
        write_json(json_file, report)
    names = 'names as an input' if report['names'] is None else f'{report["names"]} names'
    click.echo(
        f'{out}: {report["bytes"] / 2**20:.1f} MiB, opset {report["opset"]}, {names}, sides in multiples of '
        f'{report["multiple_of"]} px'
    )
    if report['checked']:
        click.echo(
            f'onnxruntime against torch on {report["checked"]} images: {report["detections"]} detections, '
            f'{report["unmatched"]} without a twin, boxes within {report["box_error"]:.1e} px, scores within '
            f'{report["score_error"]:.1e}'
        )
    else:
        click.echo('not compared with torch: onnxruntime is not installed, or --check 0')
