"""The ``fgdet`` command: a group whose subcommands are imported only when they are called."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from fgdet.cli.lazy_group import LazyGroup
from fgdet.utils.checks import UserError
from fgdet.version import __version__

# Each name maps to a module that holds a click command called `command`, and to the line that --help shows.
COMMANDS = {
    'demo': ('fgdet.cli.demo', 'The whole story on generated scenes: pretrain, train a detector, evaluate, report.'),
    'train': ('fgdet.cli.train', 'Run a training config, as tools/train.py does.'),
    'test': ('fgdet.cli.test', 'Evaluate a checkpoint with a config, as tools/test.py does.'),
    'sweep': ('fgdet.cli.sweep', 'Find the weights of the score ensemble on a validation set, which is run once.'),
    'detect': ('fgdet.cli.detect', 'Find things named in words on images and videos: pictures and COCO-style JSON.'),
    'embed': ('fgdet.cli.embed', 'Texts, images or regions as vectors in a .safetensors file.'),
    'export': ('fgdet.cli.export', 'A detector as an ONNX graph.'),
    'heatmap': ('fgdet.cli.heatmap', 'Where in an image a text has its likeness.'),
    'convert': ('fgdet.cli.convert', 'Checkpoints between the layouts of FG-CLIP, CLIP, open_clip and fgdet.'),
    'evaluate': ('fgdet.cli.evaluate', 'Scores by the protocols of the benchmarks, mostly of saved predictions.'),
    'submit': ('fgdet.cli.submit', 'Checked files for the servers of COCO and LVIS, from saved predictions.'),
    'data': ('fgdet.cli.data', 'Make and look at training data.'),
    'doctor': ('fgdet.cli.doctor', 'What is installed, what works, and the command that mends the rest.'),
    'bench': ('fgdet.cli.bench', 'Side-by-side measurements of speed and exactness.'),
}


@click.group(cls=LazyGroup, modules=COMMANDS, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(__version__, prog_name='fgdet')
def cli() -> None:
    """fgdet: describe a thing in words, get its boxes."""


def main() -> None:
    """Entry point: exit 0 on success, 2 on a usage error, 1 on failure with one line that names the fix."""
    signal.signal(signal.SIGTERM, _end)
    try:
        cli()
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        of_file = error.filename is not None and error.strerror
        _fail(f'{error.filename}: it cannot be read or written ({error.strerror})' if of_file else str(error))


def _fail(text: str) -> NoReturn:
    click.echo(f'fgdet: error: {text}', err=True)
    sys.exit(1)


def _end(number: int, frame: FrameType | None) -> None:
    """Leave by an exception where we are told to end, so that results are saved and processes of ours end too."""
    sys.exit(128 + number)


if __name__ == '__main__':
    main()
