"""Stored configs give the same values as mmengine's, and nothing is run."""

from pathlib import Path

import pytest
from mmengine.config import Config

from fgdet.checkpoints.stored_config import read_stored_config

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_read__hand_worked() -> None:
    text = "a = -1.5\nb = dict(c=[1, (2, 3)], d=None, e='x')\nf = {'g h': True}\n"
    assert read_stored_config(text) == {'a': -1.5, 'b': {'c': [1, (2, 3)], 'd': None, 'e': 'x'}, 'f': {'g h': True}}


@pytest.mark.parametrize('name', ['ov_coco/fvit_tiny.py', 'ov_coco/fvit_vit_b16_640.py'])
def test_read__a_dumped_config(name: str) -> None:
    config = Config.fromfile(CONFIGS / name)
    assert read_stored_config(config.pretty_text) == config.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        "a = __import__('os').getcwd()",
        'import os',
        'a = dict(**b)',
        'a = {**b}',
        'a = [x for x in (1, 2)]',
        'a = dict([1])',
        'a = list(b=1)',
        'a = -b',
        'print(1)',
        'a.b = 1',
        'a = 1 +',
    ],
)
def test_read__refuses_whatever_is_not_a_value(text: str) -> None:
    with pytest.raises(ValueError, match=r'the stored config .* \(line 1\)'):
        read_stored_config(text)
