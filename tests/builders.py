"""Small models, samples and files that several tests share, and the recorded numbers of the official FG-CLIP.

`tests/data/fgclip_v1_tiny` was written by the official FG-CLIP v1 code on a small random model: its checkpoint, inputs
and outputs by name (`reference.safetensors`), losses and gradients (`losses.json`), and six training records.
"""

import json
import tarfile
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fgdet.models.fg_clip import FGCLIP
from fgdet.models.pretrainers.fg_clip_pretrainer import FGCLIPPretrainer
from fgdet.registry import MODELS
from fgdet.structures.region_text_sample import RegionTextSample

ROOT = Path(__file__).parents[1]
OFFICIAL = Path(__file__).parent / 'data' / 'fgclip_v1_tiny'

#: Sizes of a model that runs in milliseconds: 4 x 4 patches, 2 blocks, 40 tokens.
TINY_VISION = dict(image_size=32, patch_size=8, width=32, num_layers=2, num_heads=2, mlp_width=64, output_dim=16)
TINY_TEXT = dict(vocab_size=40, width=24, num_layers=2, num_heads=2, mlp_width=48, output_dim=16, eos_token_id=39)


@cache
def official_tensors() -> dict[str, Tensor]:
    """Inputs and outputs of the official code by name."""
    return load_file(OFFICIAL / 'reference.safetensors')


def official_json(name: str) -> Any:
    """One of the recorded JSON files, for example ``'losses'``."""
    return json.loads((OFFICIAL / f'{name}.json').read_text(encoding='utf-8'))


def official_model() -> FGCLIP:
    """The official checkpoint in our model, in eval mode."""
    return FGCLIP.from_pretrained(OFFICIAL)


def tiny_clip(seed: int = 0, **changes: dict[str, Any]) -> FGCLIP:
    """A tiny random model; ``vision`` and ``text`` change its towers' sizes."""
    torch.manual_seed(seed)
    vision, text = TINY_VISION | changes.get('vision', {}), TINY_TEXT | changes.get('text', {})
    return FGCLIP(vision=vision, text=text)


def write_small_clip(folder: Path, seed: int = 0) -> FGCLIP:
    """A random model with CLIP's tokens, so that words can be given, and its folder."""
    torch.manual_seed(seed)
    tower = dict(width=16, num_layers=2, num_heads=2, mlp_width=32, output_dim=16)
    model = FGCLIP(vision=dict(tower, image_size=32, patch_size=8), text=dict(tower)).eval()
    model.save_pretrained(folder)
    return model


def tiny_pretrainer(regions: bool = True, **changes: Any) -> FGCLIPPretrainer:
    """A tiny random model with the losses of stage 2, or of stage 1 where ``regions`` is False."""
    torch.manual_seed(0)
    config = dict(
        type='fgdet.FGCLIPPretrainer',
        clip=dict(type='fgdet.FGCLIP', vision=TINY_VISION, text=TINY_TEXT),
        global_loss=dict(type='fgdet.ImageTextContrastiveLoss'),
        **changes,
    )
    if regions:
        config['region_loss'] = dict(type='fgdet.RegionTextContrastiveLoss')
        config['hard_negative_loss'] = dict(type='fgdet.HardNegativeLoss')
    return MODELS.build(config)


def random_ids(rows: int, length: int, seed: int = 0) -> Tensor:
    """(rows, length) token ids of the tiny vocabulary: a start mark, 1 to length - 2 words, end marks to the end."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((rows, length), 39)
    ids[:, 0] = 38
    for row in ids:
        words = int(torch.randint(1, length - 1, (1,), generator=generator))
        row[1 : 1 + words] = torch.randint(0, 38, (words,), generator=generator)
    return ids


def region_sample(num_negatives: Sequence[int] = (2, 0, 3), seed: int = 0, side: int = 32) -> RegionTextSample:
    """A sample with one box for each entry of ``num_negatives``, which says how many negatives it has."""
    generator = torch.Generator().manual_seed(seed)
    groups = [1 + n for n in num_negatives if n]
    sample = RegionTextSample(metainfo=dict(key=f'sample{seed}', skipped=()))
    sample.long_ids = random_ids(1, 248, 10 * seed + 1)[0]
    sample.short_ids = random_ids(1, 77, 10 * seed + 2)[0]
    corner = torch.rand(len(num_negatives), 2, generator=generator) * side / 2
    sample.boxes = torch.cat([corner, corner + 2 + torch.rand(corner.shape, generator=generator) * (side / 2 - 2)], 1)
    sample.region_ids = random_ids(len(num_negatives), 77, 10 * seed + 3)
    sample.hard_regions = torch.tensor([i for i, n in enumerate(num_negatives) if n], dtype=torch.int64)
    sample.hard_ids = random_ids(sum(groups), 77, 10 * seed + 4)
    sample.hard_sizes = torch.tensor(groups, dtype=torch.int64)
    return sample


def region_batch(*negatives: Sequence[int], seed: int = 0, side: int = 32) -> dict[str, Any]:
    """A batch as the data loader gives it, one image for each entry of ``negatives`` (see :func:`region_sample`)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, side, side)
    return dict(
        inputs=[torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in negatives],
        data_samples=[region_sample(n, seed=100 * seed + i, side=side) for i, n in enumerate(negatives)],
    )


def write_image(path: Path, size: tuple[int, int] = (24, 16), seed: int = 0) -> Path:
    """A PNG or JPEG of random pixels, ``size`` as (width, height); folders are made."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8, generator=generator)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy()).save(path)
    return path


def record(
    f_path: str = 'good.png', *, regions: Sequence[dict[str, Any]] | None = None, **fields: Any
) -> dict[str, Any]:
    """A FineHARD-style record; ``fields`` replace or add."""
    if regions is None:
        regions = [region()]
    entry = dict(f_path=f_path, caption='A red mug on a table.', short_caption='a red mug', bbox_info=list(regions))
    return entry | fields


def region(bbox: Any = (0.25, 0.25, 0.75, 1.0, 0.9), **fields: Any) -> dict[str, Any]:
    """A record's region with two negatives; ``fields`` replace or add."""
    entry = dict(
        bbox=list(bbox) if isinstance(bbox, tuple) else bbox,
        short_expr='red mug',
        long_expr='a red mug with a thin handle',
        flag_short_neg=1,
        short_expr_negs={'0': 'blue mug', '1': 'red plate'},
    )
    return entry | fields


def write_shard(path: Path, members: Iterable[tuple[str, bytes | dict[str, Any]]]) -> Path:
    """A tar of these members; a record is written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w') as tar:
        for name, content in members:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return path


def shard_members(keys: Iterable[Any], size: tuple[int, int] = (6, 4)) -> list[tuple[str, bytes | dict[str, Any]]]:
    """A one-coloured PNG and a record for each key; the caption is the key."""
    members: list[tuple[str, bytes | dict[str, Any]]] = []
    for number, key in enumerate(keys):
        image = BytesIO()
        Image.new('RGB', size, (number % 256, 0, 0)).save(image, 'PNG')
        members += [(f'{key}.png', image.getvalue()), (f'{key}.json', record(f'{key}.png', caption=str(key)))]
    return members


def write_records(path: Path, entries: Sequence[dict[str, Any] | str]) -> Path:
    """Records one a line; a string is written as it is."""
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path
