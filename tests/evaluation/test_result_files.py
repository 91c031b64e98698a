import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgdet.evaluation.result_files import ShardWriter, check_shards, read_shards, write_result_list
from fgdet.evaluation.result_table import ResultTable
from fgdet.evaluation.results import load_results
from fgdet.utils.checks import UserError

Image = tuple[int, list[dict[str, Any]]]


def make_image(image_id: int, count: int, masks: bool = False) -> Image:
    generator = np.random.default_rng(abs(image_id))
    entries = []
    for row in range(count):
        box = [*generator.normal(0, 1e3, 2).tolist(), *generator.random(2).tolist()]
        entries.append({'image_id': image_id, 'category_id': row + 3, 'bbox': box, 'score': generator.random()})
        if masks:
            entries[-1]['segmentation'] = {'size': [7, row + 1], 'counts': '0a' * row + 'o'}
    return image_id, entries


def write(folder: Path, images: list[Image], rank: int = 0) -> ShardWriter:
    writer = ShardWriter(folder, rank)
    for image_id, entries in images:
        table = ResultTable.from_entries(entries)
        segmentations = [entry['segmentation'] for entry in entries if 'segmentation' in entry]
        writer.add(image_id, table.category_ids, table.boxes, table.scores, segmentations or None)
    return writer


def test_shards__images_alternate_and_count_once_to_the_last_digit(tmp_path: Path) -> None:
    images = [make_image(9, 2), make_image(-4, 0), make_image(2**40, 3, masks=True), make_image(1, 1)]
    first, second = write(tmp_path, images[::2]), write(tmp_path, [*images[1::2], images[0]], rank=1)
    shards = [first.finish(), second.finish()]
    check_shards(shards)
    table, num_images = read_shards([shard.path for shard in shards])
    assert num_images == 4
    assert list(table.to_entries()) == [entry for _, entries in images for entry in entries]
    assert len(load_results(shards[0].path)) == 5
    first.remove()
    second.keep()
    del first, second
    gc.collect()
    assert [str(path) for path in tmp_path.iterdir()] == [shards[1].path]


def test_shards__none_and_nothing_found(tmp_path: Path) -> None:
    table, num_images = read_shards([])
    assert (len(table), num_images) == (0, 0)
    shard = write(tmp_path, [make_image(3, 0)])
    assert read_shards([shard.finish().path])[1] == 1
    del shard
    gc.collect()
    assert not list(tmp_path.iterdir())  # a run that breaks off leaves nothing


def test_shards__not_there_cut_off_or_something_else(tmp_path: Path) -> None:
    writer = write(tmp_path, [make_image(1, 3), make_image(2, 3)])
    shard = writer.finish()
    whole = writer.path.read_bytes()
    for end in range(len(whole) - 3 * 64 - 23, len(whole)):
        writer.path.write_bytes(whole[:end])
        with pytest.raises(UserError, match='cut off after 1 images'):
            read_shards([shard.path])
    with pytest.raises(UserError, match=r'process 0: \d+ bytes were written on .* finds \d+ bytes; let results_folder'):
        check_shards([shard])
    writer.path.write_text('[]')
    with pytest.raises(UserError, match='no shard'):
        read_shards([shard.path])
    writer.path.unlink()
    with pytest.raises(UserError, match='has no such file; let results_folder be a folder that all machines share'):
        check_shards([shard])


@pytest.mark.parametrize('count', [0, 1, 25])
def test_write_result_list__in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr('fgdet.evaluation.result_files._ENTRIES_AT_ONCE', 10)
    entries = make_image(5, count, masks=True)[1]
    write_result_list(tmp_path / 'p.json', ResultTable.from_entries(entries))
    assert json.loads((tmp_path / 'p.json').read_text()) == entries


def test_write_result_list__breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('fgdet.evaluation.result_files._ENTRIES_AT_ONCE', 10)
    table = ResultTable.from_entries(make_image(5, 25)[1])
    monkeypatch.setattr(ResultTable, 'to_entries', lambda self: iter([object()] if len(self) < 10 else [{}] * 10))
    (tmp_path / 'p.json').write_text('old')
    with pytest.raises(TypeError):
        write_result_list(tmp_path / 'p.json', table)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['old']
