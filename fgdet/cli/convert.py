"""``fgdet convert``: checkpoints between layouts."""

import click


@click.command()
@click.argument('source', metavar='SRC')
@click.argument('destination', metavar='DST')
@click.option(
    '--to',
    type=click.Choice(['fg-clip', 'clip', 'open-clip', 'fgdet']),
    help='Layout to write.  [default: fgdet for a .pth, open-clip for .pt, .bin and .safetensors, else fg-clip]',
)
@click.option(
    '--activation',
    type=click.Choice(['quick_gelu', 'gelu']),
    help='Of a state dict that does not say: quick_gelu for those of OpenAI, gelu for most of open_clip.',
)
@click.option('--overwrite', is_flag=True, help='Replace the checkpoint that is at DST.')
@click.option('--json', 'json_file', help='Write what was converted to this file.')
def command(
    source: str, destination: str, to: str | None, activation: str | None, overwrite: bool, json_file: str | None
) -> None:
    """Write the checkpoint SRC as DST in another layout, each tensor in the dtype that it has.

    SRC is a folder of FG-CLIP, of transformers' CLIP or of open_clip, a state dict of OpenAI or open_clip, OpenAI's
    TorchScript file, a .pth of fgdet, or a hub id; its content tells which.

    \b
    fg-clip    folder that FG-CLIP's own code and fgdet load
    clip       folder for CLIPModel of transformers
    open-clip  folder for open_clip's local-dir:DST, or a state dict
    fgdet      .pth to start a training from, with load_from or model.clip.checkpoint
    """
    from fgdet.apis.conversion import convert
    from fgdet.utils.files import write_json

    report = convert(source, destination, to, overwrite, activation)
    if json_file:
        write_json(json_file, report)
    dtypes = ', '.join(report['dtypes'])
    click.echo(
        f'{report["from"]} -> {report["to"]}: {report["parameters"] / 1e6:.1f} M parameters ({dtypes}), '
        f'{report["image_size"]} px, {report["activation"]}; written to {destination}'
    )
    for what in report['lost']:
        click.echo(f'left out, as {report["to"]} has no place for it: {what}')
