"""Attention in token trees against a softmax over each node's ancestors, written out."""

import math

import pytest
import torch

from fgdet.ops.token_tree import TokenTree, build_token_tree
from fgdet.ops.tree_attention import TreeAttention
from tests.ops.test_token_tree import END, ancestors, texts_with_variants

HEADS, WIDTH = 2, 6


def written_out(tree: TokenTree, qkv: torch.Tensor) -> torch.Tensor:
    q, k, v = qkv.unflatten(1, (3, HEADS, -1)).unbind(1)  # (N, H, D/H)
    rows = []
    for node in range(len(qkv)):
        seen = ancestors(tree, node)
        weights = torch.einsum('hd,nhd->hn', q[node], k[seen]) / math.sqrt(WIDTH / HEADS)
        rows.append(torch.einsum('hn,nhd->hd', weights.softmax(1), v[seen]).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize('seed', range(3))
def test_attention__equals_the_written_out_one_with_its_gradient(seed: int) -> None:
    tree = build_token_tree([(texts_with_variants(seed), 0)], END, width=64)
    attention = TreeAttention(tree, HEADS)
    torch.manual_seed(seed)
    qkv = torch.randn(len(tree.tokens), 3 * WIDTH, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(len(qkv), WIDTH, dtype=torch.float64)
    expected = written_out(tree, qkv)
    (gradient,) = torch.autograd.grad((expected * weight).sum(), qkv)
    found = attention.attend(qkv)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad((found * weight).sum(), qkv)[0], gradient, rtol=0, atol=1e-12)

    ends = attention.ends
    assert ends.tolist() == sorted(set(tree.text_nodes.tolist()))
    (gradient,) = torch.autograd.grad((written_out(tree, qkv)[ends] * weight[ends]).sum(), qkv)
    found = attention.attend_ends(qkv[ends, :WIDTH], qkv[:, WIDTH:])
    torch.testing.assert_close(found, expected[ends], rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad((found * weight[ends]).sum(), qkv)[0], gradient, rtol=0, atol=1e-12)


def test_attention__no_text() -> None:
    attention = TreeAttention(build_token_tree([(torch.zeros(0, 3, dtype=torch.int64), 0)], END), HEADS)
    qkv = torch.zeros(0, 3 * WIDTH, requires_grad=True)
    attention.attend(qkv).sum().backward()
    assert qkv.grad is not None
    assert attention.attend_ends(qkv[:, :WIDTH], qkv[:, WIDTH:]).shape == (0, WIDTH)
