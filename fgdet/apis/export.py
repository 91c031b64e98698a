"""A detector as an ONNX graph that needs neither Python nor fgdet."""

import json
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
from fgdet.models.detectors.open_vocabulary_rcnn import OpenVocabularyRCNN
from fgdet.models.detectors.open_vocabulary_single_stage import OpenVocabularySingleStage
from fgdet.models.export.one_stage import ExportableOneStage
from fgdet.models.export.suppression import onnx_translations
from fgdet.models.export.two_stage import ExportableTwoStage
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from fgdet.utils.files import write_bytes
from fgdet.version import __version__

#: ONNX's operator set: NonMaxSuppression, RoiAlign with half pixels (16) and cubic Resize are all in it.
OPSET = 18
#: The kinds of detector that can be exported.
EXPORTABLE = {OpenVocabularyRCNN: ExportableTwoStage, OpenVocabularySingleStage: ExportableOneStage}
#: Largest difference from torch that an export may show: boxes in pixels, and scores.
BOX_TOLERANCE, SCORE_TOLERANCE = 0.5, 1e-3


def export_onnx(
    detector: Detector, path: str | Path, embeddings_input: bool = False, num_checked: int = 3
) -> dict[str, Any]:
    """Write a detector as an ONNX graph of dynamic batch and size, and compare the two.

    The graph takes ``images`` (B, 3, H, W) float32 RGB in 0..255, already resized, H and W multiples of
    ``multiple_of``; with ``embeddings_input`` also ``embeddings`` (K, d) float32 of length 1 and ``is_base`` (K,) bool,
    True for classes with boxes in training. It gives ``boxes`` (B, M, 4) xyxy in pixels of its input, ``scores`` (B, M)
    from the highest on and ``labels`` (B, M); where an image has fewer than M detections, the other scores are -1.
    An image's own pixels should fill the input: what is padded counts as image.

    Without ``embeddings_input`` the vocabulary of this moment is baked in, with all that stands against it (see
    :meth:`Detector.set_vocabulary`); a graph whose classes are an input has no negative prompts. The graph's metadata
    hold ``names`` (JSON), ``thresholds`` (JSON), ``multiple_of``, ``opset`` and ``fgdet``.

    Args:
        detector: two-stage (masks are left out) or one-stage.
        path: the file to write; it appears whole or not at all.
        embeddings_input: the classes are an input, of any number.
        num_checked: random images of various sizes, on which onnxruntime is compared with torch where it is installed.

    Returns:
        ``path``, ``bytes``, ``opset``, ``inputs``, ``multiple_of``, ``names`` (how many; None for an input) and, where
        it was compared, ``box_error`` in pixels, ``score_error`` and ``checked``.

    Raises:
        UserError: this kind of detector or setting cannot be exported, onnx or onnxscript is missing, or the graph does
            not give what torch gives.
    """
    _require('onnx', 'onnxscript')
    model = detector.model
    kinds = [exportable for kind, exportable in EXPORTABLE.items() if isinstance(model, kind)]
    if not kinds:
        known = ', '.join(kind.__name__ for kind in EXPORTABLE)
        raise UserError(f'export: a {type(model).__name__} cannot be exported; those that can: {known}')
    model.use(Vocabulary(detector.vocabulary.names) if embeddings_input else detector.vocabulary)
    graph = _Graph(kinds[0](model), model, embeddings_input).cpu().eval()
    inputs = graph.example()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=['boxes', 'scores', 'labels'],
            dynamic_shapes=graph.dynamic_shapes(),
            custom_translation_table=onnx_translations(),
            verbose=False,
        )
    names = None if embeddings_input else list(detector.vocabulary.names)
    metadata = {'fgdet': __version__, 'opset': OPSET, 'multiple_of': graph.multiple_of}
    if names is not None:
        metadata |= {'names': json.dumps(names), 'thresholds': json.dumps(dict(detector.vocabulary.thresholds))}
    program.model.metadata_props.update({key: str(value) for key, value in metadata.items()})
    data = program.model_proto.SerializeToString()
    report = {'path': str(path), 'bytes': len(data), 'opset': OPSET, 'inputs': list(inputs)}
    report |= {'multiple_of': graph.multiple_of, 'names': None if names is None else len(names)}
    report |= compare(graph, data, num_checked)
    if report.get('box_error', 0) > BOX_TOLERANCE or report.get('score_error', 0) > SCORE_TOLERANCE:
        raise UserError(
            f'export: onnxruntime differs from torch by {report["box_error"]:.3f} px and {report["score_error"]:.1e}; '
            'nothing was written'
        )
    write_bytes(path, data)
    return report


class _Graph(nn.Module):
    """Normalisation, the detector, and classes as an input where they are wanted."""

    mean: Tensor
    std: Tensor

    def __init__(self, exportable: nn.Module, model: Any, embeddings_input: bool) -> None:
        super().__init__()
        self.exportable = exportable
        preprocessor = model.data_preprocessor
        self.register_buffer('mean', preprocessor.mean.reshape(1, 3, 1, 1).clone())
        self.register_buffer('std', preprocessor.std.reshape(1, 3, 1, 1).clone())
        self.multiple_of = math.lcm(int(preprocessor.pad_size_divisor), model.backbone.visual.patch_size)
        buffers = {name for name, _ in exportable.named_buffers(remove_duplicate=False)}
        self.takes_classes = embeddings_input
        self.embedding_buffers = sorted(name for name in buffers if name.endswith('.class_embeddings'))
        self.mask_buffers = sorted(name for name in buffers if name.endswith('.is_trained'))

    def forward(self, images: Tensor, embeddings: Tensor | None = None, is_base: Tensor | None = None) -> Any:
        pixels = (images - self.mean) / self.std
        if embeddings is None:
            return self.exportable(pixels)
        assert is_base is not None
        given = dict.fromkeys(self.embedding_buffers, embeddings) | dict.fromkeys(self.mask_buffers, is_base)
        return torch.func.functional_call(self.exportable, given, (pixels,), tie_weights=False)

    def example(self) -> dict[str, Tensor]:
        """Inputs whose sizes are all different, so that none is taken for another."""
        images = 255 * torch.rand(2, 3, 5 * self.multiple_of, 3 * self.multiple_of)
        if not self.takes_classes:
            return {'images': images}
        dimension = self.exportable.get_buffer(self.embedding_buffers[0]).shape[1]
        embeddings = nn.functional.normalize(torch.randn(7, dimension), dim=1)
        return {'images': images, 'embeddings': embeddings, 'is_base': torch.arange(7) % 2 == 0}

    def dynamic_shapes(self) -> dict[str, Any]:
        height, width = (self.multiple_of * Dim(name, min=1, max=512) for name in ('rows', 'columns'))
        shapes: dict[str, Any] = {'images': {0: Dim('batch', min=1, max=512), 2: height, 3: width}}
        if self.takes_classes:
            classes = Dim('classes', min=1, max=100_000)
            shapes |= {'embeddings': {0: classes}, 'is_base': {0: classes}}
        return shapes


def compare(graph: nn.Module, data: bytes, count: int) -> dict[str, Any]:
    """Run an exported graph and its origin on random images of various sizes.

    Args:
        graph: the origin, see :class:`_Graph`.
        data: the ONNX file.
        count: images.

    Returns:
        ``checked``, ``box_error`` in pixels and ``score_error``, the largest; only ``checked`` = 0 without onnxruntime.
        Detections are compared one by one, each with the same place in the ranking, or, where scores are nearly equal,
        with its twin.
    """
    try:
        import onnxruntime
    except ImportError:
        count = 0
    if not count:
        return {'checked': 0}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
    errors = []
    for number in range(count):
        inputs = _random_inputs(graph, number)
        with torch.no_grad():
            expected = [each.numpy() for each in graph(**inputs)]
        found = session.run(None, {name: each.numpy() for name, each in inputs.items()})
        errors.append(_difference(found, expected))
    boxes, scores = (max(column) for column in zip(*errors, strict=True))
    return {'checked': count, 'box_error': boxes, 'score_error': scores}


def _random_inputs(graph: Any, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randint(2, 8, (2,), generator=generator).tolist()
    coarse = 255 * torch.rand(1, 3, rows * 2, columns * 2, generator=generator)
    size = (rows * graph.multiple_of, columns * graph.multiple_of)
    return graph.example() | {'images': nn.functional.interpolate(coarse, size=size, mode='bilinear')}


def _difference(found: list[np.ndarray], expected: list[np.ndarray]) -> tuple[float, float]:
    """Largest difference of boxes and scores; a detection's twin has its label and is nearest by box."""
    boxes, scores, labels = (each[0] for each in found)
    real = expected[1][0] >= 0
    score_error = float(np.abs(scores - expected[1][0]).max(initial=0.0))
    box_error = 0.0
    for box, score, label in zip(*(each[0][real] for each in (expected[0], expected[1], expected[2])), strict=True):
        same = (labels == label) & (np.abs(scores - score) <= SCORE_TOLERANCE)
        distances = np.abs(boxes[same] - box).max(axis=1)
        box_error = max(box_error, float(distances.min(initial=np.inf)))
    return box_error, score_error


def _require(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(f'export: the package {package} is missing; pip install "fgdet[onnx]"') from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes about its own workings."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield
