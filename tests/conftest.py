"""What every test file may take for granted."""

import os

import fgdet  # noqa: F401  the finder has to be in place before mmcv.ops is imported

# A test sees what another one computed, or a user did before, only where it asks for a folder.
os.environ['FGDET_CACHE'] = ''
