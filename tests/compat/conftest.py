"""The devices on which each operator is compared with its naive form."""

import pytest
import torch

import fgdet  # noqa: F401  the finder has to be in place before mmcv.ops is imported

NEEDS_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')]


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
