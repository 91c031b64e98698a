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
    """Number of texts of each later call of the tower."""
    counts: list[int] = []
    module.text.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    return counts


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
