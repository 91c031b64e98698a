"""FG-CLIP's text tower: one transformer, a short and a long table of positions, two projections.

Axes: T texts, L tokens, D width, d output_dim.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fgdet.models.layers.transformer_block import LAYER_NORM_EPS, TransformerBlock, init_block_
from fgdet.ops.token_tree import build_token_tree
from fgdet.ops.tree_attention import TreeAttention
from fgdet.registry import MODELS
from fgdet.utils.resampling import stretch_positions

#: Positions of the long table that are kept from CLIP's, and how much denser the others stand (Long-CLIP, arXiv
#: 2403.15378, 3.1).
KEPT_POSITIONS, STRETCH = 20, 4


@MODELS.register_module()
class TextTransformer(nn.Module):
    """Causal text transformer of CLIP (arXiv 2103.00020) with FG-CLIP's long mode (arXiv 2505.05071, 3.1).

    A text is pooled at its first end-of-text token (at its first token where it has none). Attention is causal, so what
    follows that token cannot matter and is cut off before the blocks: exact, and as much faster as the texts are short.

    Args:
        vocab_size: rows of the token table.
        width: channels D of a token.
        num_layers: transformer blocks.
        num_heads: attention heads.
        mlp_width: hidden channels of a block's perceptron.
        output_dim: channels d of the space shared with the image tower.
        context_length: most tokens of a short text.
        long_context_length: most tokens of a long text.
        eos_token_id: id of the end-of-text token. It has no silent fallback: a wrong one pools the wrong token.
        gradient_checkpointing: keep only the blocks' inputs for the backward pass and compute the rest again.
        activation: ``quick_gelu`` as OpenAI's CLIP and FG-CLIP, or ``gelu`` as most of open_clip's own weights.

    Raises:
        ValueError: ``eos_token_id`` is outside the vocabulary.
    """

    def __init__(
        self,
        vocab_size: int = 49408,
        width: int = 512,
        num_layers: int = 12,
        num_heads: int = 8,
        mlp_width: int = 2048,
        output_dim: int = 512,
        context_length: int = 77,
        long_context_length: int = 248,
        eos_token_id: int = 49407,
        gradient_checkpointing: bool = False,
        activation: str = 'quick_gelu',
    ) -> None:
        super().__init__()
        if not 0 <= eos_token_id < vocab_size:
            raise ValueError(f'eos_token_id must lie in the vocabulary of {vocab_size} tokens, got {eos_token_id}')
        self.vocab_size = vocab_size
        self.width = width
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.mlp_width = mlp_width
        self.output_dim = output_dim
        self.context_length = context_length
        self.long_context_length = long_context_length
        self.eos_token_id = eos_token_id
        self.gradient_checkpointing = gradient_checkpointing
        self.activation = activation

        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Parameter(torch.empty(context_length, width))
        # The long table is the first rows of `ori` and the later rows of `res`; the rest of both is dead weight that
        # the published checkpoints carry and that we keep, so that a checkpoint survives a round trip byte for byte.
        self.position_embedding_ori = nn.Parameter(torch.empty(long_context_length, width))
        self.position_embedding_res = nn.Parameter(torch.empty(long_context_length, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, num_heads, mlp_width, activation) for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.projection = nn.Linear(width, output_dim, bias=False)
        self.long_projection = nn.Linear(width, output_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, with CLIP's standard deviations; the long tables start as the stretched short one.

        Where the short one is too short for that, they are drawn too.
        """
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.01)
        with torch.no_grad():
            if self.context_length - KEPT_POSITIONS >= (self.long_context_length - KEPT_POSITIONS) / STRETCH:
                stretched = stretch_positions(
                    self.position_embedding, self.long_context_length, KEPT_POSITIONS, STRETCH
                )
                self.position_embedding_ori.copy_(stretched)
                self.position_embedding_res.copy_(stretched)
            else:
                nn.init.normal_(self.position_embedding_ori, std=0.01)
                self.position_embedding_res.copy_(self.position_embedding_ori)
            nn.init.normal_(self.projection.weight, std=self.width**-0.5)
            self.long_projection.weight.copy_(self.projection.weight)
        for block in self.blocks:
            init_block_(block, self.num_layers)  # type: ignore[arg-type]

    def forward(self, token_ids: Tensor, long: bool = False) -> Tensor:
        """Text features.

        Args:
            token_ids: (T, L) int64 in [0, vocab_size), L at most ``context_length``, or ``long_context_length`` in the
                long mode. T may be 0.
            long: use the long table of positions and its projection.

        Returns:
            (T, d), not normalised.

        Raises:
            ValueError: L is 0 or more than the mode holds.
        """
        self._check(token_ids, long)
        if not len(token_ids):
            return self.projection.weight.new_zeros(0, self.output_dim)
        end = self.pooled_position(token_ids)
        hidden = self.encode_tokens(token_ids[:, : int(end.max()) + 1], long)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), end]  # (T, D)
        return (self.long_projection if long else self.projection)(pooled)

    def encode_groups(self, groups: Sequence[tuple[Tensor, bool]]) -> list[Tensor]:
        """Features of several sets of texts in one pass, each prefix that texts share computed once.

        Exact: equal to :meth:`forward` on each set, up to the rounding of sums.

        Args:
            groups: pairs of token ids and mode, as the arguments of :meth:`forward`; the ids may be on the CPU, which
                saves waiting for another device.

        Returns:
            (T_i, d) for each group, not normalised.

        Raises:
            ValueError: as :meth:`forward`.
        """
        for token_ids, long in groups:
            self._check(token_ids, long)
        device = self.projection.weight.device
        starts = [self.context_length if long else 0 for _, long in groups]
        tree = build_token_tree(
            [(token_ids, start) for (token_ids, _), start in zip(groups, starts, strict=True)],
            self.eos_token_id,
            self.width,
        )
        attention = TreeAttention(tree, self.num_heads, device)
        tokens, positions = tree.pairs.to(device).unbind(1)
        table = torch.cat([self.position_embedding, self.positions(self.long_context_length, long=True)])
        hidden = self.token_embedding(tokens) + F.embedding(positions, table)  # (P, D)
        rows: Tensor | None = tree.node_pairs.to(device)
        for block in self.blocks[:-1]:
            hidden = self._run(block.forward_nodes, hidden, attention.attend, rows)
            rows = None
        if rows is not None:
            hidden = F.embedding(rows, hidden)
        last = self.blocks[-1].forward_kept
        pooled = self.final_norm(self._run(last, hidden, attention.attend_ends, attention.ends))  # (U, D)
        ends = torch.searchsorted(attention.ends, tree.text_nodes.to(device)).split([len(ids) for ids, _ in groups])
        return [
            (self.long_projection if long else self.projection)(F.embedding(end, pooled))
            for end, (_, long) in zip(ends, groups, strict=True)
        ]

    def encode_tokens(self, token_ids: Tensor, long: bool = False) -> Tensor:
        """Hidden states after the final norm, (T, L) -> (T, L, D)."""
        self._check(token_ids, long)
        hidden = self.token_embedding(token_ids) + self.positions(token_ids.shape[1], long)
        for block in self.blocks:
            hidden = self._run(block, hidden, True)
        return self.final_norm(hidden)

    def positions(self, length: int, long: bool = False) -> Tensor:
        """The first ``length`` rows of the position table in use, (length, D)."""
        if not long:
            return self.position_embedding[:length]
        return torch.cat([self.position_embedding_ori[:KEPT_POSITIONS], self.position_embedding_res[KEPT_POSITIONS:]])[
            :length
        ]

    def pooled_position(self, token_ids: Tensor) -> Tensor:
        """Index of each text's first end-of-text token, 0 where there is none, (T, L) -> (T,) int64."""
        return (token_ids == self.eos_token_id).int().argmax(dim=1)

    def _run(self, function: Any, *inputs: Any) -> Tensor:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)

    def _check(self, token_ids: Tensor, long: bool) -> None:
        limit = self.long_context_length if long else self.context_length
        if token_ids.ndim != 2 or not 0 < token_ids.shape[1] <= limit:
            mode = 'long' if long else 'short'
            shape = tuple(token_ids.shape)
            raise ValueError(f'token_ids must be (T, L) with 1 <= L <= {limit} in the {mode} mode, got shape {shape}')
