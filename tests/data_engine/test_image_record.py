"""Records survive a file."""

import json

import pytest

from fgdet.data_engine.image_record import ImageRecord, Negative, Phrase, Region

MUG = Phrase('a red mug', 7, 16, 'mug', [{'word': 'red', 'kind': 'colour'}])


def test_from_json__gives_back_what_to_json_wrote():
    region = Region((1.5, 2.0, 30.0, 40.25), 0.75, MUG, [Negative('a blue mug', 'colour', 'red', 'blue')], 0.3)
    record = ImageRecord('000001', 'a/b.jpg', 64, 48, 'Here is a red mug.', 'a mug', [MUG], [region])
    assert ImageRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert ImageRecord.from_json(ImageRecord('1', 'x.png').to_json()) == ImageRecord('1', 'x.png')


def test_from_json__refuses_fields_it_does_not_know():
    with pytest.raises(TypeError):
        ImageRecord.from_json({**ImageRecord('1', 'x.png').to_json(), 'mood': 'good'})
