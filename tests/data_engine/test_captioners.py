"""Captions from every source: true, whole, in the order of the records, with what made them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from fgdet.data_engine.caption_sources import first_sentence
from fgdet.data_engine.captioners import AnnotationCaptioner, EndpointCaptioner, ExistingCaptions, LocalCaptioner
from fgdet.data_engine.endpoint import ChatEndpoint
from fgdet.data_engine.image_record import ImageRecord
from fgdet.data_engine.prompt_files import FOLDER, load_prompt
from fgdet.data_engine.stage import Failure
from fgdet.utils.checks import UserError
from tests.builders import write_image, write_shard
from tests.data_engine.endpoint_server import Reply, completion, serve

LONG = 'A red mug with a wooden handle stands on the left of a grey table, next to two small white plates.'


def run_one(stage: Any, record: ImageRecord) -> Any:
    [result] = stage.run([record])
    return result


def boxes(*named: tuple[str, list[float]]) -> ImageRecord:
    return ImageRecord('k', 'a.png', 100, 100, annotations=[dict(name=name, bbox=bbox) for name, bbox in named])


# -- endpoint ----------------------------------------------------------------------------------------------------------


def test_endpoint_captioner__takes_checked_captions_and_says_what_made_them(tmp_path, monkeypatch):
    monkeypatch.setenv('NO_PROXY', '*')
    good = json.dumps(dict(caption=LONG, short_caption='A red mug.'))
    bad = [
        'A red mug.',
        '[]',
        json.dumps(dict(caption=LONG)),
        json.dumps(dict(caption='A mug.', short_caption='A mug')),
    ]
    bad.append(json.dumps(dict(caption=LONG, short_caption="I'm sorry, no.")))
    replies = [text for each in bad for text in (each, good)]

    def behave(number: int, body: dict[str, Any]) -> Reply:
        return completion(replies[number]) if number < len(replies) else Reply(400, 'no')

    records = [ImageRecord(str(i), write_image(tmp_path / f'{i}.png').name) for i in range(6)]
    with serve(behave) as server:
        settings = dict(url=server.url, model='m', concurrency=1, prompt_price=1.0)
        results = EndpointCaptioner(tmp_path, settings).run(records)
        said = [body['messages'][-1]['content'] for body in server.bodies]
    assert results[5] == Failure('5', 'the endpoint answers 400: no')
    made = [result for result in results[:5] if isinstance(result, ImageRecord)]
    assert [r.key for r in made] == list('01234') and {r.caption for r in made} == {LONG}
    assert {r.short_caption for r in made} == {'A red mug.'} and records[0].caption == ''
    for said_again, fault in zip(said[1::2], ('JSON', 'object', 'short_caption', '2 words', 'about'), strict=False):
        assert fault in said_again
    text = (FOLDER / 'captions.txt').read_text().strip()
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert made[0].provenance['caption'] == dict(
        captioner='endpoint',
        prompt=f'captions@{version}',
        model='served-model',
        prompt_tokens=200,
        completion_tokens=20,
        cost=0.0002,
    )


def test_endpoint_captioner__settings_hold_the_prompt_version_and_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv('OPENAI_API_KEY', 'sk-hunter2')
    endpoint = ChatEndpoint('http://host/v1', 'm', 'OPENAI_API_KEY')
    (tmp_path / 'mine.txt').write_text(' Say it.\n')
    settings = EndpointCaptioner('.', endpoint, prompt=tmp_path / 'mine.txt').settings()
    assert settings['prompt'] == f'mine@{hashlib.sha256(b"Say it.").hexdigest()[:12]}'
    assert 'hunter2' not in json.dumps(settings)


def test_load_prompt__refuses_what_is_none(tmp_path):
    (tmp_path / 'empty.txt').write_text(' \n')
    with pytest.raises(UserError, match=r'no such file, and the package has .*captions'):
        load_prompt('no_such')
    with pytest.raises(UserError, match='empty'):
        load_prompt(tmp_path / 'empty.txt')


# -- annotations -------------------------------------------------------------------------------------------------------


def test_annotation_captioner__says_what_the_boxes_say():
    record = boxes(
        ('bus', [30, 30, 40, 40]),
        ('dog', [0, 40, 20, 20]),
        ('dog', [2, 45, 10, 10]),
        ('traffic light', [45, 2, 10, 20]),
        ('person', [80, 40, 8, 20]),
    )
    made = run_one(AnnotationCaptioner(), record)
    assert made.short_caption == 'a bus, two dogs, a traffic light and a person'
    assert made.caption == (
        'A photograph of a bus, two dogs, a traffic light and a person. There is a bus in the middle below a traffic '
        'light. There is a dog on the left. There is a traffic light at the top above a bus. There is a person on the '
        'right.'
    )
    said = [made.caption[slice(*each['span'])] for each in made.annotations if 'span' in each]
    assert said == [
        'a bus in the middle below a traffic light',
        'a dog on the left',
        'a traffic light at the top above a bus',
        'a person on the right',
    ]
    assert 'span' not in made.annotations[2] and 'span' not in record.annotations[0]
    assert made.provenance['caption']['captioner'] == 'annotations'


def test_annotation_captioner__leaves_open_what_it_cannot_know():
    crowd = run_one(AnnotationCaptioner(), boxes(*[('sheep', [10 * i, 5, 5, 5]) for i in range(7)]))
    assert crowd.short_caption == 'many sheep'
    record = boxes(('person', [0, 0, 30, 30]))
    record.annotations[0]['iscrowd'] = 1
    made = run_one(AnnotationCaptioner(), record)
    assert made.caption == 'A photograph of many people. There are many people at the top left.'
    assert run_one(AnnotationCaptioner(), boxes(('cat', [0, 0, 100, 90]))).caption.endswith(
        'There is a cat that fills much of the picture.'
    )
    assert run_one(AnnotationCaptioner(), ImageRecord('k', 'a.png', 9, 9)).dropped
    unknown = ImageRecord('k', 'a.png', annotations=[dict(name='cat', bbox=[0, 0, 1, 1])])
    assert isinstance(run_one(AnnotationCaptioner(), unknown), Failure)


def test_annotation_captioner__names_a_colour_only_where_it_is_clear(tmp_path):
    image = Image.new('RGB', (400, 200), (120, 130, 110))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 119, 119), fill=(200, 20, 20))  # a red car
    draw.rectangle((150, 20, 199, 119), fill=(20, 40, 200))  # half of a car is blue, half is red
    draw.rectangle((200, 20, 249, 119), fill=(200, 20, 20))
    draw.rectangle((270, 0, 399, 199), fill=(30, 160, 40))  # a car that one sees the grass through, and a person
    image.save(tmp_path / 'a.png')
    spots = dict(car=[20, 20, 100, 100], truck=[150, 20, 100, 100], bus=[290, 20, 90, 80], person=[20, 20, 100, 100])
    record = ImageRecord('k', 'a.png', 400, 200, annotations=[dict(name=n, bbox=b) for n, b in spots.items()])
    said = run_one(AnnotationCaptioner(tmp_path), record).short_caption
    assert said == 'a red car, a truck, a person and a bus'
    assert run_one(AnnotationCaptioner(tmp_path, colours=False), record).short_caption.startswith('a car')
    missing = run_one(AnnotationCaptioner(tmp_path / 'none'), record)
    assert isinstance(missing, Failure) and 'a.png does not exist' in missing.reason


# -- files -------------------------------------------------------------------------------------------------------------


def test_existing_captions__of_lists_shards_and_files_beside_the_images(tmp_path):
    coco = dict(
        images=[dict(id=1, file_name='a.jpg'), dict(id=2, file_name='b.jpg')],
        annotations=[
            dict(image_id=1, caption='A dog runs'),
            dict(image_id=2, caption='Two cats.'),
            dict(image_id=1, caption='A brown dog on grass. It runs.'),
        ],
    )
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    beside = tmp_path / 'beside'
    (beside / 'sub').mkdir(parents=True)
    (beside / 'sub' / 'a.txt').write_text('A dog runs\nA brown dog on grass. It runs.\n')
    (beside / 'b.json').write_text(json.dumps(dict(caption='Two cats.', short_caption='cats')))
    (beside / 'c.json').write_text('[1]')
    members = [('sub/a.json', dict(captions=['A dog runs', 'A brown dog on grass. It runs.'])), ('sub/a.jpg', b'x')]
    (tmp_path / 'shards').mkdir()
    write_shard(tmp_path / 'shards' / '0.tar', [*members, ('b.txt', b'Two cats.'), ('c.json', b'{')])

    dog = 'A dog runs. A brown dog on grass. It runs.', 'A dog runs'
    expected = {'coco.json': [dog, ('Two cats.', 'Two cats.'), None], 'beside': [dog, ('Two cats.', 'cats'), None]}
    expected['shards'] = expected['coco.json']
    for source, captions in expected.items():
        folder = '' if source == 'coco.json' else 'sub/'
        records = [ImageRecord('a', f'{folder}a.jpg'), ImageRecord('b', 'b.jpg'), ImageRecord('c', 'c.jpg')]
        results = ExistingCaptions(tmp_path / source).run(records)
        found = [(r.caption, r.short_caption) if isinstance(r, ImageRecord) else None for r in results]
        assert found == captions, source
    assert isinstance(results[2], Failure) and 'c.jpg' in results[2].reason
    with pytest.raises(UserError, match='no such file or folder'):
        ExistingCaptions(tmp_path / 'none')
    (tmp_path / 'shards' / '1.tar').write_bytes(b'no tar')
    with pytest.raises(UserError, match=r'1\.tar: it ends'):
        ExistingCaptions(tmp_path / 'shards').run(records)


@pytest.mark.parametrize(
    'text, first',
    [
        ('A dog. A cat.', 'A dog.'),
        ('A 3.5 m pole. It leans.', 'A 3.5 m pole.'),
        ('Made by J. Smith in 1901. Old.', 'Made by J. Smith in 1901.'),
        ('A sign that says "Stop." It is red.', 'A sign that says "Stop."'),
        ('no end', 'no end'),
        ('', ''),
    ],
)
def test_first_sentence__ends_where_a_sentence_does(text, first):
    assert first_sentence(text) == first


# -- a local model -----------------------------------------------------------------------------------------------------


def test_local_captioner__says_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'no config\.json'):
        LocalCaptioner(tmp_path, tmp_path)
    (tmp_path / 'config.json').write_text('{}')
    monkeypatch.setitem(sys.modules, 'transformers', None)
    write_image(tmp_path / 'a.png')
    with pytest.raises(UserError, match='pip install'):
        LocalCaptioner(tmp_path, tmp_path).run([ImageRecord('a', 'a.png')])
    [failure] = LocalCaptioner(tmp_path, tmp_path).run([ImageRecord('b', 'b.png')])
    assert isinstance(failure, Failure) and 'b.png' in failure.reason


def test_local_captioner__captions_with_a_model_of_the_library(tmp_path: Path):
    transformers = pytest.importorskip('transformers', reason='captions of a local model need transformers')
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[BOS]', 'a', 'red', 'mug', 'on', 'the', 'table', '.']
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token='[UNK]'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing('[CLS] $A [SEP]', None, [('[CLS]', 2), ('[SEP]', 3)])
    special = dict(pad_token='[PAD]', unk_token='[UNK]', cls_token='[CLS]', sep_token='[SEP]', bos_token='[BOS]')
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    text = dict(vocab_size=12, bos_token_id=4, eos_token_id=3, sep_token_id=3, pad_token_id=0, **sizes)
    config = transformers.BlipConfig(text_config=text, vision_config=dict(image_size=32, patch_size=16, **sizes))
    model = transformers.BlipForConditionalGeneration(config)
    model.text_decoder.cls.predictions.bias.data[words.index('mug')] = 100.0
    model.save_pretrained(tmp_path / 'model')
    images = transformers.BlipImageProcessor(size=dict(height=32, width=32))
    transformers.BlipProcessor(images, fast).save_pretrained(tmp_path / 'model')
    records = [ImageRecord(str(i), write_image(tmp_path / f'{i}.png', seed=i).name) for i in range(3)]
    stage = LocalCaptioner(tmp_path, tmp_path / 'model', max_tokens=6)
    together = stage.run(records)
    assert together == [run_one(stage, record) for record in records]
    assert [made.caption for made in together if isinstance(made, ImageRecord)] == ['mug mug mug mug mug mug'] * 3
    asked = run_one(LocalCaptioner(tmp_path, tmp_path / 'model', prompt='a red', max_tokens=2), records[0])
    assert (asked.caption, asked.provenance['caption']['prompt']) == ('mug mug', 'a red')
