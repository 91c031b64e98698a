"""fgdet's own checkpoints carry the whole model: towers, pooler, preprocessing."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from fgdet.checkpoints.own_checkpoint import read_own, to_own
from fgdet.models.fg_clip import FGCLIP
from fgdet.registry import MODELS
from tests.builders import TINY_TEXT, TINY_VISION, tiny_clip

MEAN, STD = (0.5, 0.25, 0.125), (0.2, 0.3, 0.4)


def test_from_pretrained__all_that_a_run_configured_comes_back(tmp_path: Path) -> None:
    """As mmengine stores it: a config in words, and the state of the pretrainer."""
    config = dict(
        type='fgdet.FGCLIPPretrainer',
        clip=dict(
            type='fgdet.FGCLIP',
            vision=dict(TINY_VISION, activation='gelu'),
            text=TINY_TEXT,
            pooler=dict(output_size=(2, 3), sampling_ratio=2, aligned=False),
            preprocessing=dict(image_size=40),
        ),
        global_loss=dict(type='fgdet.ImageTextContrastiveLoss'),
        data_preprocessor=dict(type='fgdet.RegionTextDataPreprocessor', mean=MEAN, std=STD),
    )
    pretrainer = MODELS.build(Config(dict(model=config)).model)
    assert pretrainer.clip.preprocessing.mean == pytest.approx(MEAN)
    cfg = Config(dict(model=config)).pretty_text
    torch.save(dict(meta=dict(cfg=cfg), state_dict=pretrainer.state_dict()), tmp_path / 'run.pth')

    model = FGCLIP.from_pretrained(tmp_path / 'run.pth')
    pixels, boxes = torch.randn(1, 3, 32, 32), [torch.tensor([[3.0, 5.0, 20.0, 31.0]])]
    with torch.no_grad():
        regions, expected = (m.encode_regions(pixels, boxes) for m in (model, pretrainer.clip.eval()))
        usual = FGCLIP(vision=config['clip']['vision'], text=TINY_TEXT)  # type: ignore[index]
        usual.load_state_dict(model.state_dict())
        assert not torch.allclose(usual.encode_regions(pixels, boxes), expected, atol=1e-4)
    torch.testing.assert_close(regions, expected, rtol=0, atol=0)
    assert (model.visual.activation, model.text.activation) == ('gelu', 'quick_gelu')
    assert model.preprocessing[:3] == (40, MEAN, STD)


def test_to_own__is_what_read_own_reads() -> None:
    model = tiny_clip(vision=dict(activation='gelu'))
    wanted = model.preprocessing._replace(mean=MEAN, interpolation='bilinear')
    own = read_own(to_own(model.state_dict(), model.full_config(), wanted))
    assert own.config == model.full_config()
    assert own.state.keys() == model.state_dict().keys()
    assert own.preprocessing == dict(mean=MEAN, std=wanted.std, image_size=32, interpolation='bilinear')
