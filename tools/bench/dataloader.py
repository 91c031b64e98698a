"""Records and JPEG files to batches: fgdet's data path over a plain loop that does what the official code does.

The plain loop holds the JSON in memory, resizes and normalises each image in the worker, and tokenises and pads
each text by a call of its own. Both use the same decoder, resizing and byte pairs, and end in the same normalised
pixels and ids.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import alternate, num_threads, record
from tokenizers import Tokenizer as CompiledTokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fgdet.checkpoints.hf_fg_clip import IMAGE_MEAN, IMAGE_STD
from fgdet.datasets.collate import collate_region_text
from fgdet.models.data_preprocessors.region_text import RegionTextDataPreprocessor
from fgdet.registry import DATASETS
from fgdet.text.tokenizer import Tokenizer

SIZE = 224
WORDS = 'a red blue small large old wooden metal striped mug plate cat dog table window street tree person car on near'


def run(
    repeats: int = 5,
    threads: int | None = None,
    images: str | None = None,
    num_images: int = 256,
    batch_size: int = 32,
    num_workers: int = 2,
) -> dict[str, Any]:
    """Measure a pass over images with four regions of ten hard negatives each, from new workers to the last batch.

    Args:
        repeats: pairs of alternating runs.
        threads: threads that torch computes with; None: its own choice.
        images: a folder of JPEG files; None makes photograph-like ones of 640 x 480 pixels.
        num_images: images made, or taken from the folder.
        batch_size: samples of a batch.
        num_workers: workers of either loader.

    Returns:
        The record with ``samples_per_second`` of both. ``max_error`` is the largest difference of the pixels, and
        infinite where any id or box differs.
    """
    with num_threads(threads), tempfile.TemporaryDirectory() as temporary:
        folder = Path(images or temporary)
        if images is None:
            make_images(folder, num_images)
        files = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in {'.jpg', '.jpeg'})[:num_images]
        records = Path(temporary) / 'records.json'
        records.write_text(json.dumps([make_record(name, i) for i, name in enumerate(files)]))
        settings: dict[str, Any] = dict(batch_size=batch_size, num_workers=num_workers)
        ours = DataLoader(our_dataset(records, folder), collate_fn=collate_region_text, **settings)
        theirs = DataLoader(Plain(records, folder), collate_fn=Plain.collate, **settings)
        error = max(map(difference, our_batches(ours), theirs))
        comparison = alternate(lambda: list(our_batches(ours)), lambda: list(theirs), repeats)
        result = record('dataloader', comparison, error, {**settings, 'num_images': len(files), 'size': SIZE})
        speed = {name: len(files) / result[f'{name}_seconds'] for name in ('ours', 'theirs')}
        return result | dict(samples_per_second=speed)


def our_dataset(records: Path, folder: Path) -> Any:
    pipeline = [
        dict(type='fgdet.LoadRegionTextImage'),
        dict(type='fgdet.ResizeRegionTextImage', size_hw=(SIZE, SIZE)),
        dict(type='fgdet.TokenizeRegionText'),
        dict(type='fgdet.PackRegionTextInputs'),
    ]
    settings = dict(records=str(records), image_root=str(folder), pipeline=pipeline)
    return DATASETS.build(dict(type='fgdet.RegionTextDataset', **settings))


def our_batches(loader: DataLoader) -> Any:
    """Batches as the model gets them, normalised."""
    preprocess = RegionTextDataPreprocessor()
    return (preprocess(batch, True) for batch in loader)


class Plain(Dataset):
    """The official data path: what a sample goes through, and in which order."""

    def __init__(self, records: Path, folder: Path) -> None:
        self.records = json.loads(records.read_text())
        self.folder = folder
        self.tokenizer = compiled_tokenizer()
        self.mean, self.std = (np.array(x, np.float32) for x in (IMAGE_MEAN, IMAGE_STD))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = self.records[index]
        image = Image.open(self.folder / entry['f_path']).convert('RGB').resize((SIZE, SIZE))
        pixels = (np.array(image).astype(np.float32) / 255 - self.mean) / self.std
        regions = entry['bbox_info'][:4]
        groups = [[r['short_expr'], *r['short_expr_negs'].values()] for r in regions]
        return dict(
            image=torch.from_numpy(pixels).permute(2, 0, 1).contiguous(),
            long=self.encode(entry['caption'], 248),
            short=self.encode('a photo of ' + entry['short_caption'], 77),
            # The official code draws one of two phrases; here they are equal, so that the outputs can be compared.
            regions=torch.stack([self.encode(r['short_expr'], 77) for r in regions]),
            hard=torch.stack([self.encode(text, 77) for group in groups for text in group]),
            boxes=torch.tensor([r['bbox'][:4] for r in regions]) * SIZE,
        )

    def encode(self, text: str, length: int) -> Tensor:
        ids = self.tokenizer.encode(text.lower()).ids
        ids = [49406, *ids[: length - 2], 49407]
        return torch.tensor(ids + [49407] * (length - len(ids)))

    @staticmethod
    def collate(batch: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        joined = {name: torch.cat([sample[name] for sample in batch]) for name in ('regions', 'hard', 'boxes')}
        return joined | {name: torch.stack([sample[name] for sample in batch]) for name in ('image', 'long', 'short')}


def compiled_tokenizer() -> CompiledTokenizer:
    """CLIP's byte pairs in the library that Hugging Face's fast tokenizers call."""
    return Tokenizer.clip()._tokenizer


def difference(ours: dict[str, Any], theirs: dict[str, Tensor]) -> float:
    samples = ours['data_samples']
    same = (
        (torch.stack([s.long_ids for s in samples]), theirs['long']),
        (torch.stack([s.short_ids for s in samples]), theirs['short']),
        (torch.cat([s.region_ids for s in samples]), theirs['regions']),
        (torch.cat([s.hard_ids for s in samples]), theirs['hard']),
    )
    if not all(torch.equal(*pair) for pair in same):
        return float('inf')
    boxes = (torch.cat([s.boxes for s in samples]) - theirs['boxes']).abs().max()
    return max((ours['inputs'] - theirs['image']).abs().max().item(), boxes.item())


def make_images(folder: Path, count: int) -> None:
    """JPEG files of 640 x 480 pixels with large shapes and noise, some 100 KB each as photographs have."""
    rng = np.random.default_rng(0)
    for i in range(count):
        shapes = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((640, 480))
        pixels = np.array(shapes) + rng.normal(0, 8, (480, 640, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f'{i:05d}.jpg', quality=90)


def make_record(name: str, seed: int) -> dict[str, Any]:
    """Four regions with ten negatives that change one word of the phrase, and a caption of 60 to 200 words."""
    rng = np.random.default_rng(seed)
    words = WORDS.split()
    regions = []
    for _ in range(4):
        phrase = rng.choice(words, rng.integers(4, 16)).tolist()
        negatives = {}
        for i in range(10):
            place = rng.integers(len(phrase))
            negatives[str(i)] = ' '.join([*phrase[:place], str(rng.choice(words)), *phrase[place + 1 :]])
        x1, y1 = rng.random(2) * 0.5
        text = ' '.join(phrase)
        bbox = [x1, y1, x1 + 0.4, y1 + 0.4, 0.9]
        regions.append(dict(bbox=bbox, short_expr=text, long_expr=text, flag_short_neg=1, short_expr_negs=negatives))
    caption = ' '.join(rng.choice(words, rng.integers(60, 201)).tolist()) + '.'
    short = ' '.join(rng.choice(words, 10).tolist())
    return dict(f_path=name, caption=caption, short_caption=short, bbox_info=regions)
