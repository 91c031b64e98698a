"""fgdet's own ``.pth``: what mmengine writes while an FG-CLIP is pretrained; the model stands under ``clip.``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from fgdet.checkpoints.lora_state import merge_lora_state
from fgdet.checkpoints.stored_config import read_stored_config
from fgdet.structures.preprocessing import Preprocessing

_PREFIX = 'clip.'


class OwnCheckpoint(NamedTuple):
    """Arguments of :class:`fgdet.FGCLIP`, its state, and what its config says of the images."""

    config: dict[str, Any]
    state: dict[str, Tensor]
    preprocessing: dict[str, Any]


def is_own(content: Mapping[str, Any]) -> bool:
    """Whether mmengine wrote it."""
    return 'meta' in content and 'state_dict' in content


def read_own(content: Mapping[str, Any]) -> OwnCheckpoint:
    """The model of a pretraining checkpoint; low-rank adapters are added to their weights.

    Raises:
        ValueError: another kind of run wrote it, or its config describes no FG-CLIP.
    """
    state = content['state_dict']
    state = {name[len(_PREFIX) :]: value for name, value in state.items() if name.startswith(_PREFIX)}
    if not state or 'cfg' not in content['meta']:
        raise ValueError('it was not written by fgdet pretraining (no clip.* weights or no config)')
    try:
        model = read_stored_config(content['meta']['cfg'])['model']
        clip = model['clip']
        images = model.get('data_preprocessor') or {}
        # A config leaves out what is the default.
        config = {tower: dict(activation='quick_gelu') | clip[tower] for tower in ('vision', 'text')}
        preprocessing = {name: images[name] for name in ('mean', 'std') if images.get(name)}
        preprocessing |= clip.get('preprocessing') or {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'its config describes no FG-CLIP ({error})') from error
    if clip.get('pooler'):
        config['pooler'] = dict(clip['pooler'])
    return OwnCheckpoint(config, merge_lora_state(state), preprocessing)


def to_own(state: Mapping[str, Tensor], config: Mapping[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """What :func:`read_own` reads and ``load_from`` of a pretraining config takes, for ``torch.save``."""
    images = {name: getattr(preprocessing, name) for name in ('image_size', 'interpolation')}
    clip = dict(type='fgdet.FGCLIP', **config, preprocessing=images)
    processor = dict(type='fgdet.RegionTextDataPreprocessor', mean=preprocessing.mean, std=preprocessing.std)
    model = dict(type='fgdet.FGCLIPPretrainer', clip=clip, data_preprocessor=processor)
    return dict(
        meta=dict(cfg=f'model = {model!r}\n'), state_dict={f'{_PREFIX}{name}': value for name, value in state.items()}
    )
