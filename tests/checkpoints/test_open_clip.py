"""open_clip's folders, against the configs and the loader that open_clip ships."""

import json
from pathlib import Path

import open_clip
import pytest
import torch

from fgdet.apis.conversion import convert
from fgdet.checkpoints.open_clip import config_from_open_clip, config_to_open_clip, preprocessing_from_open_clip
from fgdet.checkpoints.openai_clip import num_heads
from fgdet.models.fg_clip import FGCLIP
from fgdet.structures.preprocessing import Preprocessing
from fgdet.utils.checks import UserError
from tests.builders import tiny_clip

PREPROCESSING = Preprocessing(32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.25), 77, 248, 'bilinear')


def published_configs() -> dict[str, dict]:
    folder = Path(open_clip.__file__).parent / 'model_configs'
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))}


def test_num_heads__of_every_published_vision_transformer() -> None:
    """A state dict does not say its heads; these are the widths that open_clip's own configs have."""
    towers = [config['vision_cfg'] for config in published_configs().values()]
    towers = [tower for tower in towers if 'timm_model_name' not in tower and isinstance(tower.get('layers'), int)]
    heads = {tower['width']: tower['width'] // tower.get('head_width', 64) for tower in towers}
    assert len(heads) > 7 and {width: num_heads(width) for width in heads} == heads


def test_config__published_ones_are_read_or_refused() -> None:
    read = {}
    for name, config in published_configs().items():
        try:
            read[name] = config_from_open_clip(dict(model_cfg=config))
        except ValueError as error:
            assert "is not of CLIP's own transformers" in str(error)
    assert read['ViT-B-16-quickgelu']['vision']['activation'] == 'quick_gelu'
    assert read['ViT-B-16']['text']['activation'] == 'gelu'
    assert read['ViT-H-14']['vision'] | dict(width=0) == dict(
        image_size=224, patch_size=14, width=0, num_layers=32, num_heads=16, mlp_width=5120, output_dim=1024,
        activation='gelu',
    )  # fmt: skip
    assert not [
        name for name in read if name.startswith(('RN', 'coca', 'convnext', 'EVA', 'roberta', 'ViT-L-14-CLIPA'))
    ]


@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
def test_config__round_trip(activation: str) -> None:
    model = tiny_clip(vision=dict(activation=activation), text=dict(activation=activation))
    content = json.loads(json.dumps(config_to_open_clip(model.full_config(), PREPROCESSING)))
    assert config_from_open_clip(content) == model.full_config()
    assert preprocessing_from_open_clip(content) == dict(
        mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.25), interpolation='bilinear'
    )


def test_config_to_open_clip__two_activations() -> None:
    model = tiny_clip(vision=dict(activation='gelu'))
    with pytest.raises(ValueError, match='open_clip needs one activation, got gelu and quick_gelu'):
        config_to_open_clip(model.full_config(), PREPROCESSING)


@pytest.mark.parametrize('content', [[], {}, {'model_cfg': {'embed_dim': 8}}])
def test_config_from_open_clip__another_file(content: object) -> None:
    with pytest.raises(ValueError, match='it needs model_cfg with embed_dim, vision_cfg and text_cfg'):
        config_from_open_clip(content)  # type: ignore[arg-type]


@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
@torch.no_grad()
def test_folder__open_clip_loads_ours_and_we_load_it_back(tmp_path: Path, activation: str) -> None:
    ours = tiny_clip(vision=dict(activation=activation), text=dict(activation=activation)).eval()
    ours.preprocessing = PREPROCESSING._replace(mean=(0.5, 0.25, 0.125))
    ours.save_pretrained(tmp_path / 'ours')
    convert(tmp_path / 'ours', tmp_path / 'theirs', to='open-clip')
    theirs, _, transform = open_clip.create_model_and_transforms(f'local-dir:{tmp_path / "theirs"}')
    theirs.eval()
    pixels, ids = torch.randn(2, 3, 32, 32), torch.randint(0, 39, (2, 77))
    ids[0, 9:] = ids[1, 76] = 39
    torch.testing.assert_close(theirs.encode_image(pixels), ours.encode_image(pixels), rtol=0, atol=1e-5)
    torch.testing.assert_close(theirs.encode_text(ids), ours.encode_text(ids), rtol=0, atol=1e-5)
    assert theirs.logit_scale == ours.logit_scale
    assert list(transform.transforms[-1].mean) == [0.5, 0.25, 0.125]

    back = FGCLIP.from_pretrained(tmp_path / 'theirs')
    assert back.preprocessing == ours.preprocessing
    for name, value in ours.state_dict().items():
        if name.split('.')[0] == 'visual' or name == 'text.position_embedding':
            assert torch.equal(back.state_dict()[name], value)


@pytest.mark.parametrize(
    'name', ['visual.trunk.blocks.0.attn.qkv.weight', 'visual.layer1.0.conv1.weight', 'text.cls_emb']
)
def test_load__other_towers_are_named(tmp_path: Path, name: str) -> None:
    torch.save({name: torch.zeros(1), 'logit_scale': torch.zeros(())}, tmp_path / 'other.pt')
    with pytest.raises(UserError, match=f"{'.'.join(name.split('.')[:-1])[:9]}.*fgdet reads CLIP's own vision"):
        FGCLIP.from_pretrained(tmp_path / 'other.pt')
