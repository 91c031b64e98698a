"""The text tower against itself written out, and against the official code's numbers."""

import pytest
import torch

from fgdet.models.encoders.text_transformer import TextTransformer
from tests import naive
from tests.builders import TINY_TEXT, official_model, official_tensors, random_ids

END = TINY_TEXT['eos_token_id']


@pytest.fixture
def encoder() -> TextTransformer:
    """Random weights in which all tables differ, the dead rows of the long ones too."""
    torch.manual_seed(0)
    encoder = TextTransformer(**TINY_TEXT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder.double()


@pytest.fixture(scope='module')
def official() -> TextTransformer:
    return official_model().text


@pytest.mark.parametrize(
    ('length', 'long'),
    [(1, False), (2, False), (76, False), (77, False), (1, True), (20, True), (21, True), (248, True)],
)
def test_features__equal_the_written_out_tower(encoder: TextTransformer, length: int, long: bool) -> None:
    ids = torch.randint(0, END, (1, length))
    ids[0, -1] = END
    torch.testing.assert_close(
        encoder(ids, long=long)[0], naive.text(encoder, ids[0].tolist(), long), rtol=0, atol=1e-9
    )


@torch.no_grad()
def test_features__equal_the_official_ones(official: TextTransformer) -> None:
    recorded = official_tensors()
    short, long = recorded['text.short_ids'], recorded['text.long_ids']
    torch.testing.assert_close(official(short), recorded['text.features_short'], rtol=0, atol=1e-5)
    torch.testing.assert_close(official(long, long=True), recorded['text.features_long'], rtol=0, atol=1e-5)
    hidden = official.encode_tokens(long[:3], long=True)[:, :30]
    torch.testing.assert_close(hidden, recorded['text.long_last_hidden'], rtol=0, atol=2e-5)
    odd = official(recorded['text.odd_ids'])  # without an end mark, and with words after it
    torch.testing.assert_close(odd, recorded['text.odd_features_short'], rtol=0, atol=1e-5)
    table = official.positions(248, long=True)
    torch.testing.assert_close(table, recorded['text.effective_long_position_table'], rtol=0, atol=1e-6)


def test_features__no_end_mark_pools_the_first_token(encoder: TextTransformer) -> None:
    ids = torch.tensor([[5, 6, 7], [5, 8, 9]])
    features = encoder(ids)
    torch.testing.assert_close(features[0], naive.text(encoder, [5, 6, 7]), rtol=0, atol=1e-10)
    torch.testing.assert_close(features[0], features[1], rtol=0, atol=1e-10)


def test_features__what_follows_the_end_mark_does_not_matter(encoder: TextTransformer) -> None:
    ids = torch.tensor([[38, 5, END, END, END], [38, 5, END, 7, 8], [38, 5, END, 7, END]])
    features = encoder(ids)
    torch.testing.assert_close(features, features[:1].expand(3, -1), rtol=0, atol=0)


@pytest.mark.parametrize('long', [False, True])
def test_features__dropping_the_padding_is_exact(encoder: TextTransformer, long: bool) -> None:
    ids = random_ids(6, 30)
    padded = torch.cat([ids, torch.full((6, (248 if long else 77) - 30), END)], dim=1)
    hidden = encoder.encode_tokens(padded, long=long)  # every token, the padding included
    pooled = hidden[torch.arange(6), encoder.pooled_position(padded)]
    expected = (encoder.long_projection if long else encoder.projection)(pooled)
    torch.testing.assert_close(encoder(padded, long=long), expected, rtol=0, atol=1e-12)
    alone = torch.cat([encoder(row[None, : row.tolist().index(END) + 1], long=long) for row in ids])
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-12)


def groups_of_texts() -> list[tuple[torch.Tensor, bool]]:
    """Long and short texts of 1 to 248 tokens; variants with shared beginnings; equal texts; none; odd ends."""

    def row(words: int, length: int) -> torch.Tensor:
        ids = torch.full((length,), END)
        ids[:words] = torch.randint(0, END, (words,))
        return ids

    phrase = row(18, 77)
    variants = phrase.repeat(12, 1)
    for i in range(1, 11):
        variants[i, torch.randint(18, ())] = torch.randint(END, ())
    after_the_end = phrase.clone()
    after_the_end[30:40] = 5
    short = torch.stack([*(row(n, 77) for n in (0, 1, 75, 76, 77, 9)), after_the_end, phrase])
    long = torch.stack([row(n, 248) for n in (0, 1, 75, 76, 247, 248, 130)])
    return [(long, True), (short, False), (variants, False), (short[:0], False), (phrase[None, :19], False)]


@pytest.mark.parametrize('checkpointing', [False, True])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_groups__features_and_gradients_equal_those_of_padded_texts(
    encoder: TextTransformer, dtype: torch.dtype, tolerance: float, checkpointing: bool
) -> None:
    encoder.to(dtype).gradient_checkpointing = checkpointing
    groups = groups_of_texts()
    weights = [torch.randn(len(ids), encoder.output_dim, dtype=dtype) for ids, _ in groups]

    def padded(ids: torch.Tensor, long: bool) -> torch.Tensor:
        hidden = encoder.encode_tokens(ids, long)[torch.arange(len(ids)), encoder.pooled_position(ids)]
        return (encoder.long_projection if long else encoder.projection)(hidden)

    def gradients(features: list[torch.Tensor]) -> list[torch.Tensor]:
        total = sum((f * w).sum() for f, w in zip(features, weights, strict=True))
        return list(torch.autograd.grad(total, list(encoder.parameters())))  # type: ignore[arg-type]

    expected, found = [padded(*group) for group in groups], encoder.encode_groups(groups)
    for ours, theirs in zip([*found, *gradients(found)], [*expected, *gradients(expected)], strict=True):
        size = float(theirs.detach().abs().max()) if theirs.numel() else 1.0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, size))


def test_groups__one_layer_and_no_text(encoder: TextTransformer) -> None:
    torch.manual_seed(0)
    single = TextTransformer(**{**TINY_TEXT, 'num_layers': 1}).double()
    ids = random_ids(5, 12)
    torch.testing.assert_close(single.encode_groups([(ids, False)])[0], single(ids), rtol=0, atol=1e-12)
    (features,) = encoder.encode_groups([(ids[:0], True)])
    assert features.shape == (0, encoder.output_dim)
    assert encoder.encode_groups([]) == []


def test_long_mode__rows_that_are_not_used_get_no_gradient(encoder: TextTransformer) -> None:
    ids = torch.randint(0, END, (1, 248))
    ids[0, -1] = END
    encoder(ids, long=True).sum().backward()
    ori, res = encoder.position_embedding_ori.grad, encoder.position_embedding_res.grad
    assert ori[:20].any(1).all() and not ori[20:].any()
    assert res[20:].any(1).all() and not res[:20].any()
    assert encoder.position_embedding.grad is None and encoder.projection.weight.grad is None


def test_features__no_text(encoder: TextTransformer) -> None:
    assert encoder(torch.zeros(0, 77, dtype=torch.int64)).shape == (0, 16)


@pytest.mark.parametrize(
    ('ids', 'long', 'message'),
    [
        (torch.zeros(2, 78, dtype=torch.int64), False, r'1 <= L <= 77 in the short mode, got shape \(2, 78\)'),
        (torch.zeros(2, 249, dtype=torch.int64), True, r'1 <= L <= 248 in the long mode, got shape \(2, 249\)'),
        (torch.zeros(2, 0, dtype=torch.int64), False, r'got shape \(2, 0\)'),
        (torch.zeros(77, dtype=torch.int64), False, r'got shape \(77,\)'),
    ],
)
def test_features__ids_of_a_wrong_shape(encoder: TextTransformer, ids: torch.Tensor, long: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(ids, long=long)


@pytest.mark.parametrize('eos', [-1, 40])
def test_end_mark__must_lie_in_the_vocabulary(eos: int) -> None:
    with pytest.raises(ValueError, match=f'vocabulary of 40 tokens, got {eos}'):
        TextTransformer(**(TINY_TEXT | dict(eos_token_id=eos)))


def test_gradient_checkpointing__gives_identical_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = TextTransformer(**TINY_TEXT, gradient_checkpointing=checkpointing)
        (encoder(random_ids(4, 77)).sum() + encoder(random_ids(2, 248), long=True).square().sum()).backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@torch.no_grad()
def test_features__bfloat16(official: TextTransformer) -> None:
    ids = official_tensors()['text.short_ids']
    with torch.autocast('cpu', torch.bfloat16):
        features = official(ids)
    exact = official(ids)
    assert (features - exact).norm(dim=1).max() < 0.03 * exact.norm(dim=1).min()


def test_reset_parameters__long_tables_start_as_the_stretched_short_one() -> None:
    torch.manual_seed(0)
    encoder = TextTransformer(**TINY_TEXT)
    short, long = encoder.position_embedding, encoder.positions(248, long=True)
    torch.testing.assert_close(long[:21], short[:21], rtol=0, atol=0)
    torch.testing.assert_close(long[22], (short[20] + short[21]) / 2)
    torch.testing.assert_close(encoder.long_projection.weight, encoder.projection.weight, rtol=0, atol=0)
