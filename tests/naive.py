"""The towers written out: loops over heads and tokens, no fused kernel, for float64 models.

They read the weights of our modules and share none of their code.
"""

import torch
from torch import Tensor

from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.models.encoders.vision_transformer import VisionTransformer
from fgdet.models.layers.attention import SelfAttention
from fgdet.models.layers.transformer_block import TransformerBlock


def attention(module: SelfAttention, x: Tensor, causal: bool = False) -> Tensor:
    """Softmax attention of one sequence (L, D), one head and one query at a time."""
    width, heads = x.shape[1], module.num_heads
    size = width // heads
    q, k, v = ((x @ w.T) + b for w, b in zip(module.qkv.weight.split(width), module.qkv.bias.split(width), strict=True))
    mixed = torch.zeros_like(x)
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            seen = slice(0, i + 1 if causal else len(x))
            scores = (k[seen, columns] * q[i, columns]).sum(1) / size**0.5
            mixed[i, columns] = (scores.exp()[:, None] * v[seen, columns]).sum(0) / scores.exp().sum()
    return mixed @ module.out.weight.T + module.out.bias


def layer_norm(module: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    """(L, D): centre and scale each row, then gain and bias."""
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5).sqrt() * module.weight + module.bias


def mlp(block: TransformerBlock, x: Tensor) -> Tensor:
    """(L, D): two layers with x * sigmoid(1.702 x) between."""
    hidden = x @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
    return hidden / (1 + (-1.702 * hidden).exp()) @ block.mlp.fc2.weight.T + block.mlp.fc2.bias


def block_output(block: TransformerBlock, x: Tensor, causal: bool = False) -> Tensor:
    """(L, D): pre-norm residual block."""
    x = x + attention(block.attention, layer_norm(block.norm1, x), causal)
    return x + mlp(block, layer_norm(block.norm2, x))


def block_output_without_attention(block: TransformerBlock, x: Tensor) -> Tensor:
    """(L, D): the block applied to each token as if it were the only one, where softmax gives it weight 1."""
    return torch.cat([block_output(block, row[None]) for row in x])


def vision(model: VisionTransformer, image: Tensor) -> tuple[Tensor, Tensor]:
    """Global (d,) and dense (d, h, w) features of one image (3, H, W) of the native size."""
    patch, width = model.patch_size, model.width
    h, w = image.shape[1] // patch, image.shape[2] // patch
    tokens = [model.class_embedding]
    for y in range(h):
        for x in range(w):
            pixels = image[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]
            tokens.append((model.patch_embedding.weight * pixels).sum((1, 2, 3)))
    hidden = layer_norm(model.pre_norm, torch.stack(tokens) + model.position_embedding)
    for block in list(model.blocks)[:-1]:
        hidden = block_output(block, hidden)
    pooled = layer_norm(model.post_norm, block_output(model.blocks[-1], hidden)[:1])[0]
    local = layer_norm(model.post_norm, block_output_without_attention(model.blocks[-1], hidden[1:]))
    assert hidden.shape == (1 + h * w, width)
    dense = (local @ model.projection.weight.T).T.reshape(-1, h, w)
    return pooled @ model.projection.weight.T, dense


def text(model: TextTransformer, ids: list[int], long: bool = False) -> Tensor:
    """Features (d,) of one text, all its tokens computed, pooled at the first end mark (at 0 where there is none)."""
    hidden = []
    for i, token in enumerate(ids):
        if not long:
            position = model.position_embedding[i]
        else:
            position = model.position_embedding_ori[i] if i < 20 else model.position_embedding_res[i]
        hidden.append(model.token_embedding.weight[token] + position)
    states = torch.stack(hidden)
    for block in model.blocks:
        states = block_output(block, states, causal=True)
    end = ids.index(model.eos_token_id) if model.eos_token_id in ids else 0
    projection = model.long_projection if long else model.projection
    return layer_norm(model.final_norm, states)[end] @ projection.weight.T
