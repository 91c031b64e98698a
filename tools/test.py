"""Evaluate a checkpoint with a config: ``fgdet test`` under the name that users of mmdet know."""

import sys

from fgdet.cli.main import main

if __name__ == '__main__':
    sys.argv[1:1] = ['test']
    main()
