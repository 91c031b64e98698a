"""Weights written out, in the layouts of others and our own; each file whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from fgdet.checkpoints.clip_state import plain_clip_state
from fgdet.checkpoints.hf_fg_clip import CONFIG_FILE, WEIGHTS_FILE, config_to_hf, state_to_hf
from fgdet.checkpoints.open_clip import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, config_to_open_clip
from fgdet.checkpoints.openai_clip import state_to_openai
from fgdet.checkpoints.preprocessor_config import PREPROCESSOR_FILE, preprocessing_to_hf
from fgdet.structures.preprocessing import Preprocessing
from fgdet.utils.files import write_json


def write_hf_folder(
    folder: Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    preprocessing: Preprocessing,
    plain: bool = False,
) -> None:
    """The Hugging Face layout of FG-CLIP, or with ``plain`` of the CLIP in it; dtypes stay as they are.

    Args:
        folder: made where it is missing.
        state: in our names.
        config: arguments of :class:`fgdet.FGCLIP`, every size written out.
        preprocessing: of the images.
        plain: leave out what plain CLIP has not.

    Raises:
        OSError: the folder cannot be written.
    """
    theirs = state_to_hf(plain_clip_state(state) if plain else state)
    dtype = str(state['visual.projection.weight'].dtype).removeprefix('torch.')
    write_tensors(folder / WEIGHTS_FILE, theirs)
    write_json(folder / CONFIG_FILE, config_to_hf(config, dtype, plain), indent=2)
    write_json(folder / PREPROCESSOR_FILE, preprocessing_to_hf(preprocessing), indent=2)


def write_open_clip_folder(
    folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any], preprocessing: Preprocessing
) -> None:
    """What ``open_clip.create_model('local-dir:<folder>')`` reads, the plain CLIP of ``state``.

    Raises:
        ValueError: open_clip has no word for this model.
        OSError: the folder cannot be written.
    """
    content = config_to_open_clip(config, preprocessing)
    write_tensors(folder / OPEN_CLIP_WEIGHTS, state_to_openai(plain_clip_state(state)))
    write_json(folder / OPEN_CLIP_CONFIG, content, indent=2)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors by name into one file: safetensors, or for any other suffix what ``torch.load`` reads.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    content = {name: value.contiguous() for name, value in tensors.items()}
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # safetensors makes files that only their owner can read
        if path.suffix == '.safetensors':
            save_file(content, temporary, metadata={'format': 'pt'})
        else:
            torch.save(content, temporary)
        temporary.chmod(mode)
        os.replace(temporary, path)
    except (SafetensorError, RuntimeError) as error:  # what both libraries make of a full disk
        raise OSError(f'{path}: it cannot be written ({error})') from error
    finally:
        temporary.unlink(missing_ok=True)
