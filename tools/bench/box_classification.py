"""Box classification over a data set: every image encoded once, in batches, over the loop that encodes it for each box.

Theirs is the loop of FG-CLIP's official evaluation: a file is decoded once; then for each of its boxes, one at a time,
the image is resized and normalised again, passes all blocks of the tower in fp32 with a batch of 1 and the last block
a second time without attention, is pooled by ``torchvision.ops.roi_align``, and softmax and ``topk`` name the box. It
runs on the same modules as ours, so that fused attention and layout are the same and only the loop differs. Ours is
``fgdet evaluate box-classification``. The names' features are given to both: they are encoded once for a data set.

Where the tower takes all the time and computes at the same rate for one image as for several, as on one CPU core, a
loop that encodes once can gain no more than the number of boxes and the block that is saved: ``settings`` has that
limit, counted in products, and the seconds of each part.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from timing import alternate, num_threads, record
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import roi_align

from fgdet.apis.image_reading import read_image
from fgdet.apis.region_encoding import RegionEncoder
from fgdet.evaluation.functional.box_classification import best_classes
from fgdet.models.fg_clip import FGCLIP

NUM_CLASSES = 80
SIZE_WH = (640, 480)


class Case(NamedTuple):
    """An image tower and what it sees."""

    name: str
    width: int
    num_layers: int
    num_images: int
    boxes: int = 7  # an image, as many as COCO's have
    image_size: int = 224
    batch_size: int = 8


#: The tower of FG-CLIP's base model, the headline; and one so small that reading and resizing take their share, as they
#: do on a GPU.
CASES = (Case('ViT-B/16', 768, 12, 8), Case('small tower', 192, 4, 32))


class Data(NamedTuple):
    """JPEG files of :data:`SIZE_WH`, the boxes (N, 4) xyxy of each, and the classes' features (K, D)."""

    paths: list[Path]
    boxes: list[np.ndarray]
    class_features: np.ndarray


def run(repeats: int = 3, threads: int | None = None, cases: tuple[Case, ...] = CASES) -> dict[str, Any]:
    """Measure every case.

    Args:
        repeats: pairs of alternating runs for each case.
        threads: threads that torch computes with; None: its own choice. Two more threads read and resize ahead.
        cases: the first is the headline.

    Returns:
        The headline's record with the records of all cases as ``cases``. ``max_error`` is the largest difference of a
        logit, 100 x feature x name; in ``settings``: ``identical_ranks``, the share of boxes whose five best classes
        come in the same order, seconds an image of each part in ``profile``, and what arithmetic allows in ``limit``.
    """
    with num_threads(threads), tempfile.TemporaryDirectory() as folder:
        records = [_measure(case, repeats, Path(folder) / str(number)) for number, case in enumerate(cases)]
    return {**records[0], 'name': 'box-classification', 'cases': records}


def _measure(case: Case, repeats: int, folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    sizes = dict(width=case.width, num_layers=case.num_layers, num_heads=case.width // 64, mlp_width=4 * case.width)
    small_text = dict(vocab_size=64, eos_token_id=63, width=64, num_layers=1, num_heads=1, mlp_width=64)
    model = FGCLIP(vision=sizes | dict(image_size=case.image_size), text=small_text)
    encoder = RegionEncoder(model, batch_size=case.batch_size)
    data = _write_data(case, folder, model.visual.output_dim)
    classes = torch.from_numpy(data.class_features).to(encoder.device)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        features = list(encoder.encode(data.paths, data.boxes))
        best = [best_classes(each, data.class_features)[0] for each in features]
        return np.concatenate(features), np.concatenate(best)

    clock = Clock()
    (features, best), logits = ours(), official_loop(model, data, classes, clock)
    error = float(np.abs(100 * features @ data.class_features.T - logits).max())
    their_best = (-logits).argsort(axis=1, kind='stable')[:, : best.shape[1]]
    comparison = alternate(ours, lambda: official_loop(model, data, classes, clock), repeats)
    pixels = model.preprocess(np.zeros((*SIZE_WH[::-1], 3), np.uint8)).to(encoder.device)
    once, again = _gflop(lambda: model.encode_dense(pixels)), _gflop(lambda: _dense_twice(model, pixels))
    profile = dict(
        theirs=clock.shares((repeats + 2) * case.num_images),
        ours=_profile_ours(encoder, data),
    )
    settings = {
        **case._asdict(),
        'device': str(encoder.device),
        'identical_ranks': float((best == their_best).all(axis=1).mean()),
        'gflop_an_image': dict(ours=once, theirs=again * case.boxes),
        'limit': again * case.boxes / once,
        'profile': profile,
    }
    return record(f'{case.name}, {case.boxes} boxes an image', comparison, error, settings)


class Clock:
    """Seconds of the parts of a loop."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def shares(self, count: int) -> dict[str, float]:
        """Seconds of each part over ``count``."""
        return {part: seconds / count for part, seconds in self.seconds.items()}


@torch.no_grad()
def official_loop(model: FGCLIP, data: Data, classes: Tensor, clock: Clock) -> np.ndarray:
    """Logits (R, K), one box after the other.

    What its ``topk`` gives is not compared: in fp32 the softmax is 0 for a class that is 104 or more behind the best
    one, and which of those zeros are among the five best is left to chance.
    """
    wanted, logits = model.preprocessing, []
    grid = wanted.image_size // model.patch_size
    for path, boxes in zip(data.paths, data.boxes, strict=True):
        with clock('read'):
            image = Image.open(path).convert('RGB')
        for box in boxes:
            with clock('resize'):
                pixels = wanted.to_pixels([image]).to(classes.device)
            with clock('encode'):
                dense = _dense_twice(model, pixels)
            with clock('pool and classify'):
                cells = torch.tensor([[0.0, *(box / [*image.size, *image.size] * grid)]], dtype=torch.float32)
                feature = roi_align(dense.float(), cells.to(dense.device), 1, 1.0, -1, True)[..., 0, 0]
                similarity = 100.0 * feature @ classes.T
                similarity.softmax(dim=-1)[0].topk(5).indices.cpu()
                logits.append(similarity[0].cpu().numpy())
    return np.stack(logits)


def _dense_twice(model: FGCLIP, pixels: Tensor) -> Tensor:
    """The dense map as the official code computes it: all blocks, then the last one again without attention."""
    visual = model.visual
    tokens, size_hw = visual.embed(pixels)
    for index in range(visual.num_layers - 1):
        tokens = visual.run_block(index, tokens, size_hw)
    visual.run_block(visual.num_layers - 1, tokens, size_hw)
    return visual.dense_map(tokens, size_hw)


@torch.no_grad()
def _profile_ours(encoder: RegionEncoder, data: Data) -> dict[str, float]:
    """Seconds an image of each part, one after the other; in a run, two threads read while the tower computes."""
    clock, wanted = Clock(), encoder.preprocessing
    for start in range(0, len(data.paths), encoder.batch_size):
        some = slice(start, start + encoder.batch_size)
        with clock('read and resize'):
            images = [wanted.squash(read_image(path).pixels) for path in data.paths[some]]
        scale = wanted.image_size / np.array([*SIZE_WH, *SIZE_WH])
        boxes = [torch.from_numpy(each * scale).float().to(encoder.device) for each in data.boxes[some]]
        with clock('encode'):
            dense = encoder.model.encode_dense(wanted.to_pixels(images).to(encoder.device))
        with clock('pool and classify'):
            best_classes(encoder.model.pool_regions(dense, boxes).cpu().numpy(), data.class_features)
    return clock.shares(len(data.paths))


def _write_data(case: Case, folder: Path, dim: int) -> Data:
    """Pictures of soft shapes and fine grain, boxes of all sizes; JPEG files of about 100 kB, as photographs have."""
    random = np.random.default_rng(0)
    paths, boxes = [], []
    folder.mkdir()
    for number in range(case.num_images):
        shapes = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(shapes.resize(SIZE_WH, Image.Resampling.BICUBIC), np.float32)
        grain = random.normal(0, 8, (*SIZE_WH[::-1], 1))
        paths.append(folder / f'{number}.jpg')
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
        corners = random.uniform(0, 1, (case.boxes, 2, 2)) * SIZE_WH
        boxes.append(np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1))
    classes = random.normal(size=(NUM_CLASSES, dim)).astype(np.float32)
    return Data(paths, boxes, classes / np.linalg.norm(classes, axis=1, keepdims=True))


def _gflop(function: Callable[[], object]) -> float:
    """Products and sums of a call, in 10^9."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function()
    return counter.get_total_flops() / 1e9
