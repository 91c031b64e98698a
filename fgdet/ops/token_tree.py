"""Texts as a tree of their prefixes, so that causal attention computes every shared prefix once.

Under causal attention a token's state depends on the tokens before it alone: texts with equal beginnings have equal
states there. A phrase and ten variants that differ in one word share all that stands before the word, identical texts
share everything, and padding is no node at all. Nothing is approximated.

Axes: T texts, L tokens of the longest, U distinct texts, N nodes, R rows of n nodes.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# The attention of a row is a square of its nodes: with more than these, a shared prefix costs more than it saves.
_MOST_NODES = 160


class TokenTree(NamedTuple):
    """Nodes in depth-first order: the descendants of a node directly follow it, and so do the nodes of a row.

    A row is a tree of its own: no attention leaves it.
    """

    tokens: Tensor  # (N,) int64
    positions: Tensor  # (N,) int64, rows of the position table
    ends: Tensor  # (N,) int64, the first node after a node and its descendants
    text_nodes: Tensor  # (T,) int64, the node at which each text ends
    row_starts: list[int]  # R + 1, the first node of each row, and N
    pairs: Tensor  # (P, 2) int64, the distinct pairs of token and position: all that a first layer sees of a node
    node_pairs: Tensor  # (N,) int64, the pair of each node


def build_token_tree(groups: Sequence[tuple[Tensor, int]], end_id: int, width: int = 512) -> TokenTree:
    """Join texts into trees.

    Args:
        groups: pairs of token ids (T_i, L_i), int64, and the row of the position table at which their texts start. A
            text reaches to its first ``end_id``; one without it has its first token alone. Only texts of equal starts
            share nodes.
        end_id: the end-of-text token.
        width: channels of a token, which decide how much longer a row may grow for the sake of a shared prefix.

    Returns:
        The tree, on the CPU; ``text_nodes`` has the texts of all groups in order.
    """
    keys = [key for token_ids, start in groups for key in _keys(token_ids.cpu().numpy(), start, end_id)]
    distinct = sorted(set(keys))  # bytes of big-endian numbers sort as the numbers do
    number = {key: i for i, key in enumerate(distinct)}
    lengths = np.array([len(key) // 4 - 1 for key in distinct], dtype=np.int64)  # (U,)
    table = np.zeros((len(distinct), 1 + lengths.max(initial=0)), dtype=np.int64)  # (U, 1 + L): start, tokens
    table[np.arange(table.shape[1]) <= lengths[:, None]] = np.frombuffer(b''.join(distinct), dtype='>u4')

    shared, first_texts = _cut_rows(_common_prefixes(table, lengths), lengths, width)
    starts = np.concatenate([[0], np.cumsum(lengths - shared)])  # (U + 1,) first node that is a text's own
    text = np.repeat(np.arange(len(distinct)), lengths - shared)  # (N,) whose node it is
    depth = np.arange(len(text)) - starts[text] + shared[text]
    branch = np.append(_next_branch(shared, table.shape[1]), np.full((1, table.shape[1]), len(distinct)), axis=0)
    last = starts[1:] - 1  # (U,)
    tokens, positions = table[text, 1 + depth], table[text, 0] + depth
    _, first, node_pairs = np.unique(positions << 32 | tokens, return_index=True, return_inverse=True)
    return TokenTree(
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(positions),
        ends=torch.from_numpy(starts[branch[text + 1, depth]]),
        text_nodes=torch.from_numpy(last[[number[key] for key in keys]] if keys else last),
        row_starts=[*starts[first_texts].tolist(), len(text)],
        pairs=torch.from_numpy(np.stack([tokens[first], positions[first]], axis=1)),
        node_pairs=torch.from_numpy(node_pairs),
    )


def text_labels(token_ids: Tensor, end_id: int) -> Tensor:
    """A number for the content of each text, on the CPU: (T, L) -> (T,) int64.

    Texts of equal tokens up to the first ``end_id`` have equal labels, in every process; others do not, but for a
    chance of about n^2 / 2^65 among n texts (64 bits of BLAKE2).
    """
    keys = _keys(token_ids.cpu().numpy(), 0, end_id)
    digests = b''.join(blake2b(key, digest_size=8).digest() for key in keys)
    return torch.from_numpy(np.frombuffer(digests, dtype=np.int64).copy())


def _keys(token_ids: np.ndarray, start: int, end_id: int) -> list[bytes]:
    """Each text as bytes that sort by its start and its tokens up to the end mark."""
    is_end = token_ids == end_id
    lengths = np.where(is_end.any(axis=1), is_end.argmax(axis=1), 0) + 1
    packed = np.empty((len(token_ids), 1 + token_ids.shape[1]), dtype='>u4')
    packed[:, 0], packed[:, 1:] = start, token_ids
    data, stride = packed.tobytes(), 4 * packed.shape[1]
    return [data[i * stride : i * stride + 4 * (1 + n)] for i, n in enumerate(lengths.tolist())]


def _common_prefixes(table: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Tokens that each sorted text shares with the one before it, (U,)."""
    differs = table[1:] != table[:-1]
    common = np.where(differs.any(axis=1), differs.argmax(axis=1), table.shape[1]) - 1
    common = np.minimum(common, np.minimum(lengths[1:], lengths[:-1]))
    return np.concatenate([[0], np.maximum(common, 0)])[: len(lengths)]


def _cut_rows(common: np.ndarray, lengths: np.ndarray, width: int) -> tuple[np.ndarray, list[int]]:
    """Begin a new row where sharing does not pay; gives what is still shared (U,), and the first text of each row.

    A shared node saves 24 width^2 operations in a block; m nodes that join a row of n cost 8 n m width in attention.
    """
    shared, first_texts, size = common.copy(), [], 0
    for i, (prefix, length) in enumerate(zip(common.tolist(), lengths.tolist(), strict=True)):
        new = length - prefix
        if not i or size + new > _MOST_NODES or 3 * width * prefix < size * new or prefix < 2:
            first_texts.append(i)
            shared[i], size = 0, length
        else:
            size += new
    return shared, first_texts


def _next_branch(shared: np.ndarray, depths: int) -> np.ndarray:
    """For each text and depth, the first text from it on that shares no more than ``depth`` tokens, (U, depths)."""
    texts = np.arange(len(shared))[:, None]
    candidates = np.where(shared[:, None] <= np.arange(depths), texts, len(shared))
    return np.minimum.accumulate(candidates[::-1], axis=0)[::-1]
