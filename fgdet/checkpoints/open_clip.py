"""``open_clip_config.json``, which stands beside open_clip's weights: fields to ours and back."""

from collections.abc import Mapping
from typing import Any

from fgdet.checkpoints.clip_state import CONTEXT_LENGTH, LONG_CONTEXT_LENGTH
from fgdet.structures.preprocessing import INTERPOLATIONS, Preprocessing

OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS = 'open_clip_config.json', 'open_clip_model.safetensors'
_VISION_FIELDS = {'image_size', 'layers', 'width', 'head_width', 'mlp_ratio', 'patch_size'}
_TEXT_FIELDS = {'context_length', 'vocab_size', 'width', 'heads', 'layers', 'mlp_ratio'}


def config_from_open_clip(content: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :class:`fgdet.FGCLIP`; absent fields take open_clip's defaults.

    Raises:
        ValueError: it describes no CLIP with a vision transformer of its own; the field is named.
    """
    model = content.get('model_cfg') if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not {'embed_dim', 'vision_cfg', 'text_cfg'} <= model.keys():
        raise ValueError(f'{OPEN_CLIP_CONFIG}: it needs model_cfg with embed_dim, vision_cfg and text_cfg')
    vision, text = model['vision_cfg'], model['text_cfg']
    for name, fields, known in (
        ('model_cfg', model, {'embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu'}),
        ('vision_cfg', vision, _VISION_FIELDS),
        ('text_cfg', text, _TEXT_FIELDS),
    ):
        unknown = sorted(field for field in fields.keys() - known if fields[field])
        if unknown:
            raise ValueError(f"{OPEN_CLIP_CONFIG}: {name}.{unknown[0]} is not of CLIP's own transformers")
    if isinstance(vision.get('layers'), list):
        raise ValueError(
            f"{OPEN_CLIP_CONFIG}: vision_cfg.layers is a ResNet's, which is not of CLIP's own transformers"
        )
    activation = 'quick_gelu' if model.get('quick_gelu', False) else 'gelu'
    width, text_width = vision.get('width', 768), text.get('width', 512)
    vocab_size = text.get('vocab_size', 49408)
    return dict(
        vision=dict(
            image_size=vision.get('image_size', 224),
            patch_size=vision.get('patch_size', 16),
            width=width,
            num_layers=vision.get('layers', 12),
            num_heads=width // vision.get('head_width', 64),
            mlp_width=int(width * vision.get('mlp_ratio', 4.0)),
            output_dim=model['embed_dim'],
            activation=activation,
        ),
        text=dict(
            vocab_size=vocab_size,
            width=text_width,
            num_layers=text.get('layers', 12),
            num_heads=text.get('heads', 8),
            mlp_width=int(text_width * text.get('mlp_ratio', 4.0)),
            output_dim=model['embed_dim'],
            context_length=text.get('context_length', CONTEXT_LENGTH),
            long_context_length=LONG_CONTEXT_LENGTH,
            eos_token_id=vocab_size - 1,
            activation=activation,
        ),
    )


def preprocessing_from_open_clip(content: Mapping[str, Any]) -> dict[str, Any]:
    """``mean``, ``std`` and ``interpolation``, those that the file states."""
    fields = content.get('preprocess_cfg') or {}
    found = {name: tuple(fields[name]) for name in ('mean', 'std') if fields.get(name)}
    interpolation = fields.get('interpolation', 'bicubic')
    return {**found, 'interpolation': interpolation if interpolation in INTERPOLATIONS else 'bicubic'}


def config_to_open_clip(config: Mapping[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """What open_clip reads from a folder (``local-dir:``); the inverse of :func:`config_from_open_clip`.

    Raises:
        ValueError: the towers' activations differ, which open_clip cannot say.
    """
    vision, text = config['vision'], config['text']
    if vision['activation'] != text['activation']:
        raise ValueError(f'open_clip needs one activation, got {vision["activation"]} and {text["activation"]}')
    return dict(
        model_cfg=dict(
            embed_dim=vision['output_dim'],
            quick_gelu=vision['activation'] == 'quick_gelu',
            vision_cfg=dict(
                image_size=vision['image_size'],
                layers=vision['num_layers'],
                width=vision['width'],
                head_width=vision['width'] // vision['num_heads'],
                mlp_ratio=vision['mlp_width'] / vision['width'],
                patch_size=vision['patch_size'],
            ),
            text_cfg=dict(
                context_length=text['context_length'],
                vocab_size=text['vocab_size'],
                width=text['width'],
                heads=text['num_heads'],
                layers=text['num_layers'],
                mlp_ratio=text['mlp_width'] / text['width'],
            ),
        ),
        preprocess_cfg=dict(
            mean=list(preprocessing.mean),
            std=list(preprocessing.std),
            interpolation=preprocessing.interpolation,
            resize_mode='squash',
        ),
    )
