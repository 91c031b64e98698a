"""Embeddings in ``.safetensors`` files: tables of rows with names, read by anything that reads safetensors.

A table ``image`` of N rows is the tensor ``image`` (N, D) float32, the tensor ``image.names`` (the bytes of a JSON list
of N strings, UTF-8) and further tensors such as ``text.images`` of N rows. How they were made is in the metadata.

Axes: N rows, D embedding.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.files import whole_file

ENDING = '.safetensors'
FORMAT = 'fgdet embeddings 1'
_DTYPES = {'float32': 'F32', 'int64': 'I64', 'uint8': 'U8'}


class EmbeddingTable(NamedTuple):
    """Named rows."""

    features: np.ndarray  # (N, D) float32
    names: Sequence[str]  # N paths or texts
    columns: Mapping[str, np.ndarray]  # further arrays of N rows, float32 or int64


@dataclass
class Embeddings:
    """Content of a file.

    Args:
        tables: ``image``, ``text``, ``region`` or others.
        settings: how they were made, such as ``checkpoint``, ``fingerprint``, ``image_size``, ``text.tokens``.
    """

    tables: dict[str, EmbeddingTable]
    settings: dict[str, str] = field(default_factory=dict)


def write_embeddings(path: str | Path, embeddings: Embeddings) -> None:
    """Write a file in one step, tensor by tensor: it takes no further memory.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {}
    for table, (features, names, columns) in embeddings.tables.items():
        arrays[table] = np.ascontiguousarray(features, dtype=np.float32)
        arrays |= {f'{table}.{column}': np.ascontiguousarray(values) for column, values in columns.items()}
        text = json.dumps(list(names), ensure_ascii=False).encode('utf-8', 'surrogateescape')
        arrays[f'{table}.names'] = np.frombuffer(text, np.uint8)
    ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # each aligned to its own type
    header: dict[str, Any] = {'__metadata__': {'format': FORMAT, **embeddings.settings}}
    begin = 0
    for name, values in ordered.items():
        offsets = [begin, begin + values.nbytes]
        header[name] = {'dtype': _DTYPES[values.dtype.name], 'shape': list(values.shape), 'data_offsets': offsets}
        begin += values.nbytes
    encoded = json.dumps(header).encode()
    encoded += b' ' * (-len(encoded) % 8)
    with whole_file(path) as file:
        file.write(len(encoded).to_bytes(8, 'little') + encoded)
        for values in ordered.values():
            file.write(values.reshape(-1).view(np.uint8).data)


def read_embeddings(path: str | Path) -> Embeddings:
    """Read a file of :func:`write_embeddings`.

    Raises:
        UserError: no such file, no safetensors file, or not of this form.
    """
    path = existing_file(path, 'embedding file')
    where = f'embedding file {path}'
    try:
        with safe_open(path, 'np') as file:
            settings = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UserError(f'{where}: not a safetensors file of embeddings ({error})') from error
    if settings.pop('format', None) != FORMAT:
        raise UserError(f'{where}: not written by fgdet embed or --save-pred (its metadata has no format {FORMAT!r})')
    return Embeddings(
        {name: _read_table(name, arrays, where) for name in arrays if '.' not in name},
        settings,
    )


def _read_table(name: str, arrays: Mapping[str, np.ndarray], where: str) -> EmbeddingTable:
    features = arrays[name]
    columns = {key.partition('.')[2]: values for key, values in arrays.items() if key.startswith(f'{name}.')}
    try:
        names = json.loads(columns.pop('names').tobytes())
    except (KeyError, ValueError) as error:
        raise UserError(f'{where}: the table {name} has no names') from error
    lengths = [len(features), len(names), *map(len, columns.values())]
    if features.ndim != 2 or len(set(lengths)) > 1:
        raise UserError(f'{where}: the table {name} has {features.shape} features, {len(names)} names and columns of '
                        f'{lengths[2:]} rows')  # fmt: skip
    return EmbeddingTable(features, names, columns)
