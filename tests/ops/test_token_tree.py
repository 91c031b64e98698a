"""Token trees against a trie of dictionaries and against prefixes compared one by one."""

import random

import pytest
import torch

from fgdet.ops.token_tree import TokenTree, build_token_tree, text_labels

END = 99


def texts_with_variants(seed: int, length: int = 24) -> torch.Tensor:
    """Phrases and copies of them with a word changed, a copy as it is, rows without an end mark, words after it."""
    generator = random.Random(seed)
    rows = []
    for _ in range(6):
        words = [generator.randrange(10) for _ in range(generator.randrange(1, length - 2))]
        rows.append(words)
        for _ in range(generator.randrange(5)):
            changed = list(words)
            changed[generator.randrange(len(words))] = generator.randrange(10)
            rows.append(changed)
    rows += [rows[0], []]
    full = [[98, *words, END] for words in rows]
    full += [[98, 3, END, 4, 5], [7, 8, 9], [END, 1]]
    generator.shuffle(full)
    after = generator.choice([END, 0])  # padding with the end mark, or with anything
    return torch.tensor([row + [after] * (length - len(row)) for row in full])


def ancestors(tree: TokenTree, node: int) -> list[int]:
    return [other for other in range(node + 1) if node < int(tree.ends[other])]


def trimmed(row: list[int]) -> list[int]:
    return row[: row.index(END) + 1] if END in row else row[:1]


@pytest.mark.parametrize('seed', range(5))
def test_tree__the_way_to_each_end_spells_its_text(seed: int) -> None:
    short, long = texts_with_variants(seed), texts_with_variants(seed + 100, 40)
    tree = build_token_tree([(short, 0), (long, 50)], END, width=64)
    expected = [(trimmed(row), 0) for row in short.tolist()] + [(trimmed(row), 50) for row in long.tolist()]
    for node, (words, start) in zip(tree.text_nodes.tolist(), expected, strict=True):
        path = ancestors(tree, node)
        assert tree.tokens[path].tolist() == words
        assert tree.positions[path].tolist() == list(range(start, start + len(words)))
        row = max(i for i, first in enumerate(tree.row_starts) if first <= node)
        assert all(tree.row_starts[row] <= n < tree.row_starts[row + 1] for n in path)
    pairs = tree.pairs[tree.node_pairs]
    assert torch.equal(pairs, torch.stack([tree.tokens, tree.positions], dim=1))
    assert len({tuple(pair) for pair in tree.pairs.tolist()}) == len(tree.pairs)


@pytest.mark.parametrize('seed', range(3))
def test_tree__a_row_holds_each_prefix_once(seed: int) -> None:
    tree = build_token_tree([(texts_with_variants(seed), 0)], END, width=10_000)  # so wide that sharing always pays
    for first, last in zip(tree.row_starts, tree.row_starts[1:], strict=False):
        prefixes = [tuple(tree.tokens[ancestors(tree, node)].tolist()) for node in range(first, last)]
        assert len(set(prefixes)) == len(prefixes)


def test_tree__hand_worked() -> None:
    ids = torch.tensor([[1, 2, 3, END], [1, 2, 4, END], [1, 2, 3, END], [5, END, 6, 6]])
    tree = build_token_tree([(ids, 0)], END, width=64)
    assert tree.tokens.tolist() == [1, 2, 3, END, 4, END, 5, END]
    assert tree.positions.tolist() == [0, 1, 2, 3, 2, 3, 0, 1]
    assert tree.ends.tolist() == [6, 6, 4, 4, 6, 6, 8, 8]
    assert tree.text_nodes.tolist() == [3, 5, 3, 7]
    assert tree.row_starts == [0, 6, 8]


def test_tree__equal_texts_of_other_tables_stay_apart() -> None:
    ids = torch.tensor([[1, 2, END]])
    tree = build_token_tree([(ids, 0), (ids, 77)], END)
    assert tree.positions.tolist() == [0, 1, 2, 77, 78, 79]
    assert tree.row_starts == [0, 3, 6]


def test_tree__rows_stay_short_where_sharing_does_not_pay() -> None:
    ids = torch.tensor([[1, 2, *[10 + i] * 40, END] for i in range(8)])
    assert len(build_token_tree([(ids, 0)], END, width=16).row_starts) - 1 == 8
    assert build_token_tree([(ids, 0)], END, width=4096).row_starts[1] > 43


def test_tree__no_text() -> None:
    tree = build_token_tree([(torch.zeros(0, 5, dtype=torch.int64), 0)], END)
    assert len(tree.tokens) == len(tree.text_nodes) == len(tree.pairs) == 0


def test_text_labels__equal_where_the_texts_are() -> None:
    ids = torch.tensor(
        [[1, 2, END, 0], [1, 2, END, END], [1, 3, END, END], [4, 5, 6, 7], [4, 9, 9, 9], [1, END, 2, END]]
    )
    labels = text_labels(ids, END).tolist()
    assert labels[0] == labels[1]
    assert labels[3] == labels[4]  # without an end mark a text is its first token
    assert len(set(labels)) == 4
    ended = ids[[0, 1, 2, 5]]
    wider = torch.cat([ended, torch.full((4, 3), END)], dim=1)
    assert text_labels(wider, END).tolist() == text_labels(ended, END).tolist() == [labels[i] for i in (0, 1, 2, 5)]
    assert text_labels(ids[:1], END).item() == labels[0]
    assert text_labels(ids[:0], END).tolist() == []
