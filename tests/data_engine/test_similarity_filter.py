"""Cosines of regions and phrases, against one call of the model for each."""

from pathlib import Path

import pytest
import torch

from fgdet.data_engine.image_record import ImageRecord, Phrase, Region
from fgdet.data_engine.picture import read_picture
from fgdet.data_engine.similarity_filter import SimilarityFilter
from fgdet.data_engine.stage import Failure
from fgdet.models.fg_clip import FGCLIP
from tests.builders import write_small_clip
from tests.data_engine.pictures import save, scene

TEXTS = ['a red mug', 'a dog on the left', 'a red mug', 'two zebras in tall grass']


@pytest.fixture(scope='module')
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[ImageRecord]]:
    """Images, weights, and records of 4, 0 and 2 regions."""
    folder = tmp_path_factory.mktemp('similarity')
    write_small_clip(folder / 'clip')
    records = []
    for number, count in enumerate((4, 0, 2)):
        record = save(folder, f'{number}.png', scene(number, (90 + 30 * number, 70)))
        for place, text in enumerate(TEXTS[:count]):
            box = (3.0 + 7 * place, 5.0, 40.0 + 10 * place, 33.5 + 9 * place)
            record.regions.append(Region(box, 0.9, Phrase(text)))
        records.append(record)
    return folder, folder / 'clip', records


def naive(folder: Path, model: FGCLIP, record: ImageRecord, region: Region) -> float:
    image = read_picture(folder, record).image
    side = model.preprocessing.image_size
    x1, y1, x2, y2 = region.box
    box = torch.tensor([[x1 / image.width, y1 / image.height, x2 / image.width, y2 / image.height]]) * side
    with torch.no_grad():
        seen = model.encode_regions(model.preprocess(image), [box])[0]
        said = model.encode_text(model.tokenize(region.phrase.text))[0]
    return float(torch.nn.functional.cosine_similarity(seen, said, dim=0))


@pytest.mark.parametrize('images_at_once', [1, 2, 8])
def test_similarity__is_that_of_one_call_for_each(
    given: tuple[Path, Path, list[ImageRecord]], images_at_once: int
) -> None:
    folder, checkpoint, records = given
    model = FGCLIP.from_pretrained(checkpoint)
    stage = SimilarityFilter(folder, checkpoint, least=-1.0, images_at_once=images_at_once)
    for record, found in zip(records, stage.run(records), strict=True):
        assert isinstance(found, ImageRecord)
        expected = [naive(folder, model, record, region) for region in record.regions]
        assert [region.similarity for region in found.regions] == pytest.approx(expected, abs=6e-5)
        if expected:
            assert found.scores['similarity_least'] == pytest.approx(min(expected), abs=6e-5)
        assert all(region.similarity is None for region in record.regions)


def test_similarity__regions_under_the_threshold_go(given: tuple[Path, Path, list[ImageRecord]]) -> None:
    folder, checkpoint, records = given
    everything = SimilarityFilter(folder, checkpoint, least=-1.0).run(records)[0]
    assert isinstance(everything, ImageRecord)
    values = sorted(region.similarity or 0.0 for region in everything.regions)
    (some,) = SimilarityFilter(folder, checkpoint, least=values[2]).run(records[:1])
    assert isinstance(some, ImageRecord)
    assert sorted(region.similarity or 0.0 for region in some.regions) == values[2:]
    assert some.provenance['similarity'] == dict(regions=2, left_out=2)
    for drop_empty, dropped in ((False, None), (True, 'no similar region')):
        first, empty, _ = SimilarityFilter(folder, checkpoint, least=1.1, drop_empty=drop_empty).run(records)
        assert isinstance(first, ImageRecord) and isinstance(empty, ImageRecord)
        assert (first.regions, first.dropped, first.scores['similarity_least']) == ([], dropped, values[0])
        assert empty == records[1]


def test_similarity__broken_files_and_settings(given: tuple[Path, Path, list[ImageRecord]]) -> None:
    folder, checkpoint, records = given
    missing = ImageRecord('m', 'missing.png', regions=records[0].regions)
    stage = SimilarityFilter(folder, checkpoint, images_at_once=2)
    failure, fine = stage.run([missing, records[2]])
    assert failure == Failure('m', 'image missing.png does not exist')
    assert isinstance(fine, ImageRecord)
    settings = stage.settings()
    assert (settings['checkpoint'], len(settings['fingerprint']), settings['least']) == ('clip', 64, 0.15)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        SimilarityFilter(folder, checkpoint, images_at_once=0)
