"""Memory of a data loader's worker over the number of records: python tools/bench/worker_memory.py [--json FILE].

Records are generated, all of one image. ``private`` is what the worker alone holds and cannot drop, ``resident`` all
that it has in memory, with pages of files and those shared with its parent; in MiB after the same number of samples.
"""

import argparse
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fgdet.registry import DATA_SAMPLERS, DATASETS
from fgdet.utils.files import write_json

COUNTS = (10_000, 100_000, 1_000_000)
KINDS = ('lines', 'list', 'shards', 'list in memory')
SAMPLES = 3000
PIPELINE = [
    dict(type='fgdet.LoadRegionTextImage'),
    dict(type='fgdet.TokenizeRegionText'),
    dict(type='fgdet.PackRegionTextInputs'),
]


class Probe(Dataset):
    """Samples of a data set, each with the memory of the process that made it."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getitems__(self, positions: list[int]) -> list[dict[str, float]]:
        if hasattr(self.data, '__getitems__'):
            self.data.__getitems__(positions)
        else:
            for position in positions:
                self.data[position]
        return [memory()]


def memory() -> dict[str, float]:
    """MiB of this process: that it alone holds, and that it has in memory."""
    rollup = Path('/proc/self/smaps_rollup').read_text()
    sizes = {name: int(kib) / 1024 for name, kib in re.findall(r'(\w+):\s+(\d+) kB', rollup)}
    return dict(private=sizes['Private_Dirty'], resident=sizes['Rss'])


def measure(kind: str, count: int, folder: Path) -> dict[str, float]:
    """Memory of one worker after ``SAMPLES`` samples from all over ``count`` records."""
    data = DATASETS.build(config(kind, folder))
    if kind == 'list in memory':  # as the official code holds it
        data.records = [data.records[i] for i in range(count)]
    name = 'fgdet.StreamSampler' if kind == 'shards' else 'fgdet.EpochIndexSampler'
    sampler = DATA_SAMPLERS.build(dict(type=name), default_args=dict(dataset=data, seed=0))
    loader = DataLoader(
        Probe(data), 100, sampler=sampler, num_workers=1, collate_fn=pseudo_collate, multiprocessing_context='fork'
    )
    batches = iter(loader)
    for _ in range(SAMPLES // 100):
        last = next(batches)
    return {name: round(value[0], 1) for name, value in last.items()}


def generate(kind: str, count: int, folder: Path) -> None:
    """Write records of a kind, and have them indexed."""
    image = BytesIO()
    Image.new('RGB', (32, 32)).save(image, 'JPEG')
    (folder / 'a.jpg').write_bytes(image.getvalue())
    if kind == 'shards':
        for shard in range(count // 10_000):
            with tarfile.open(folder / f'{shard:03d}.tar', 'w') as tar:
                for i, text in enumerate(records(10_000)):
                    add(tar, f'{i}.jpg', image.getvalue())
                    add(tar, f'{i}.json', text.encode())
    else:
        with open(folder / 'records.json', 'w', encoding='utf-8') as file:
            for i, text in enumerate(records(count)):
                file.write(text + '\n' if kind == 'lines' else (',' if i else '[') + text)
            file.write('' if kind == 'lines' else ']')
    DATASETS.build(config(kind, folder))


def config(kind: str, folder: Path) -> dict[str, Any]:
    """The data set over a folder."""
    if kind == 'shards':
        return dict(type='fgdet.RegionTextShards', sources=f'{folder}/*.tar', pipeline=PIPELINE)
    records = str(folder / 'records.json')
    return dict(type='fgdet.RegionTextDataset', records=records, image_root=str(folder), pipeline=PIPELINE)


def records(count: int) -> Iterator[str]:
    """One region and two negatives each."""
    for i in range(count):
        region: dict[str, Any] = dict(
            bbox=[0.1, 0.2, 0.5, 0.9], short_expr=f'red mug {i}', long_expr='a red mug with a thin handle'
        )
        region |= dict(flag_short_neg=1, short_expr_negs={'0': f'blue mug {i}', '1': 'red plate'})
        yield json.dumps(
            dict(f_path='a.jpg', caption=f'A red mug {i} on a table.', short_caption='a mug', bbox_info=[region])
        )


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, BytesIO(data))


def new_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function where nothing has happened before."""
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--counts', type=int, nargs='+', default=COUNTS)
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS[:-1])
    parser.add_argument('--json')
    args = parser.parse_args()
    found = {}
    for kind in args.kinds:
        for count in args.counts:
            with tempfile.TemporaryDirectory() as folder:
                new_process(generate, kind, count, Path(folder))  # nothing of it is left in the one that is measured
                found[f'{kind} {count}'] = sizes = new_process(measure, kind, count, Path(folder))
            print(
                f'{kind:<16}{count:>10,}{sizes["private"]:>10.1f} MiB private{sizes["resident"]:>10.1f} MiB resident',
                flush=True,
            )
    if args.json:
        write_json(args.json, found)


if __name__ == '__main__':
    main()
