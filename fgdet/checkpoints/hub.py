"""Weights from the Hugging Face hub: safetensors and JSON only, by exact names, never code."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from fgdet.checkpoints.hf_fg_clip import CONFIG_FILE, WEIGHTS_FILE
from fgdet.checkpoints.open_clip import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS
from fgdet.checkpoints.preprocessor_config import PREPROCESSOR_FILE
from fgdet.checkpoints.state_files import read_index
from fgdet.utils.checks import UserError

_INDEX = f'{WEIGHTS_FILE}.index.json'
_FILES = [
    CONFIG_FILE,
    WEIGHTS_FILE,
    _INDEX,
    OPEN_CLIP_CONFIG,
    PREPROCESSOR_FILE,
    'vocab.json',
    'merges.txt',
    'tokenizer_config.json',
]


def download(repository: str) -> Path:
    """Fetch a repository's weights, config and tokenizer files into huggingface_hub's cache.

    Args:
        repository: ``owner/name``.

    Returns:
        the folder in the cache.

    Raises:
        UserError: the hub cannot be reached, has no such repository, or the repository has no safetensors weights.
    """
    folder = _fetch(repository, _FILES)
    if (folder / WEIGHTS_FILE).is_file():
        return folder
    if (folder / _INDEX).is_file():
        parts = set(read_index(folder / _INDEX).values())
        return _fetch(repository, [*_FILES, *(part for part in sorted(parts) if part.endswith('.safetensors'))])
    folder = _fetch(repository, [*_FILES, OPEN_CLIP_WEIGHTS])
    if not (folder / OPEN_CLIP_WEIGHTS).is_file():
        raise UserError(
            f'checkpoint {repository}: the repository holds no {WEIGHTS_FILE}, and from the hub fgdet takes '
            'safetensors only; download the folder and give its path'
        )
    return folder


def _fetch(repository: str, names: list[str]) -> Path:
    try:
        return Path(snapshot_download(repository, allow_patterns=names))
    except Exception as error:  # huggingface_hub raises its own, the HTTP library's and the system's errors
        raise UserError(
            f'checkpoint {repository}: it is no file or folder here, and the Hugging Face hub did not give it '
            f'({_reason(error)}); check the name and the network, or download the folder and give its path'
        ) from error


def _reason(error: BaseException) -> str:
    """Why, in words where it is one of the usual cases."""
    if isinstance(error, GatedRepoError):
        return 'its owners want to be asked: accept their terms there and log in with: hf auth login'
    if isinstance(error, RepositoryNotFoundError):
        return 'it has none of that name, or a private one: log in with: hf auth login'
    if isinstance(error, HFValidationError):
        return 'that can be no name of a repository'
    if isinstance(error.__cause__, OfflineModeIsEnabled):
        return 'offline mode is on, HF_HUB_OFFLINE, and the cache does not hold it'
    if isinstance(error, LocalEntryNotFoundError):
        return f'it cannot be reached: {type(error.__cause__ or error).__name__}'
    return type(error).__name__
