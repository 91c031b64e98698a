"""An exported detector gives in onnxruntime what the detector gives; what cannot be exported is told in one line."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from fgdet.apis import export
from fgdet.apis.detection import Detector
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.models.backbones.feature_cache import FeatureCache
from fgdet.utils.checks import UserError
from tests.detector_builders import detector_config, tiny_detector, tiny_dino, tiny_one_stage


def detector_of(model: Any) -> Detector:
    head = getattr(model, 'roi_head', None) or model.bbox_head
    head.test_cfg.score_thr = 0.0  # random weights; the best of all are compared
    pipeline = [step for step in detector_config().test_dataloader.dataset.pipeline if 'Load' not in step['type']]
    return Detector(model, pipeline, InferenceSettings(compete=False))


def predicted(detector: Detector, images: np.ndarray) -> Any:
    """Of one image (1, 3, H, W) RGB in 0..255, in pixels of it."""
    model, size = detector.model, images.shape[-2:]
    meta = dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), batch_input_shape=size)
    pixels = (torch.from_numpy(images) - model.data_preprocessor.mean) / model.data_preprocessor.std
    with torch.no_grad():
        return model.predict(pixels, [DetDataSample(metainfo=meta)])[0].pred_instances


def test_export_onnx__any_classes_as_an_input(tmp_path: Path) -> None:
    import onnxruntime

    detector = detector_of(tiny_one_stage())
    cache = detector.model.backbone.feature_cache = FeatureCache(tmp_path / 'cache')
    report = export.export_onnx(detector, tmp_path / 'm.onnx', embeddings_input=True, num_checked=0)
    assert report['names'] is None and report['inputs'] == ['images', 'sizes', 'embeddings', 'is_base']
    assert detector.model.backbone.feature_cache is cache and not (tmp_path / 'cache').exists()
    detector.model.backbone.feature_cache = None
    session = onnxruntime.InferenceSession(tmp_path / 'm.onnx')
    images = 255 * np.random.default_rng(0).random((1, 3, 48, 32), dtype=np.float32)
    for names in (['owl'], ['tree', 'a red mug', 'cat', 'lamp', 'dog']):
        detector.set_vocabulary(names)
        inputs = export.class_inputs(detector)
        assert inputs['is_base'].tolist() == [name in {'cat', 'tree'} for name in names]
        boxes, scores, labels = session.run(None, {'images': images, 'sizes': np.array([[48, 32]]), **inputs})
        expected = predicted(detector, images)
        count = len(expected)
        assert count and not (scores[0, count:] >= 0).any()
        np.testing.assert_allclose(scores[0, :count], expected.scores, atol=1e-4)
        np.testing.assert_allclose(boxes[0, :count], expected.bboxes, atol=1e-2)
        np.testing.assert_array_equal(labels[0, :count], expected.labels)


@pytest.mark.slow
@pytest.mark.parametrize('embeddings_input', [False, True])
@pytest.mark.parametrize('kind', ['fvit_tiny', 'fvit_mask_tiny', 'fvit_cascade_tiny', 'one stage', 'dino'])
def test_export_onnx__twenty_images(tmp_path: Path, kind: str, embeddings_input: bool) -> None:
    others = {'one stage': tiny_one_stage, 'dino': tiny_dino}
    detector = detector_of(others[kind]() if kind in others else tiny_detector(form=kind))
    detector.set_vocabulary(['cat', 'owl', 'red mug'])
    report = export.export_onnx(detector, tmp_path / 'm.onnx', embeddings_input, num_checked=20)
    # Random weights make boxes that clipping leaves a width of 1e-5 px: rounding decides whether they are boxes at all.
    assert report['checked'] == 20 and report['unmatched'] < 1e-3 * report['detections']
    assert report['box_error'] < 0.5 and report['score_error'] < 1e-3 and report.get('mask_error', 0) < 1e-2
    assert ('masks' in report['outputs']) == ('mask' in kind)


@pytest.mark.slow
def test_export_onnx__attention_in_windows(tmp_path: Path) -> None:
    detector = detector_of(tiny_one_stage())
    visual = detector.model.backbone.visual
    visual.window_size, visual.global_blocks = 3, [1]
    report = export.export_onnx(detector, tmp_path / 'm.onnx', num_checked=20)
    assert report['unmatched'] == 0 and report['box_error'] < 0.5 and report['score_error'] < 1e-3


def test_export_onnx__what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: str, path: Path = tmp_path / 'm.onnx', embeddings_input: bool = False) -> None:
        with pytest.raises(UserError, match=words) as caught:
            export.export_onnx(detector, path, embeddings_input)
        assert '\n' not in str(caught.value)

    detector = detector_of(tiny_detector())
    refused('it is a folder', tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(export, 'EXPORTABLE', {})
        refused('a OpenVocabularyRCNN cannot be exported')
    with monkeypatch.context() as patch:
        found = builtins.__import__
        patch.setattr(
            builtins, '__import__', lambda name, *rest: found('no_' + name if name == 'onnx' else name, *rest)
        )
        refused('the package onnx is missing; pip install')
    detector.model.roi_head.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.5)
    refused("expected type='nms'")
    config = detector_config().model
    config.roi_head.bbox_head.classifier = dict(type='fgdet.LinearClassifier', num_classes=4)
    detector = detector_of(type(detector.model)(**{key: value for key, value in config.items() if key != 'type'}))
    refused('names are fixed', embeddings_input=True)
    assert not list(tmp_path.iterdir())


def test_export_onnx__a_graph_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, '_trace', lambda graph: _Program())
    monkeypatch.setattr(export, 'compare', lambda *_: dict(checked=1, detections=50, unmatched=1))
    detector = detector_of(tiny_detector())
    with pytest.raises(UserError, match='does not give 1 of 50 detections'):
        export.export_onnx(detector, tmp_path / 'm.onnx')
    assert not list(tmp_path.iterdir())


class _Program:
    """What torch's exporter gives, without a graph."""

    def __init__(self) -> None:
        self.model = self.graph = self.model_proto = self
        self.metadata_props: dict[str, str] = {}
        self.initializers: dict[str, Any] = {}

    def SerializeToString(self) -> bytes:
        return b''
