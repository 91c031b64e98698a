"""``fgdet heatmap``: dense similarity of an image and texts."""

import click


@click.command()
@click.argument('image')
@click.option('--checkpoint', required=True, help="FG-CLIP weights, a folder, file or hub id, or a detector's.")
@click.option('--text', 'texts', multiple=True, required=True, help='Words to look for; may be repeated.')
@click.option('--out', required=True, help='The picture, a PNG file.')
@click.option(
    '--size', type=click.IntRange(min=1), help='Longer side to resize the image to.  [default: as it was trained]'
)
@click.option('--device', default='auto', show_default=True, help='cpu, cuda, cuda:1 ...')
@click.option('--json', 'json_file', help='Write range and best place of each text to this file.')
def command(
    image: str,
    checkpoint: str,
    texts: tuple[str, ...],
    out: str,
    size: int | None,
    device: str,
    json_file: str | None,
) -> None:
    """Show where in IMAGE a text has its likeness; of several texts, one panel each in one range of colours."""
    from io import BytesIO

    from PIL import Image

    from fgdet.apis.heatmap import HeatmapModel, draw_panels, summary
    from fgdet.apis.image_reading import load_image
    from fgdet.utils.files import write_bytes, write_json

    pixels = load_image(image)
    maps = HeatmapModel(checkpoint, size, device).similarities(pixels, texts)
    encoded = BytesIO()
    Image.fromarray(draw_panels(pixels, maps, texts)).save(encoded, 'PNG')
    write_bytes(out, encoded.getvalue())
    found = [summary(text, each, pixels.shape[:2]) for text, each in zip(texts, maps, strict=True)]
    if json_file:
        write_json(json_file, dict(image=image, texts=found))
    for each in found:
        place = ', '.join(f'{number:.0f}' for number in each['peak'])
        click.echo(f'{each["text"]}: similarity {each["min"]:.3f} to {each["max"]:.3f}, highest at {place}')
    click.echo(f'the picture is in {out}')
