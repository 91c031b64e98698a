"""OpenAI's names, against open_clip's own model of that layout."""

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from fgdet.checkpoints.openai_clip import is_openai_state, state_from_openai
from fgdet.models.fg_clip import FGCLIP


@pytest.fixture(scope='module')
def clip() -> open_clip.CLIP:
    """A small CLIP with random weights everywhere, also where a fresh one has zeros and ones."""
    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=24,
        vision_cfg=CLIPVisionCfg(layers=3, width=128, patch_size=8, image_size=40),
        text_cfg=CLIPTextCfg(vocab_size=50, width=64, heads=1, layers=2),
        quick_gelu=True,
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.mark.parametrize(
    'wrap', [lambda s: s, lambda s: dict(epoch=3, state_dict={f'module.{k}': v for k, v in s.items()})]
)
@torch.no_grad()
def test_from_pretrained__features_equal_open_clips(clip: open_clip.CLIP, wrap, tmp_path: Path) -> None:
    torch.save(wrap(clip.state_dict()), tmp_path / 'clip.pt')
    ours = FGCLIP.from_pretrained(tmp_path / 'clip.pt')
    pixels = torch.randn(2, 3, 40, 40)
    torch.testing.assert_close(ours.encode_image(pixels), clip.encode_image(pixels), rtol=0, atol=1e-5)
    ids = torch.randint(0, 49, (3, 77))
    ids[torch.arange(3), torch.tensor([4, 30, 76])] = 49
    torch.testing.assert_close(ours.encode_text(ids), clip.encode_text(ids), rtol=0, atol=1e-5)
    assert ours.logit_scale == clip.logit_scale
    # A long text within the 20 kept positions is what the short one is: the projection was copied.
    torch.testing.assert_close(ours.encode_text(ids[:1, :20], long=True), clip.encode_text(ids[:1]), rtol=0, atol=1e-5)


def test_from_pretrained__sizes_that_openai_stores_beside_the_weights(clip: open_clip.CLIP) -> None:
    extra = dict(input_resolution=torch.tensor(40), context_length=torch.tensor(77), vocab_size=torch.tensor(50))
    assert state_from_openai(clip.state_dict() | extra).keys() == state_from_openai(clip.state_dict()).keys()


def test_state__is_recognised(clip: open_clip.CLIP) -> None:
    assert is_openai_state(clip.state_dict())
    assert not is_openai_state({'visual.layer1.0.conv1.weight': torch.zeros(1)})  # a ResNet


def test_state__names_what_it_does_not_know(clip: open_clip.CLIP) -> None:
    with pytest.raises(ValueError, match=r'holds 2 tensors that CLIP has not: logit_bias, visual\.head'):
        state_from_openai(clip.state_dict() | {'logit_bias': torch.zeros(1), 'visual.head': torch.zeros(1)})


@pytest.mark.parametrize('missing', [['visual.proj'], ['logit_scale', 'token_embedding.weight']])
def test_state__names_what_is_missing(clip: open_clip.CLIP, missing: list[str]) -> None:
    state = {name: value for name, value in clip.state_dict().items() if name not in missing}
    with pytest.raises(ValueError, match=f'lacks {", ".join(missing)}$'):
        state_from_openai(state)
