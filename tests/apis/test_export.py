"""An exported detector gives what the detector gives, in torch and in onnxruntime."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from fgdet.apis import export
from fgdet.apis.detection import Detector
from fgdet.apis.inference_settings import InferenceSettings
from fgdet.models.export.two_stage import ExportableTwoStage
from fgdet.utils.checks import UserError
from tests.detector_builders import detector_config, tiny_detector


def tiny() -> Detector:
    detector = tiny_detector()
    detector.roi_head.test_cfg.score_thr = 0.0  # random weights; the best 100 of all are compared
    pipeline = [step for step in detector_config().test_dataloader.dataset.pipeline if 'Load' not in step['type']]
    return Detector(detector, pipeline)


def predicted(model: Any, pixels: torch.Tensor) -> Any:
    size = tuple(pixels.shape[-2:])
    meta = dict(img_id=0, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), batch_input_shape=size)
    return model.predict(pixels, [DetDataSample(metainfo=meta)])[0].pred_instances


@pytest.mark.parametrize('agnostic', [False, True])
def test_two_stage__equals_the_detector(agnostic: bool) -> None:
    model = tiny().model
    model.roi_head.test_cfg.class_agnostic_nms = agnostic
    model.set_vocabulary(['cat', 'owl', 'red mug'])
    model.use(model.vocabulary)
    for seed, size in enumerate([(32, 32), (64, 48), (48, 112)]):
        torch.manual_seed(seed)
        pixels = torch.randn(2, 3, *size)
        with torch.no_grad():
            boxes, scores, labels = ExportableTwoStage(model)(pixels)
            for image in range(2):
                expected = predicted(model, pixels[image : image + 1])
                count = len(expected)
                assert count and int((scores[image] >= 0).sum()) == count
                torch.testing.assert_close(scores[image, :count], expected.scores, atol=1e-5, rtol=0)
                torch.testing.assert_close(boxes[image, :count], expected.bboxes, atol=1e-3, rtol=0)
                assert torch.equal(labels[image, :count], expected.labels)


def test_export_onnx__twenty_images_and_a_vocabulary_that_is_baked_in(tmp_path: Path) -> None:
    import onnx

    detector = tiny()
    detector.set_vocabulary(['cat', 'owl', 'red mug'])
    report = export.export_onnx(detector, tmp_path / 'm.onnx', num_checked=20)
    assert report['checked'] == 20 and report['box_error'] < 0.5 and report['score_error'] < 1e-3
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / 'm.onnx').metadata_props}
    assert json.loads(metadata['names']) == ['cat', 'owl', 'red mug']
    assert int(metadata['opset']) == report['opset'] == 18 and int(metadata['multiple_of']) == 16


def test_export_onnx__any_classes_as_an_input(tmp_path: Path) -> None:
    import onnxruntime

    detector = tiny()
    detector.settings = InferenceSettings(compete=False)
    report = export.export_onnx(detector, tmp_path / 'm.onnx', embeddings_input=True, num_checked=2)
    assert report['names'] is None and report['box_error'] < 0.5
    session = onnxruntime.InferenceSession(tmp_path / 'm.onnx')
    images = 255 * np.random.default_rng(0).random((1, 3, 48, 32), dtype=np.float32)
    for names in (['owl'], ['tree', 'a red mug', 'cat', 'lamp', 'dog']):
        detector.set_vocabulary(names)
        embeddings = detector.model.class_embeddings(detector.vocabulary).detach().numpy()
        is_base = np.array([name in {'cat', 'tree'} for name in names])
        boxes, scores, _ = session.run(None, dict(images=images, embeddings=embeddings, is_base=is_base))
        preprocessor = detector.model.data_preprocessor
        with torch.no_grad():
            expected = predicted(detector.model, (torch.from_numpy(images) - preprocessor.mean) / preprocessor.std)
        count = len(expected)
        np.testing.assert_allclose(scores[0, :count], expected.scores, atol=1e-4)
        np.testing.assert_allclose(boxes[0, :count], expected.bboxes, atol=1e-2)


def test_export_onnx__what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny()
    monkeypatch.setattr(export, 'EXPORTABLE', {})
    with pytest.raises(UserError, match='OpenVocabularyRCNN cannot be exported'):
        export.export_onnx(detector, tmp_path / 'm.onnx')
    monkeypatch.undo()
    detector.model.roi_head.test_cfg.nms = dict(type='soft_nms', iou_threshold=0.5)
    with pytest.raises(UserError, match="expected type='nms'"):
        export.export_onnx(detector, tmp_path / 'm.onnx')
    assert not list(tmp_path.iterdir())
