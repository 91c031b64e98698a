"""Compare our FG-CLIP with recorded numbers of the official code: ``python tools/check_parity.py FOLDER --json F``."""

import argparse
import json
import sys
from pathlib import Path

from fgdet.utils.checks import UserError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='config.json, model.safetensors, reference.safetensors and losses.json')
    parser.add_argument('--json', metavar='FILE', help='write the result there')
    arguments = parser.parse_args()

    from fgdet.apis.parity import check_parity

    try:
        result = check_parity(arguments.folder)
    except (UserError, OSError) as error:
        print(f'check_parity: error: {error}', file=sys.stderr)
        return 1
    for group in ('entries', 'losses', 'gradients'):
        worst = max(result[group], key=result[group].get)
        print(f'{group:10} {len(result[group]):4} compared, largest error {result[group][worst]:.2e} ({worst})')
    print('ok' if result['ok'] else 'NOT ok')
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=2) + '\n')
    return 0 if result['ok'] else 1


if __name__ == '__main__':
    sys.exit(main())
