"""Embeddings against the text tower called by hand, and what the cache keeps and forgets."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fgdet.models.classifiers.class_embeddings import ClassEmbeddings
from fgdet.models.encoders.text_transformer import TextTransformer
from fgdet.structures.vocabulary import Vocabulary
from fgdet.text.tokenizer import Tokenizer
from fgdet.utils.checks import UserError
from tests.builders import tiny_clip

SIZES: dict[str, Any] = dict(width=16, num_layers=1, num_heads=2, mlp_width=32, output_dim=8)


def class_embeddings(seed: int = 0, **options: Any) -> ClassEmbeddings:
    torch.manual_seed(seed)
    return ClassEmbeddings(text_encoder=dict(type='fgdet.TextTransformer', **SIZES), **options)


def count_texts(module: ClassEmbeddings) -> list[int]:
    """Number of texts of each later pass through the tower."""
    counts: list[int] = []
    tower = module._held
    encode = tower.encode_groups

    def counted(groups: Any) -> Any:
        counts.append(sum(len(token_ids) for token_ids, _ in groups))
        return encode(groups)

    tower.encode_groups = counted
    return counts


def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged from now on."""
    lines: list[str] = []
    monkeypatch.setattr('fgdet.models.classifiers.class_embeddings.print_log', lambda text, *_: lines.append(text))
    return lines


def test_forward__mean_of_unit_prompts_normalised() -> None:
    module = class_embeddings()
    vocabulary = Vocabulary(
        ['cat', 'red mug'], templates=['a {}.', 'one large {} in a room'], synonyms={'cat': ['kitten']}
    )
    embeddings = module(vocabulary)
    cat = ['a cat.', 'a kitten.', 'one large cat in a room', 'one large kitten in a room']
    mug = ['a red mug.', 'one large red mug in a room']
    for row, prompts in zip(embeddings, (cat, mug), strict=True):
        encoded = torch.stack([module.text(Tokenizer.clip()([prompt]))[0] for prompt in prompts])
        torch.testing.assert_close(row, F.normalize(F.normalize(encoded, dim=1).mean(0), dim=0))


def test_forward__negatives_and_background_follow_the_names_and_image_prompts_stand_in_their_place() -> None:
    module = class_embeddings()
    template = 'a {}.'
    image = [3.0, 4.0, 0, 0, 0, 0, 0, 0]
    embeddings = module(
        Vocabulary(
            ['red_mug', 'this', 'cat'], None, None, [template], negatives=['dog'], background=['an empty wall'],
            image_prompts={'this': image},
        )
    )  # fmt: skip
    plain = module(Vocabulary(['a red mug.', 'a cat.', 'a dog.', 'an empty wall'], templates=['{}']))
    torch.testing.assert_close(embeddings[[0, 2, 3, 4]], plain)
    torch.testing.assert_close(embeddings[1], torch.tensor([0.6, 0.8, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(UserError, match="image_prompts of 'this': expected 8 numbers, as the text tower gives, got 2"):
        module(Vocabulary(['this'], image_prompts={'this': [1, 2]}))


def test_cache__same_tensor_for_the_same_names_and_only_new_names_are_encoded() -> None:
    module = class_embeddings()
    counts = count_texts(module)
    first = module(Vocabulary(['cat', 'dog'], templates=['a {}.']))
    assert module(Vocabulary(['cat', 'dog'], templates=['a {}.'])) is first
    second = module(Vocabulary(['owl', 'dog'], templates=['a {}.']))
    assert torch.equal(second[1], first[1])
    assert counts == [2, 1]
    assert not torch.equal(module(Vocabulary(['cat', 'dog'], templates=['{}'])), first)


NAMES = Vocabulary(['cat', 'red mug', 'dog'], templates=['a {}.', 'one {}'], negatives=['owl'], background=['a wall'])


def test_disk__a_second_start_reads_the_same_bits_and_runs_no_tower(tmp_path: Path) -> None:
    computed = class_embeddings(cache_dir=None)(NAMES)
    first, second = (class_embeddings(cache_dir=tmp_path) for _ in range(2))
    assert torch.equal(first(NAMES), computed)
    counts = count_texts(second)
    assert torch.equal(second(NAMES), computed)
    assert not counts
    assert len(list(tmp_path.iterdir())) == 1
    # one more name is added to the same file
    second(Vocabulary(['cat', 'bus'], templates=['a {}.', 'one {}']))
    third = class_embeddings(cache_dir=tmp_path)
    counts += count_texts(third)
    third(Vocabulary(['bus', 'dog'], templates=['a {}.', 'one {}']))
    assert counts == [2]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('change', ['weights', 'heads', 'activation'])
def test_disk__another_tower_never_finds_it(tmp_path: Path, change: str) -> None:
    class_embeddings(cache_dir=tmp_path)(NAMES)
    other = class_embeddings(cache_dir=tmp_path)
    if change == 'weights':
        weights = other.state_dict()
        weights['text.projection.weight'] = weights['text.projection.weight'] * torch.tensor([1.01] + 7 * [1])[:, None]
        other.load_state_dict(weights)
    else:
        changed: dict[str, Any] = dict(num_heads=4) if change == 'heads' else dict(activation='gelu')
        weights = other.state_dict()
        other = ClassEmbeddings(dict(type='fgdet.TextTransformer', **(SIZES | changed)), cache_dir=tmp_path)
        other.load_state_dict(weights)
    counts = count_texts(other)
    embeddings = other(NAMES)
    assert sum(counts) == 9
    assert not torch.allclose(embeddings, class_embeddings()(NAMES), atol=1e-5)
    assert len(list(tmp_path.iterdir())) == 2


def test_lazy__the_tower_is_neither_initialised_nor_moved_before_a_prompt_is_missing(tmp_path: Path) -> None:
    full = class_embeddings(cache_dir=tmp_path)
    expected = full(NAMES)
    lazy = class_embeddings(seed=5, cache_dir=tmp_path, lazy=True)
    assert all(parameter.is_meta for parameter in lazy._held.parameters())
    assert not list(lazy.parameters())
    weights = full.state_dict()
    lazy.load_state_dict(weights)
    counts = count_texts(lazy)
    assert torch.equal(lazy.eval()(NAMES), expected)
    assert not counts
    assert lazy._held.projection.weight.data_ptr() == weights['text.projection.weight'].data_ptr()
    assert lazy.state_dict().keys() == weights.keys()
    more = Vocabulary(['bus'])
    assert torch.equal(lazy(more), full(more))
    assert sum(counts) == 80
    assert lazy.state_dict().keys() == weights.keys()


def test_lazy__weights_that_do_not_fit_are_named() -> None:
    weights = class_embeddings().state_dict()
    weights['text.projection.weight'] = torch.zeros(3, 16)
    with pytest.raises(RuntimeError, match=r'size mismatch for projection\.weight'):
        class_embeddings(lazy=True).load_state_dict(weights)
    del weights['text.projection.weight']
    with pytest.raises(RuntimeError, match=r'Missing key.*text\.projection'):
        class_embeddings(lazy=True).load_state_dict(weights)
    with pytest.raises(RuntimeError, match=r'Unexpected key.*text\.extra'):
        class_embeddings(lazy=True).load_state_dict(class_embeddings().state_dict() | {'text.extra': torch.zeros(1)})


def test_forward__many_rows_pass_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = class_embeddings()(NAMES)
    monkeypatch.setattr('fgdet.models.classifiers.class_embeddings.ROWS_AT_ONCE', 2)
    monkeypatch.setattr('fgdet.models.classifiers.class_embeddings.BATCH_SIZE', 3)
    module = class_embeddings()
    counts = count_texts(module)
    torch.testing.assert_close(module(NAMES), expected)
    assert counts == [3, 1, 3, 1, 1]


def test_forward__a_name_longer_than_the_context_is_cut_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = class_embeddings()
    long = 'cat ' * 100
    templates = ['a {}.']
    fits, just = ' '.join(['cat'] * 73), ' '.join(['cat'] * 74)  # with a start, 'a', '.' and an end: 77 and 78 tokens
    lines = told(monkeypatch)
    embeddings = module(Vocabulary([long, fits], templates=templates))
    assert 'the prompts of 1 names are longer than the 77 tokens' in lines[0]
    tokenizer = Tokenizer.clip()
    expected = F.normalize(module.text(tokenizer([f'a {long.strip()}.', f'a {fits}.'], 77)), dim=1)
    torch.testing.assert_close(embeddings, expected)
    module(Vocabulary([just], templates=templates))
    assert len(lines) == 2


def test_forward__names_that_differ_in_case_alone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch)
    embeddings = class_embeddings()(Vocabulary(['Cat', 'dog', 'cat']))
    assert "these are one class to it: 'Cat' and 'cat'" in lines[0]
    assert torch.equal(embeddings[0], embeddings[2])


@pytest.mark.parametrize('change', ['load_state_dict', 'to', 'init_weights'])
def test_cache__is_forgotten_with_other_weights(change: str, tmp_path: Path) -> None:
    module, other = class_embeddings(), class_embeddings(seed=1)
    before = module(Vocabulary(['cat'], templates=['a photo of a {}.']))
    if change == 'load_state_dict':
        module.load_state_dict(other.state_dict())
        assert torch.equal(
            module(Vocabulary(['cat'], templates=['a photo of a {}.'])),
            other(Vocabulary(['cat'], templates=['a photo of a {}.'])),
        )
    elif change == 'to':
        assert module.to(torch.float64)(Vocabulary(['cat'], templates=['a photo of a {}.'])) is not before
    else:
        clip = tiny_clip(vision=dict(output_dim=8), text=dict(vocab_size=49408, eos_token_id=49407, **SIZES))
        clip.save_pretrained(tmp_path)
        module.checkpoint = str(tmp_path)
        module.init_weights()
        expected = clip.encode_text(clip.tokenize('a photo of a cat.'), normalize=True)
        torch.testing.assert_close(module(Vocabulary(['cat'], templates=['a photo of a {}.'])), expected)


def test_frozen__no_gradient_and_eval_mode() -> None:
    module = class_embeddings()
    module.train()
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.text.modules())
    assert not module(Vocabulary(['cat'], templates=['a photo of a {}.'])).requires_grad


def test_forward__refuses_a_tower_of_other_tokens() -> None:
    encoder = dict(type='fgdet.TextTransformer', vocab_size=40, eos_token_id=39, **SIZES)
    with pytest.raises(ValueError, match='text_encoder: expected the 49408 tokens of CLIP, got 40'):
        ClassEmbeddings(encoder)(Vocabulary(['cat'], templates=['a photo of a {}.']))


def test_text__is_the_tower_of_the_config() -> None:
    assert isinstance(class_embeddings().text, TextTransformer)
