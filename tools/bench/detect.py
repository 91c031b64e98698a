"""A whole detector: images a second by size, batch and vocabulary, against mmdet's own loop; time by part (6 minutes).

The weights are random, which changes no product of matrices. It would change how many pairs of a box and a name pass
``score_thr`` and are to be suppressed: a trained detector takes most regions for background and lets hundreds pass, a
random one lets all or none, by the number of names. So every case has the ``score_thr`` that ``CANDIDATES`` pairs pass,
whatever the vocabulary (DINO keeps its own: it suppresses nothing and ranks all pairs). The vectors of names are
random too, but for the change of a vocabulary, which encodes them with the text tower.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from limits import machine_limits, traffic, write_profile
from mmdet.apis import inference_detector
from mmengine.config import Config
from mmengine.registry import init_default_scope
from timing import alternate, num_threads, record, versions
from torch import Tensor, nn

from fgdet.apis.detection import Detector
from fgdet.apis.detector_files import choose_device
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.models.post_processing.negative_prompts import without_negatives
from fgdet.models.post_processing.region_scores import join_scores
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.configs import config_file, read_config
from fgdet.utils.fingerprint import state_fingerprint

CONFIG = 'ov_coco/fvit_vit_b16_640.py'
#: Measured at one size, with one image.
OTHERS = ('ov_coco/atss_vit_b16_640.py', 'ov_coco/dino_vit_b16_640.py')
#: Sides in pixels of the square that images are resized into; the last is that of the vocabularies and of ``OTHERS``.
SIDES = (320, 640)
BATCHES = (1, 2)
VOCABULARIES = (1, 1203, 20_000)
#: Pairs of a box and a name above the score threshold.
CANDIDATES = 1000
#: Names of a vocabulary that changes.
CHANGED = 1203
#: Parts of a detector whose time is told apart, by attribute path; what stands within another is not counted there.
PARTS = {
    'tower': 'backbone',
    'pyramid': 'neck',
    'proposals': 'rpn_head',
    'second stage': 'roi_head',
    'encoder': 'encoder',
    'decoder': 'decoder',
    'head': 'bbox_head',
}


def run(
    repeats: int = 3,
    threads: int | None = None,
    out: str | None = None,
    config: str = CONFIG,
    others: Sequence[str] = OTHERS,
    sides: Sequence[int] = SIDES,
    batches: Sequence[int] = BATCHES,
    vocabularies: Sequence[int] = VOCABULARIES,
) -> dict[str, Any]:
    """Measure every case on pictures of noise, on the GPU if there is one.

    Args:
        repeats: pairs of alternating runs for each case.
        threads: threads that torch computes with; None: its own choice.
        out: folder for ``profile.txt``, torch's table of the operators that take longest.
        config: two-stage detector below ``configs``.
        others: further detectors, at the last size with one image.
        sides: sizes.
        batches: images that pass together; at sizes before the last the first of them only.
        vocabularies: numbers of names, against 80.

    Returns:
        The record of the last size and one image at 80 names against mmdet's ``inference_detector`` on the same files,
        with all cases as ``cases``: sizes and batches against that loop, ``max_error`` being the largest difference of
        a box in pixels or of a score; and vocabularies against 80 names, where ``ratio`` is the time with 80 over the
        time with that many, ``settings.time_over_80_names`` its inverse, and ``max_error`` is 0, as nothing is
        compared. ``settings`` has images a second, the shares of the time, and ``limits``: what the machine was
        measured to do at most, and how much of it this was. ``vocabulary_change`` has the milliseconds a name, and
        ``text`` is all of it for a person.
    """
    with num_threads(threads), tempfile.TemporaryDirectory() as folder, torch.no_grad():
        files = _pictures(Path(folder), max(batches))
        limits = machine_limits(choose_device('auto'))
        cases = []
        for side in sides:
            detector = _detector(config, side)
            counts = batches if side == sides[-1] else batches[:1]
            cases += [_against_mmdet(detector, config, side, files[:count], repeats, limits) for count in counts]
        headline = cases[-len(batches)]
        cases += [_against_80_names(detector, count, files[0], repeats) for count in vocabularies]
        if out is not None:
            write_profile(Path(out) / 'profile.txt', partial(detector.detect, files[0], 0.0))
        del detector
        for other in others:
            cases.append(_against_mmdet(_detector(other, sides[-1]), other, sides[-1], files[:1], repeats, limits))
        change = _vocabulary_change(config, folder)
    rest = {'vocabulary_change': change, 'text': _text(cases, change), 'versions': versions()}
    return {**headline, 'name': 'detect', 'cases': cases, **rest}


def _detector(config: str, side: int) -> Detector:
    """A detector with random weights and 80 names for images that are resized to ``side``."""
    init_default_scope('mmdet')
    cfg = _without_files(config)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(choose_device('auto')).requires_grad_(False)
    model.class_embeddings = _RandomEmbeddings(cfg.model.class_embeddings.text_encoder.output_dim, model)
    pipeline = cfg.test_dataloader.dataset.pipeline
    for step in pipeline:
        if step['type'].split('.')[-1] == 'Resize':
            step['scale'] = (side, side)
    model.cfg = Config(dict(test_dataloader=cfg.test_dataloader))  # where mmdet's loop looks for its pipeline
    return Detector(model, [step for step in pipeline if 'Load' not in step['type']])


def _without_files(config: str) -> Config:
    """A config whose towers have no weights to load."""
    cfg = read_config(config_file(config))
    for part in (cfg.model.backbone, cfg.model.class_embeddings):
        part.checkpoint = None
    return cfg


class _RandomEmbeddings(nn.Module):
    """Stands in for the text tower."""

    def __init__(self, dimension: int, model: nn.Module) -> None:
        super().__init__()
        self.dimension = dimension
        self.device = next(model.parameters()).device
        self.kept: dict[int, Tensor] = {}

    def forward(self, vocabulary: Vocabulary) -> Tensor:
        """(K, d) of length 1, the same tensor for as many names."""
        count = len(vocabulary) + vocabulary.num_negatives
        if count not in self.kept:
            vectors = torch.randn(count, self.dimension, generator=torch.Generator().manual_seed(count))
            self.kept[count] = F.normalize(vectors, dim=1).to(self.device)
        return self.kept[count]


def _names(count: int) -> list[str]:
    return [f'thing number {i}' for i in range(count)]


def _pictures(folder: Path, count: int) -> list[str]:
    """JPEG files of 640 x 480 pixels of smooth noise."""
    files = []
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        path = folder / f'{number}.jpg'
        cv2.imwrite(str(path), cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC))
        files.append(str(path))
    return files


def _look_for(detector: Detector, count: int, file: str) -> dict[str, Any]:
    """Take so many names and the threshold that ``CANDIDATES`` pass; what happened, for the record."""
    detector.model.set_vocabulary(Vocabulary(_names(count), negatives=(), background=()))
    head = _head(detector.model)
    if not head.test_cfg.get('nms'):
        return dict(names=count, candidates=None, score_thr=head.test_cfg.get('score_thr'))
    seen: list[Any] = []
    handle = head.score_ensemble.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    detector.detect(file, 0.0)
    handle.remove()
    (regions,), is_trained, num_negatives, test_cfg = seen[0][:4]
    scores = without_negatives(
        join_scores(regions, is_trained, test_cfg.get('score_ensemble')), num_negatives
    ).flatten()
    head.test_cfg.score_thr = float(scores.topk(min(CANDIDATES, len(scores) - 1) + 1).values[-1])
    return dict(
        names=count, candidates=int((scores > head.test_cfg.score_thr).sum()), score_thr=head.test_cfg.score_thr
    )


def _head(model: Any) -> Any:
    return getattr(model, 'roi_head', None) or model.bbox_head


def _against_mmdet(
    detector: Detector, config: str, side: int, files: Sequence[str], repeats: int, limits: dict[str, float]
) -> dict[str, Any]:
    detector.settings = InferenceSettings(batch_size=len(files))
    settings = dict(config=config, side=side, batch=len(files), **_look_for(detector, 80, files[0]))

    def ours() -> list[Any]:
        return detector.detect(files, score_threshold=0.0)

    def theirs() -> list[Any]:
        return inference_detector(detector.model, list(files))

    with _timed_parts(detector.model) as seconds:
        start = time.perf_counter()
        found = ours()
        whole = time.perf_counter() - start
    shares = {name: value / whole for name, value in seconds.items()}
    settings['shares'] = shares | {'reading, resizing and the rest': 1 - sum(shares.values())}
    settings['detections'] = sum(map(len, found))
    error = 0.0
    for image, sample in zip(found, theirs(), strict=True):
        expected = sample.pred_instances.cpu().numpy()
        for one, other in ((image.boxes, expected.bboxes), (image.scores, expected.scores)):
            error = max(error, float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else np.inf)
    comparison = alternate(ours, theirs, repeats)
    settings['images_per_second'] = len(files) / float(np.median(comparison.ours))
    settings['limits'] = traffic(ours, float(np.median(comparison.ours)), limits)
    kind = type(detector.model).__name__.removeprefix('OpenVocabulary')
    return record(f'{kind} {side} px, {len(files)} images, mmdet', comparison, error, settings)


def _against_80_names(detector: Detector, count: int, file: str, repeats: int) -> dict[str, Any]:
    detector.settings = InferenceSettings()

    def with_names(number: int) -> tuple[Callable[[], object], dict[str, Any]]:
        chosen = _look_for(detector, number, file)
        vocabulary = detector.vocabulary

        def detect() -> object:
            detector.model.set_vocabulary(vocabulary)  # its embeddings are there
            _head(detector.model).test_cfg.score_thr = chosen['score_thr']
            return detector.detect(file, score_threshold=0.0)

        return detect, chosen

    (many, settings), (eighty, base) = with_names(count), with_names(80)
    comparison = alternate(many, eighty, repeats)
    settings['candidates_of_80_names'] = base['candidates']
    settings['time_over_80_names'] = float(np.median([1 / ratio for ratio in comparison.ratios]))
    return record(f'{count} names, 80', comparison, 0.0, settings)


def _vocabulary_change(config: str, folder: str) -> dict[str, float]:
    """Milliseconds a name in one template: encoded; kept in memory; kept on disk, for a process that starts. Seconds
    that the process needs once, to know its text tower again."""
    embeddings = _text_tower(config, folder)
    many, one = _vocabulary(CHANGED), _vocabulary(1)
    result = {'names': float(CHANGED), 'new_ms': _milliseconds(embeddings, many)}
    embeddings(one)
    result['in_memory_ms'] = _milliseconds(embeddings, many)
    context = multiprocessing.get_context('spawn')
    with context.Pool(1) as pool:
        return result | pool.apply(_from_disk, (config, folder, state_fingerprint(embeddings)))


def _from_disk(config: str, folder: str, expected: str) -> dict[str, float]:
    embeddings = _text_tower(config, folder)
    assert state_fingerprint(embeddings) == expected  # the same weights, or nothing would be found
    embeddings.text.forward = None  # may not be asked
    start = time.perf_counter()
    embeddings(_vocabulary(1))
    seconds = time.perf_counter() - start
    return {'from_disk_ms': _milliseconds(embeddings, _vocabulary(CHANGED)), 'start_seconds': seconds}


def _text_tower(config: str, folder: str) -> Any:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(dict(_without_files(config).model.class_embeddings, cache_dir=folder)).eval()


def _vocabulary(count: int) -> Vocabulary:
    return Vocabulary(_names(count), templates=['a photo of a {}.'])


def _milliseconds(embeddings: Any, vocabulary: Vocabulary) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        embeddings(vocabulary)
    return 1e3 * (time.perf_counter() - start) / len(vocabulary)


@contextmanager
def _timed_parts(model: nn.Module) -> Iterator[dict[str, float]]:
    """Seconds in each of ``PARTS`` inside the block, those of a part within another left out there."""
    seconds: dict[str, float] = {}
    inner: list[float] = []  # of the parts that are running, what those within them took
    originals = []

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measure(*args: Any, **kwargs: Any) -> Any:
            inner.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                whole = time.perf_counter() - start
                seconds[name] = seconds.get(name, 0.0) + whole - inner.pop()
                if inner:
                    inner[-1] += whole

        return measure

    parts: list[Any] = [(name, getattr(model, attribute, None)) for name, attribute in PARTS.items()]
    parts.append(('suppression', _head(model).score_ensemble))
    for name, part in parts:
        if part is not None:
            method = 'predict' if hasattr(part, 'predict') else 'forward'
            originals.append((part, method))
            object.__setattr__(part, method, timed(name, getattr(part, method)))
    try:
        yield seconds
    finally:
        for part, method in originals:
            object.__delattr__(part, method)


def _text(cases: Sequence[dict[str, Any]], change: dict[str, float]) -> str:
    """What was measured, one line each."""
    lines = []
    for case in cases:
        settings, name = case['settings'], case['name']
        if 'shares' in settings:
            shares = ', '.join(f'{part} {100 * share:.0f} %' for part, share in settings['shares'].items())
            limits = settings['limits']
            lines += [
                f'{name}: {settings["images_per_second"]:.2f} images/s, {case["ratio"]:.2f}x, max error '
                f'{case["max_error"]:.1e}',
                f'    {shares}',
                f'    {limits["gflops"]:.0f} GFLOP/s, {100 * limits["share_of_gflops"]:.0f} % of a large product; '
                f'{limits["gb_per_second"]:.1f} GB/s, {100 * limits["share_of_gb_per_second"]:.0f} % of a copy',
            ]
        else:
            seconds = case['ours_seconds']
            lines.append(f'{name}: {settings["time_over_80_names"]:.2f} times the time, {seconds:.2f} s an image')
    lines.append(
        f'{change["names"]:.0f} other names, ms a name: {change["new_ms"]:.2f} encoded, {change["in_memory_ms"]:.4f} '
        f'from memory, {change["from_disk_ms"]:.4f} from disk (and {change["start_seconds"]:.2f} s once a start)'
    )
    return '\n'.join(lines) + '\n'
