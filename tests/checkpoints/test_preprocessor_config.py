"""Image settings of published folders."""

from typing import Any

import pytest

from fgdet.checkpoints.preprocessor_config import preprocessing_from_hf, preprocessing_to_hf
from fgdet.structures.preprocessing import Preprocessing

# As OpenAI's folders have it: the first image processors wrote bare numbers, later ones name the sides.
OPENAI = {
    'crop_size': 224,
    'do_center_crop': True,
    'do_normalize': True,
    'do_resize': True,
    'image_mean': [0.48145466, 0.4578275, 0.40821073],
    'image_std': [0.26862954, 0.26130258, 0.27577711],
    'resample': 3,
    'size': 224,
}


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'crop_size': {'height': 224, 'width': 224}, 'size': {'shortest_edge': 256}, 'rescale_factor': 1 / 255},
        {'do_center_crop': False, 'crop_size': 3, 'size': {'shortest_edge': 224}},
    ],
)  # fmt: skip
def test_from_hf__published_forms(changes: dict[str, Any]) -> None:
    assert preprocessing_from_hf(OPENAI | changes) == dict(
        image_size=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        interpolation='bicubic',
    )


def test_from_hf__what_is_not_stated_is_not_invented() -> None:
    assert preprocessing_from_hf({}) == {}
    assert preprocessing_from_hf({'do_normalize': False, 'image_mean': [0.5, 0.5, 0.5]}) == dict(
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )


def test_to_hf__round_trip() -> None:
    ours = Preprocessing(336, (0.5, 0.4, 0.3), (0.2, 0.2, 0.25), 77, 248, 'bilinear')
    stated = preprocessing_from_hf(preprocessing_to_hf(ours))
    assert Preprocessing(**stated, context_length=77, long_context_length=248) == ours


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'must hold an object, got a list'),
        ({'do_rescale': False}, 'rescale_factor must be 1/255 and in use, got None'),
        ({'rescale_factor': 1.0}, 'rescale_factor must be 1/255 and in use, got 1.0'),
        ({'size': {'height': 224, 'width': 336}}, 'size must be one side of a square'),
        ({'size': 'big'}, 'size must be one side of a square'),
        ({'image_mean': [0.5]}, r'image_mean must be three numbers, got \[0.5\]'),
        ({'resample': 'cubic'}, "resample must be 0 to 5 as in Pillow, got 'cubic'"),
    ],
)
def test_from_hf__what_cannot_be_done_is_named(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f'preprocessor_config.json: .*{message}'):
        preprocessing_from_hf(content)
