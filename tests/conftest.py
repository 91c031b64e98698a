"""What every test file may take for granted."""

import fgdet  # noqa: F401  the finder has to be in place before mmcv.ops is imported
