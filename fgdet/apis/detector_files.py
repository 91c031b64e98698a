"""A detector's config and checkpoint as a model: any of mmdet's."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from fgdet.checkpoints.loading import read_state_file
from fgdet.checkpoints.stored_config import read_stored_config
from fgdet.registry import MODELS
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.configs import read_config
from fgdet.utils.imports import import_quietly


class DetectorFiles(NamedTuple):
    """What a config and a checkpoint give."""

    model: nn.Module  # on the device, in eval mode, with its weights
    pipeline: list[dict[str, Any]]  # mmdet's test transforms without those that read a file
    config: Config
    class_names: tuple[str, ...] | None  # of the training data; None where neither of the files says


def load_detector(
    config: str | Path | Config | None, checkpoint: str | Path, device: str, kind: type, expected: str
) -> DetectorFiles:
    """Build a detector and load its weights.

    Args:
        config: a config file or config; None takes the one that training stored in the checkpoint.
        checkpoint: what training wrote, a ``.pth`` file.
        device: ``'auto'`` takes the GPU if there is one; else as for torch, such as ``'cpu'`` or ``'cuda:1'``.
        kind: the class that the model must be of.
        expected: how an error names it.

    Raises:
        UserError: a file is missing or damaged, the config describes no detector, or weights and config do not fit.
    """
    torch_device = choose_device(device)
    content = read_state_file(existing_file(checkpoint, 'checkpoint'))
    cfg = _read_config(config, content, Path(checkpoint))
    import_quietly('mmdet.datasets', 'mmdet.datasets.transforms', 'mmdet.models')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    if 'model' not in cfg:
        raise UserError('detector config: it has no model')
    try:
        model = MODELS.build(_with_lazy_text_tower(cfg.model))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f'detector config: its model cannot be built ({one_line(error)})') from error
    if not issubclass(type(model), kind):
        raise UserError(f'detector config: its model is a {type(model).__name__}, {expected}')
    try:
        model.load_state_dict(content.get('state_dict', content))
    except RuntimeError as error:
        lines = [line.strip()[:200] for line in str(error).splitlines()[1:3]]
        raise UserError(f'checkpoint {checkpoint}: its weights do not fit the config ({" ".join(lines)})') from error
    return DetectorFiles(model.to(torch_device).eval(), _pipeline(cfg), cfg, _class_names(cfg, content))


def choose_device(name: str) -> torch.device:
    """The device of that name, after a try.

    Args:
        name: ``'auto'`` takes the GPU if there is one; else as for torch.

    Raises:
        UserError: there is no such device, or torch cannot compute on it.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device {name!r}: torch knows no such device; give 'auto', 'cpu' or 'cuda'") from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch sees no GPU here; give 'auto' or 'cpu'")
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r}: torch cannot compute on it here ({reason}); give 'auto' or 'cpu'") from error
    return device


def one_line(error: Exception) -> str:
    """An error's words without line breaks."""
    return ' '.join(str(error.args[0] if error.args else error).split())


def _read_config(config: str | Path | Config | None, content: dict[str, Any], checkpoint: Path) -> Config:
    if isinstance(config, Config):
        return config
    if config is not None:
        return read_config(config)
    text = content.get('meta', {}).get('cfg') if isinstance(content.get('meta'), dict) else None
    if not text:
        raise UserError(f'checkpoint {checkpoint}: it holds no config; give the one that it was trained with')
    try:
        return Config(read_stored_config(text))
    except ValueError as error:
        raise UserError(f'checkpoint {checkpoint}: {error}; give the config that it was trained with') from error


def _with_lazy_text_tower(model: dict[str, Any]) -> dict[str, Any]:
    """The config of a model whose text tower waits aside until a name is missing among the embeddings on disk."""
    embeddings = model.get('class_embeddings') or {}
    if str(embeddings.get('type')).split('.')[-1] != 'ClassEmbeddings':
        return model
    return dict(model, class_embeddings=dict(embeddings, lazy=True))


def _pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The steps of the config's test pipeline that follow the reading of files."""
    steps = (((cfg.get('test_dataloader') or {}).get('dataset')) or {}).get('pipeline')
    if not steps:
        raise UserError(
            'detector config: it has no test_dataloader.dataset.pipeline, which says how images are resized'
        )
    return [step for step in steps if not step['type'].split('.')[-1].startswith('Load')]


def _class_names(cfg: Config, content: dict[str, Any]) -> tuple[str, ...] | None:
    meta: Any = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    stored = meta.get('dataset_meta') or {}
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    names = stored.get('classes') or stored.get('CLASSES') or meta.get('CLASSES')  # the last is mmdet 2's
    names = names or (dataset.get('metainfo') or {}).get('classes')
    return None if not names else tuple(names)
