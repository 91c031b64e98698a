"""A detector as an ONNX graph that needs neither Python nor fgdet."""

import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from fgdet.apis.detection import Detector
from fgdet.apis.export_check import BOX_TOLERANCE, MAX_UNMATCHED, SCORE_TOLERANCE, compare
from fgdet.models.classifiers.linear_classifier import LinearClassifier
from fgdet.models.detectors.open_vocabulary_dino import OpenVocabularyDINO
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.models.detectors.open_vocabulary_single_stage import OpenVocabularySingleStage
from fgdet.models.export.dino import ExportableDINO
from fgdet.models.export.one_stage import ExportableOneStage
from fgdet.models.export.suppression import onnx_translations
from fgdet.models.export.two_stage import ExportableTwoStage
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes
from fgdet.version import __version__

#: ONNX's operator set: NonMaxSuppression, GridSample and RoiAlign with half pixels (16) and cubic Resize are all in it.
OPSET = 18
#: The kinds of detector that can be exported.
EXPORTABLE: dict[type, type] = {
    OpenVocabularyRCNN: ExportableTwoStage,
    OpenVocabularySingleStage: ExportableOneStage,
    OpenVocabularyDINO: ExportableDINO,
}
#: A file of protobuf holds no more.
MAX_BYTES = 2**31 - 1


def export_onnx(
    detector: Detector, path: str | Path, embeddings_input: bool = False, num_checked: int = 3
) -> dict[str, Any]:
    """Write a detector as an ONNX graph of dynamic batch and size, and compare the two.

    The graph takes ``images`` (B, 3, H, W) float32 RGB in 0..255, already resized, padded on the right and below with
    ``mean`` so that ``multiple_of`` divides H and W, and ``sizes`` (B, 2) int64, height and width of each without its
    padding; with ``embeddings_input`` also ``embeddings`` (K, d) float32 of length 1 and ``is_base`` (K,) bool, True
    for classes with boxes in training, see :func:`class_inputs`. It gives ``boxes`` (B, M, 4) xyxy in pixels of its
    input, ``scores`` (B, M) from the highest on, ``labels`` (B, M) and, of a detector with masks, ``masks``
    (B, M, h, w) in 0..1, each over its box; where an image has fewer than M detections, the other scores are -1.

    Without ``embeddings_input`` the vocabulary of this moment is baked in, with all that stands against it (see
    :meth:`Detector.set_vocabulary`); a graph whose classes are an input has no negative prompts. The graph's metadata
    hold ``names`` and ``thresholds`` of a vocabulary that is baked in, ``multiple_of``, ``opset``, the test pipeline's
    ``resize`` (``scale`` (w, h) and ``keep_ratio``, as mmdet's), ``mean`` and ``std`` of RGB in 0..255, with which the
    graph itself normalises, and ``fgdet``, all in JSON.

    Args:
        detector: of a kind in ``EXPORTABLE``, on any device.
        path: the file to write; it appears whole or not at all.
        embeddings_input: the classes are an input, of any number.
        num_checked: random images of various sizes, on which onnxruntime is compared with torch where it is installed.

    Returns:
        ``path``, ``bytes``, ``opset``, ``inputs``, ``outputs``, ``multiple_of``, ``names`` (how many; None for an
        input) and what :func:`~fgdet.apis.export_check.compare` gives.

    Raises:
        UserError: this kind of detector or setting cannot be exported, onnx or onnxscript is missing, ``path`` is a
            folder, the graph would be larger than 2 GiB or does not give what torch gives.
    """
    _check(detector.model, path, embeddings_input)
    with _ready(detector.model) as model:
        model.use(Vocabulary(detector.vocabulary.names) if embeddings_input else detector.vocabulary)
        kind = next(EXPORTABLE[each] for each in EXPORTABLE if isinstance(model, each))
        graph = Graph(kind(model), model, embeddings_input).eval()
        program = _trace(graph)
        program.model.metadata_props.update(_metadata(detector, graph))
        size = sum(each.const_value.nbytes for each in program.model.graph.initializers.values())
        if size > MAX_BYTES:
            raise UserError(f'export: weights of {size / 2**30:.1f} GiB; an ONNX file holds 2')
        data = program.model_proto.SerializeToString()
        report: dict[str, Any] = {'path': str(path), 'bytes': len(data), 'opset': OPSET}
        report |= {'inputs': list(graph.example()), 'outputs': list(graph.exportable.outputs)}
        report |= {'multiple_of': graph.multiple_of, 'names': None if embeddings_input else len(detector.vocabulary)}
        report |= compare(graph, data, num_checked)
    if report.get('unmatched', 0) > MAX_UNMATCHED * report.get('detections', 0):
        raise UserError(
            f'export: onnxruntime does not give {report["unmatched"]} of {report["detections"]} detections of torch '
            f'within {BOX_TOLERANCE} px and scores of {SCORE_TOLERANCE}; nothing was written'
        )
    write_bytes(path, data)
    return report


def class_inputs(detector: Detector) -> dict[str, np.ndarray]:
    """What a graph that was written with ``embeddings_input`` takes beside images, for the detector's vocabulary.

    Returns:
        ``embeddings`` (K, d) float32 and ``is_base`` (K,) bool; negative prompts are left out.
    """
    names = detector.vocabulary.names
    base = set(detector.model.training_vocabulary.base)
    embeddings = detector.model.class_embeddings(detector.vocabulary)[: len(names)]
    return {'embeddings': embeddings.float().cpu().numpy(), 'is_base': np.array([name in base for name in names])}


class Graph(nn.Module):
    """Normalisation, the detector, and classes as an input where they are wanted.

    Args:
        exportable: the detector as a function of tensors.
        model: the detector.
        takes_classes: whether the classes are an input.
    """

    mean: Tensor
    std: Tensor
    exportable: Any

    def __init__(self, exportable: nn.Module, model: Any, takes_classes: bool) -> None:
        super().__init__()
        self.exportable = exportable
        preprocessor = model.data_preprocessor
        self.register_buffer('mean', preprocessor.mean.reshape(1, 3, 1, 1).clone())
        self.register_buffer('std', preprocessor.std.reshape(1, 3, 1, 1).clone())
        self.multiple_of = math.lcm(int(preprocessor.pad_size_divisor), model.backbone.visual.patch_size)
        self.takes_classes = takes_classes
        buffers = {name for name, _ in exportable.named_buffers(remove_duplicate=False)}
        self._embeddings = sorted(name for name in buffers if name.endswith('.class_embeddings'))
        self._masks = sorted(name for name in buffers if name.endswith('.is_trained'))

    def forward(
        self, images: Tensor, sizes: Tensor, embeddings: Tensor | None = None, is_base: Tensor | None = None
    ) -> Any:
        """See :func:`export_onnx`."""
        pixels = (images - self.mean) / self.std
        if embeddings is None:
            return self.exportable(pixels, sizes)
        assert is_base is not None
        given = dict.fromkeys(self._embeddings, embeddings) | dict.fromkeys(self._masks, is_base)
        return torch.func.functional_call(self.exportable, given, (pixels, sizes), tie_weights=False)

    def example(self, rows: int = 5, columns: int = 3) -> dict[str, Tensor]:
        """Two images of smooth noise, one of them padded, in so many times ``multiple_of`` pixels. All lengths are
        different, so that none is taken for another."""
        coarse = 255 * torch.rand(2, 3, rows * 2, columns * 2)
        height, width = rows * self.multiple_of, columns * self.multiple_of
        images = nn.functional.interpolate(coarse, size=(height, width), mode='bilinear')
        sizes = torch.tensor([[height, width], [height - self.multiple_of // 2, width - self.multiple_of // 3]])
        images[1] = torch.where(_is_outside(sizes[1], height, width), self.mean[0], images[1])
        inputs = {'images': images, 'sizes': sizes}
        if not self.takes_classes:
            return inputs
        dimension = self.exportable.get_buffer(self._embeddings[0]).shape[1]
        embeddings = nn.functional.normalize(torch.randn(7, dimension), dim=1)
        return inputs | {'embeddings': embeddings, 'is_base': torch.arange(7) % 2 == 0}

    def dynamic_shapes(self) -> dict[str, Any]:
        """For :func:`torch.export.export`."""
        height, width = (self.multiple_of * Dim(name, min=1, max=512) for name in ('rows', 'columns'))
        batch = Dim('batch', min=1, max=512)
        shapes: dict[str, Any] = {'images': {0: batch, 2: height, 3: width}, 'sizes': {0: batch}}
        if self.takes_classes:
            classes = Dim('classes', min=1, max=100_000)
            shapes |= {'embeddings': {0: classes}, 'is_base': {0: classes}}
        return shapes


def _is_outside(size: Tensor, height: int, width: int) -> Tensor:
    """(H, W) bool, True right of and below an image of that height and width."""
    return (torch.arange(height)[:, None] >= size[0]) | (torch.arange(width) >= size[1])


def _check(model: Any, path: str | Path, embeddings_input: bool) -> None:
    """Find what cannot be exported before any work is done.

    Raises:
        UserError: see :func:`export_onnx`.
    """
    for package in ('onnx', 'onnxscript'):
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(f'export: the package {package} is missing; pip install "fgdet[onnx]"') from error
    if Path(path).is_dir():
        raise UserError(f'export {path}: it is a folder; give the .onnx file to write')
    existing = next(folder for folder in Path(path).absolute().parents if folder.exists())
    if not existing.is_dir():
        raise UserError(f'export {path}: {existing} is no folder')
    if not any(isinstance(model, kind) for kind in EXPORTABLE):
        known = ', '.join(kind.__name__ for kind in EXPORTABLE)
        raise UserError(f'export: a {type(model).__name__} cannot be exported; those that can: {known}')
    if embeddings_input and any(isinstance(module, LinearClassifier) for module in model.modules()):
        raise UserError('export: the classes of a LinearClassifier cannot be an input; its names are fixed')


@contextmanager
def _ready(model: Any) -> Iterator[Any]:
    """The model on the CPU, its backbone computing everything anew: files have no place in a graph."""
    device, cache = next(model.parameters()).device, model.backbone.feature_cache
    model.backbone.feature_cache = None
    try:
        yield model.cpu()
    finally:
        model.to(device)
        model.backbone.feature_cache = cache


def _trace(graph: Graph) -> Any:
    inputs = tuple(graph.example().values())
    with _quiet(), torch.no_grad():
        graph(*inputs)  # a setting that cannot be exported is told here, in one line
        program = torch.onnx.export(
            graph,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.example()),
            output_names=list(graph.exportable.outputs),
            dynamic_shapes=graph.dynamic_shapes(),
            custom_translation_table=onnx_translations(),
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        node.metadata_props.clear()  # where each came from, with paths of this machine
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about its own workings."""
    loggers = [logging.getLogger(name) for name in ('onnx_ir', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _metadata(detector: Detector, graph: Graph) -> dict[str, str]:
    """See :func:`export_onnx`."""
    content: dict[str, Any] = {'fgdet': __version__, 'opset': OPSET, 'multiple_of': graph.multiple_of}
    content |= {'mean': graph.mean.flatten().tolist(), 'std': graph.std.flatten().tolist()}
    for step in detector.pipeline:
        if step['type'].split('.')[-1] == 'Resize':
            content['resize'] = {'scale': list(step['scale']), 'keep_ratio': step.get('keep_ratio', False)}
    if not graph.takes_classes:
        vocabulary = detector.vocabulary
        content |= {'names': list(vocabulary.names), 'thresholds': dict(vocabulary.thresholds)}
    return {key: json.dumps(value, ensure_ascii=False) for key, value in content.items()}
