"""From captions files and a checkpoint, and from saved embeddings, to the same scores."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fgdet.apis.embedding import embed_images, embed_texts
from fgdet.apis.embedding_files import write_embeddings
from fgdet.apis.region_encoding import RegionEncoder
from fgdet.apis.retrieval_evaluation import evaluate_retrieval
from fgdet.utils.checks import UserError
from tests.builders import record, write_image, write_records, write_small_clip

NUM = 9
LONG = ' '.join(['a large red mug'] * 22)


def caption(image, number):
    return f'{["red", "blue", "green", "grey", "pink"][image % 5]} thing {image} of {number}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Nine images, their captions (one to three each) and records, and two checkpoints."""
    folder = tmp_path_factory.mktemp('retrieval')
    for i in range(NUM):
        write_image(folder / 'images' / f'{i}.png', (16 + i, 20), i)
    lines = [dict(image=f'{i}.png', captions=[caption(i, n) for n in range(1 + i % 3)]) for i in range(NUM)]
    write_records(folder / 'captions.jsonl', lines)
    records = [record(f'{i}.png', caption=f'{caption(i, 0)} {LONG}', short_caption=caption(i, 1)) for i in range(NUM)]
    write_records(folder / 'records.jsonl', records)
    for seed in (0, 1):
        write_small_clip(folder / f'clip{seed}', seed)
    return folder


def run(folder, ann, **options):
    return evaluate_retrieval(
        ann=folder / ann, checkpoint=folder / 'clip0', images=folder / 'images', device='cpu', **options
    )


def naive(images, texts, owners, k):
    """R@k both ways by sorting."""
    scores = images @ texts.T
    i2t = [any(owners[t] == i for t in np.argsort(-row)[:k]) for i, row in enumerate(scores)]
    t2i = [owners[t] in np.argsort(-column)[:k] for t, column in enumerate(scores.T)]
    return np.mean(i2t), np.mean(t2i)


@torch.no_grad()
def test_evaluate_retrieval__equals_the_model_called_image_by_image(folder):
    told = []
    evaluation = run(folder, 'captions.jsonl', report=lambda *args: told.append(args))
    model = RegionEncoder(folder / 'clip0', 'cpu').model
    images = [model.encode_image(model.preprocess(Image.open(folder / 'images' / f'{i}.png'))) for i in range(NUM)]
    texts = [(i, model.encode_text(model.tokenize(caption(i, n)))) for i in range(NUM) for n in range(1 + i % 3)]
    owners = [owner for owner, _ in texts]
    unit = [torch.nn.functional.normalize(torch.cat(rows)).numpy() for rows in (images, [text for _, text in texts])]
    for k in (1, 5):
        expected = naive(unit[0], unit[1], owners, k)
        assert (evaluation.scores[f'i2t_r{k}'], evaluation.scores[f't2i_r{k}']) == pytest.approx(expected)
    assert evaluation.scores['num_texts'] == len(owners)
    assert {part for part, *_ in told} == {'images', 'texts', 'ranks'}
    resampled = evaluation.resampler.scores(np.ones(NUM))
    assert resampled == pytest.approx({name: evaluation.scores[name] for name in resampled})


@pytest.mark.parametrize('ann', ['captions.jsonl', 'records.jsonl'])
def test_evaluate_retrieval__saved_embeddings_give_the_same_scores(folder, tmp_path, ann):
    saved = tmp_path / 'saved.safetensors'
    first = run(folder, ann, captions=2, save_pred=saved)
    alone, with_ann = evaluate_retrieval([saved]), evaluate_retrieval([saved], folder / ann, captions=2)
    assert first.scores == alone.scores == with_ann.scores
    assert first.protocol == alone.protocol == with_ann.protocol
    assert evaluate_retrieval(**first.inputs).scores == first.scores


def test_evaluate_retrieval__records_are_read_each_with_its_own_length(folder):
    both = run(folder, 'records.jsonl').scores
    assert {name for name in both if name.endswith('r1')} == {f'{s}_{d}_r1' for s in ('long', 'short')
                                                             for d in ('i2t', 't2i')}  # fmt: skip
    assert both['long_num_cut'] == both['short_num_cut'] == 0
    for name, long in (('long', True), ('short', False)):
        one = run(folder, 'records.jsonl', long=long)
        assert [one.scores[f't2i_r{k}'] for k in (1, 5)] == [both[f'{name}_t2i_r{k}'] for k in (1, 5)]
    assert '9 short captions of up to 77 tokens' in one.protocol


def test_evaluate_retrieval__files_of_embed_are_found_by_name_and_wording(folder, tmp_path):
    encoder = RegionEncoder(folder / 'clip0', 'cpu')
    paths = [folder / 'images' / f'{i}.png' for i in reversed(range(NUM))]
    write_embeddings(tmp_path / 'i.safetensors', embed_images(encoder, paths))
    texts = sorted(caption(i, n) for i in range(NUM) for n in range(3))
    for name, long in (('short', False), ('long', True)):
        write_embeddings(tmp_path / f'{name}.safetensors', embed_texts(encoder, texts, long))
    files = [tmp_path / f'{name}.safetensors' for name in ('i', 'short', 'long')]
    scores = run(folder, 'captions.jsonl').scores
    assert evaluate_retrieval(files[:2], folder / 'captions.jsonl').scores == scores
    assert evaluate_retrieval(files, folder / 'captions.jsonl', long=False).scores == scores
    with pytest.raises(UserError, match='2 tables of texts fit the text captions; give --long or --short'):
        evaluate_retrieval(files, folder / 'captions.jsonl')
    with pytest.raises(UserError, match=r'i.safetensors, .*: they do not say which text belongs to which image'):
        evaluate_retrieval(files[:2])
    with pytest.raises(UserError, match='no table of texts of the long context'):
        evaluate_retrieval(files[:2], folder / 'captions.jsonl', long=True)
    with pytest.raises(UserError, match=r"the caption 'red thing 0 of 0 a large .* is not in it"):
        evaluate_retrieval(files, folder / 'records.jsonl')
    other = embed_texts(RegionEncoder(folder / 'clip1', 'cpu'), texts)
    write_embeddings(tmp_path / 'other.safetensors', other)
    with pytest.raises(UserError, match=r'of different weights: .*clip0; .*clip1'):
        evaluate_retrieval([files[0], tmp_path / 'other.safetensors'], folder / 'captions.jsonl')


def test_evaluate_retrieval__an_unreadable_image_counts_as_wrong_and_is_named(folder, tmp_path):
    for i in range(NUM):
        (tmp_path / f'{i}.png').write_bytes((folder / 'images' / f'{i}.png').read_bytes() if i != 4 else b'text')
    options = dict(ann=folder / 'captions.jsonl', checkpoint=folder / 'clip0', images=tmp_path, device='cpu')
    evaluation = evaluate_retrieval(**options, save_pred=tmp_path / 's.safetensors')
    assert evaluation.scores['num_unreadable'] == 1
    assert '1 of 9 images cannot be read and count as wrong; image ' in evaluation.protocol
    assert evaluation.scores['i2t_r10'] <= 8 / 9
    assert evaluation.scores['t2i_r10'] == pytest.approx(16 / 18)  # of ten images, all but that one's two captions
    assert evaluate_retrieval([tmp_path / 's.safetensors']).scores == evaluation.scores
    (tmp_path / '7.png').unlink()
    with pytest.raises(UserError, match=r'1 of 9 files are not there, the first 7.png'):
        evaluate_retrieval(**options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(), 'either --pred, or --checkpoint with --images and --ann'),
        (dict(checkpoint='c', images='i'), 'either --pred'),
        (dict(pred=['a'], checkpoint='c', images='i', ann='a'), 'either --pred'),
        (dict(pred=['a'], image_size=224), 'mean nothing with --pred'),
    ],
)
def test_evaluate_retrieval__contradicting_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        evaluate_retrieval(**options)


def test_evaluate_retrieval__long_captions_need_a_choice_and_another_size_is_said(folder, tmp_path):
    lines = [dict(image=f'{i}.png', captions=[f'{caption(i, 0)} {LONG}']) for i in range(NUM)]
    write_records(tmp_path / 'long.jsonl', lines)
    with pytest.raises(UserError, match='9 of 9 captions have more than 77 tokens'):
        run(folder, tmp_path / 'long.jsonl')
    cut = run(folder, tmp_path / 'long.jsonl', long=False, image_size=48)
    assert cut.scores['num_cut'] == NUM
    assert '48 x 48 pixels and 9 captions of up to 77 tokens, 9 cut' in cut.protocol
    assert 'the weights were trained at 32 x 32' in cut.protocol
    assert json.dumps(cut.to_json())
