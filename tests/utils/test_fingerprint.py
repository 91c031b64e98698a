"""Fingerprints of weights against a digest written out by hand, and what must and must not change them."""

import hashlib
import struct

import torch
from torch import nn

from fgdet.utils.fingerprint import state_fingerprint


def test_state_fingerprint__is_the_digest_of_names_types_shapes_and_bytes() -> None:
    state = {'b': torch.tensor([[1.5, -2.0]]), 'a': torch.tensor(7, dtype=torch.int64)}
    content = b"'a' torch.int64 ()\n" + struct.pack('=q', 7)
    content += b"'b' torch.float32 (1, 2)\n" + struct.pack('=2f', 1.5, -2.0)
    assert state_fingerprint(state) == hashlib.sha256(content).hexdigest()


def test_state_fingerprint__sees_every_change_of_content_and_none_of_order_or_memory() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    base = state_fingerprint({'w': weight, 'n': torch.zeros(0)})
    assert state_fingerprint({'n': torch.zeros(0), 'w': weight.t().contiguous().t()}) == base
    changed = weight.clone()
    changed[1, 2] = torch.nextafter(changed[1, 2], torch.tensor(9.0))
    others = [
        {'w': changed, 'n': torch.zeros(0)},
        {'w': weight.reshape(3, 2), 'n': torch.zeros(0)},
        {'w': weight.view(torch.int32), 'n': torch.zeros(0)},
        {'v': weight, 'n': torch.zeros(0)},
        {'w': weight},
    ]
    assert len({base, *map(state_fingerprint, others)}) == 1 + len(others)


def test_state_fingerprint__takes_a_module_in_any_precision() -> None:
    module = nn.BatchNorm1d(3)  # it has a scalar buffer
    assert state_fingerprint(module) == state_fingerprint(module.state_dict())
    half = nn.Linear(2, 2).to(torch.bfloat16)
    assert state_fingerprint(half) == state_fingerprint({n: v.clone() for n, v in half.state_dict().items()})
