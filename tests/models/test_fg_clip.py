"""The whole model: features against the official numbers, and the folder that it is saved to and read from."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import normalize

from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor
from fgdet.models.fg_clip import FGCLIP
from fgdet.structures.preprocessing import Preprocessing
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from tests.builders import OFFICIAL, TINY_TEXT, TINY_VISION, official_model, official_tensors, random_ids, tiny_clip


@pytest.fixture(scope='module')
def official() -> FGCLIP:
    return official_model()


def test_from_pretrained__eval_mode_float32_cpu(official: FGCLIP) -> None:
    assert not official.training
    assert {p.dtype for p in official.parameters()} == {torch.float32}
    assert {p.device.type for p in official.parameters()} == {'cpu'}


@torch.no_grad()
def test_encode_regions__equals_the_official_features(official: FGCLIP) -> None:
    recorded = official_tensors()
    boxes, pixels = recorded['roi.boxes_pixel'], recorded['pixel_values']
    per_image = [boxes[boxes[:, 0] == i, 1:] for i in range(3)]
    order = torch.cat([torch.nonzero(boxes[:, 0] == i)[:, 0] for i in range(3)])
    regions = official.encode_regions(pixels, per_image)
    torch.testing.assert_close(regions, recorded['roi.features'][order], rtol=0, atol=1e-5)
    unit = official.encode_regions(pixels, per_image, normalize=True)
    torch.testing.assert_close(unit, normalize(regions, dim=1), rtol=0, atol=1e-6)


@torch.no_grad()
def test_encode_regions__whole_map_cells_of_a_wide_image(official: FGCLIP) -> None:
    """A box of exactly one cell gives that cell's feature, so x and y cannot be mixed up."""
    pixels = torch.randn(1, 3, 48, 80)
    dense = official.encode_dense(pixels)
    boxes = torch.tensor([[16 * x, 16 * y, 16 * x + 16, 16 * y + 16] for y in range(3) for x in range(5)]).float()
    torch.testing.assert_close(official.encode_regions(pixels, [boxes]), dense[0].flatten(1).T, rtol=0, atol=1e-5)


@torch.no_grad()
def test_encode_regions__images_without_boxes(official: FGCLIP) -> None:
    pixels, box = torch.randn(3, 3, 64, 64), torch.tensor([[4.0, 4.0, 40.0, 50.0]])
    none = torch.zeros(0, 4)
    middle = official.encode_regions(pixels, [none, box, none])
    torch.testing.assert_close(middle, official.encode_regions(pixels[1:2], [box]), rtol=0, atol=1e-5)
    assert official.encode_regions(pixels, [none] * 3).shape == (0, 32)


@torch.no_grad()
def test_encode__normalize_scales_to_length_one() -> None:
    model, pixels, ids = tiny_clip(), torch.randn(2, 3, 32, 32), random_ids(3, 77)
    for features, unit in (
        (model.encode_image(pixels), model.encode_image(pixels, normalize=True)),
        (model.encode_dense(pixels), model.encode_dense(pixels, normalize=True)),
        (model.encode_text(ids), model.encode_text(ids, normalize=True)),
        (model.encode_text(ids, long=True), model.encode_text(ids, long=True, normalize=True)),
    ):
        torch.testing.assert_close(unit, features / features.norm(dim=1, keepdim=True))


def test_tokenize__needs_the_tokenizer_of_its_vocabulary() -> None:
    with pytest.raises(ValueError, match='knows 40 tokens and CLIP has 49408'):
        tiny_clip().tokenize('a cat')


def test_tokenize__lengths_of_the_modes() -> None:
    model = FGCLIP(vision=TINY_VISION, text=TINY_TEXT | dict(vocab_size=49408, eos_token_id=49407))
    assert model.tokenize('a cat').tolist() == [[49406, 320, 2368] + 74 * [49407]]
    assert model.tokenize(['a cat', ''], long=True).shape == (2, 248)


def test_towers__need_one_embedding_size() -> None:
    with pytest.raises(ValueError, match=r'16 \(vision\) and 8 \(text\)'):
        FGCLIP(vision=TINY_VISION, text=TINY_TEXT | dict(output_dim=8))


def test_clamp_logit_scales__bounds_all_three() -> None:
    model = tiny_clip()
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
        model.logit_scale_region.fill_(-1.0)
    model.clamp_logit_scales(100.0)
    scales = [model.logit_scale, model.logit_scale_region, model.logit_scale_hard_negative]
    assert [float(s.detach()) for s in scales] == pytest.approx([math.log(100), 0.0, 2.6592])


def test_save_pretrained__official_weights_come_back_byte_for_byte(official: FGCLIP, tmp_path: Path) -> None:
    official.save_pretrained(tmp_path)
    digests = [hashlib.sha256((f / 'model.safetensors').read_bytes()).hexdigest() for f in (OFFICIAL, tmp_path)]
    assert digests[0] == digests[1]


def test_save_pretrained__config_holds_the_official_fields(official: FGCLIP, tmp_path: Path) -> None:
    official.save_pretrained(tmp_path)
    ours, theirs = (json.loads((f / 'config.json').read_text()) for f in (tmp_path, OFFICIAL))
    del theirs['transformers_version']  # not ours to claim
    assert ours == theirs


def test_save_pretrained__a_model_of_any_size_comes_back(tmp_path: Path) -> None:
    model = tiny_clip(
        vision=dict(num_layers=3, mlp_width=40), text=dict(num_heads=4, context_length=30, long_context_length=50)
    ).eval()
    model.save_pretrained(tmp_path)
    loaded = FGCLIP.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    ids = random_ids(2, 30)
    torch.testing.assert_close(loaded.encode_text(ids), model.encode_text(ids), rtol=0, atol=0)
    pixels = torch.ones(1, 3, 32, 32)
    torch.testing.assert_close(loaded.encode_image(pixels), model.encode_image(pixels), rtol=0, atol=0)


def test_save_pretrained__half_precision_weights(tmp_path: Path) -> None:
    model = tiny_clip().bfloat16()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / 'config.json').read_text())['torch_dtype'] == 'bfloat16'
    assert {v.dtype for v in load_file(tmp_path / 'model.safetensors').values()} == {torch.bfloat16}
    loaded = FGCLIP.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.state_dict(), {k: v.float() for k, v in model.state_dict().items()})


def test_save_pretrained__tokenizer_travels_with_the_weights(tmp_path: Path) -> None:
    letters = [chr(c) for c in range(ord('a'), ord('a') + 19)]
    tokens = [*letters, *(c + '</w>' for c in letters), '<|startoftext|>', '<|endoftext|>']
    tokenizer = Tokenizer({token: i for i, token in enumerate(tokens)}, [])
    model = FGCLIP(vision=TINY_VISION, text=TINY_TEXT, tokenizer=tokenizer)
    model.save_pretrained(tmp_path)
    assert FGCLIP.from_pretrained(tmp_path).tokenize('ab c')[0, :5].tolist() == [38, 0, 20, 21, 39]


def test_checkpoint__argument_loads_weights_of_the_same_sizes(tmp_path: Path) -> None:
    model = tiny_clip(seed=3)
    model.save_pretrained(tmp_path)
    loaded = FGCLIP(vision=TINY_VISION, text=TINY_TEXT, checkpoint=str(tmp_path))
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize('shape', [(3, 32, 32), (1, 1, 32, 32), (1, 32, 32, 3), (1, 3, 0, 0), (1, 3, 4, 32)])
def test_encode__refuses_pixels_of_another_shape(shape: tuple[int, ...]) -> None:
    model = tiny_clip()
    for encode in (model.encode_image, model.encode_dense, lambda pixels: model.encode_regions(pixels, [])):
        with pytest.raises(ValueError, match='pixels: expected'):
            encode(torch.zeros(shape))


def test_checkpoint__argument_brings_tokenizer_and_preprocessing(tmp_path: Path) -> None:
    letters = [chr(c) for c in range(ord('a'), ord('a') + 19)]
    tokens = [*letters, *(c + '</w>' for c in letters), '<|startoftext|>', '<|endoftext|>']
    tokenizer = Tokenizer({token: i for i, token in enumerate(tokens)}, [])
    settings = dict(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), interpolation='bilinear', image_size=40)
    FGCLIP(TINY_VISION, TINY_TEXT, tokenizer=tokenizer, preprocessing=settings).save_pretrained(tmp_path)
    for model in (FGCLIP(TINY_VISION, TINY_TEXT, checkpoint=str(tmp_path)), FGCLIP.from_pretrained(tmp_path)):
        assert model.preprocessing == Preprocessing(**settings, context_length=77, long_context_length=248)
        assert model.tokenize('ab c')[0, :5].tolist() == [38, 0, 20, 21, 39]
    told = FGCLIP(TINY_VISION, TINY_TEXT, checkpoint=str(tmp_path), preprocessing=dict(image_size=32))
    assert told.preprocessing == model.preprocessing._replace(image_size=32)


def test_checkpoint__argument_of_another_activation(tmp_path: Path) -> None:
    tiny_clip(text=dict(activation='gelu')).save_pretrained(tmp_path)
    message = "its text tower was trained with activation 'gelu', and the model has 'quick_gelu'; set activation='gelu'"
    with pytest.raises(UserError, match=message):
        FGCLIP(TINY_VISION, TINY_TEXT, checkpoint=str(tmp_path))


def test_tokenizer__of_another_vocabulary_is_refused() -> None:
    tokenizer = Tokenizer({'a': 0, '<|startoftext|>': 1, '<|endoftext|>': 2}, [])
    with pytest.raises(ValueError, match='has 40 tokens, of which 39 ends a text, and its tokenizer has 3 and 2'):
        FGCLIP(TINY_VISION, TINY_TEXT, tokenizer=tokenizer)


def test_preprocess__one_or_several_images_of_any_size() -> None:
    model = tiny_clip()
    image = np.random.default_rng(0).integers(0, 256, (50, 20, 3), dtype=np.uint8)
    squashed = np.array(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
    expected = RegionTextDataPreprocessor()(dict(inputs=[torch.from_numpy(squashed).permute(2, 0, 1)], data_samples=[]))
    for images in (image, [image], Image.fromarray(image)):
        torch.testing.assert_close(model.preprocess(images), expected['inputs'])


def test_preprocessing__unknown_field() -> None:
    with pytest.raises(ValueError, match="preprocessing: unknown 'size'; it has image_size, mean"):
        FGCLIP(TINY_VISION, TINY_TEXT, preprocessing=dict(size=3))


def test_from_pretrained__keeps_stored_dtypes_where_asked_and_draws_no_random_numbers(tmp_path: Path) -> None:
    tiny_clip().bfloat16().save_pretrained(tmp_path)
    torch.manual_seed(7)
    model = FGCLIP.from_pretrained(tmp_path, dtype=None)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_from_pretrained__weights_do_not_hang_on_the_file(tmp_path: Path) -> None:
    """A folder can be overwritten while the model that came from it lives."""
    tiny_clip(seed=1).save_pretrained(tmp_path)
    model = FGCLIP.from_pretrained(tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / 'model.safetensors').write_bytes(b'')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
