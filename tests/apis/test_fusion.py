"""Boxes from elsewhere named by FG-CLIP: against the same thing written out, and with a detector of mmdet's."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.apis import inference_detector
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.ops import roi_align

from fgdet.apis.fusion import FusionSettings, RegionFusionDetector
from fgdet.apis.proposals import DetectedProposals, SavedProposals
from fgdet.models.fg_clip import FGCLIP
from fgdet.registry import MODELS
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.builders import tiny_clip
from tests.detector_builders import write_picture

VOCABULARY = Vocabulary(['cat', 'red mug', 'tree'], synonyms={'cat': ['kitten']}, templates=['a {}.', 'the {}'])
ENTRIES: list[dict[str, Any]] = [
    dict(image_id=7, category_id=1, bbox=[4.0, 3.0, 20.0, 30.0], score=0.9),
    dict(image_id=7, category_id=2, bbox=[30.0, 10.0, 22.5, 15.5], score=0.4),
    dict(image_id=7, category_id=3, bbox=[-5.0, 20.0, 30.0, 40.0], score=0.2),  # reaches out of the image
    dict(image_id=7, category_id=1, bbox=[70.0, 5.0, 10.0, 10.0], score=0.8),  # outside
    dict(image_id=7, category_id=1, bbox=[5.0, 5.0, 0.0, 10.0], score=0.8),  # no area
    dict(image_id=8, category_id=1, bbox=[5.0, 5.0, 5.0, 10.0], score=0.8),
]
CATEGORIES = [dict(id=1, name='kitten'), dict(id=2, name='hat'), dict(id=3, name='tree')]


@pytest.fixture(scope='module')
def model() -> FGCLIP:
    return tiny_clip(text=dict(vocab_size=49408, eos_token_id=49407)).eval()


def write_proposals(folder: Path, entries: Sequence[dict[str, Any]] = ENTRIES, **images: Any) -> Path:
    records = [dict(id=7, file_name='a/one.png', width=64, height=48) | images, dict(id=8, file_name='b/one.png')]
    path = folder / 'proposals.json'
    path.write_text(json.dumps(dict(images=records, categories=CATEGORIES, annotations=list(entries))))
    return path


def written_out(model: FGCLIP, pixels: np.ndarray, alpha: float, temperature: float) -> list[tuple[float, int]]:
    """Score and label of the three boxes of the first image that are inside of it."""
    # The longer side of 64 becomes 48 pixels: 6 patches of 8; the shorter one of 48 becomes 36: 4.5 patches, so 4.
    resized = np.array(Image.fromarray(pixels).resize((48, 32), Image.Resampling.BICUBIC))
    inputs = model.preprocessing.normalize(torch.from_numpy(resized).permute(2, 0, 1) / 255)
    dense = model.encode_dense(inputs[None])
    boxes = torch.tensor([[4.0, 3, 24, 33], [30, 10, 52.5, 25.5], [0, 20, 25, 48]])
    cells = boxes * torch.tensor([48 / 64, 32 / 48, 48 / 64, 32 / 48]) / 8
    regions = F.normalize(roi_align(dense, [cells], 1, sampling_ratio=-1, aligned=True)[:, :, 0, 0], dim=1)
    rows = []
    for words in (['cat', 'kitten'], ['red mug'], ['tree']):
        texts = [form.format(word) for form in ('a {}.', 'the {}') for word in words]
        rows.append(F.normalize(model.encode_text(model.tokenize(texts), normalize=True).mean(dim=0), dim=0))
    found = []
    for region, label, score in zip(regions, (0, None, 2), (0.9, 0.4, 0.2), strict=True):
        tower = torch.stack([region @ row / temperature for row in rows]).softmax(dim=0)
        known = [score if label in (None, k) else min(score, (1 - score) / 2) for k in range(3)]
        fused = [p ** (1 - alpha) * float(q) ** alpha for p, q in zip(known, tower, strict=True)]
        found.append((max(fused), fused.index(max(fused))))
    return found


@torch.no_grad()
@pytest.mark.parametrize('as_list', [False, True])
def test_detect__as_written_out(model: FGCLIP, tmp_path: Path, as_list: bool) -> None:
    pixels = write_picture(tmp_path / 'a' / 'one.png')
    path, images = write_proposals(tmp_path), None
    if as_list:
        images = path.rename(tmp_path / 'annotations.json')
        content = json.loads(images.read_text())
        images.write_text(json.dumps(content | dict(annotations=[])))
        path.write_text(json.dumps(content['annotations']))
    settings = FusionSettings(size=48, alpha=0.4, temperature=0.2, nms_iou=None)
    detector = RegionFusionDetector(model, SavedProposals(path, images), VOCABULARY, settings)
    (found,) = detector.detect(tmp_path / 'a' / 'one.png', score_threshold=0.0)
    expected = written_out(model, pixels, 0.4, 0.2)
    order = sorted(range(3), key=lambda i: -expected[i][0])
    np.testing.assert_allclose(found.scores, [expected[i][0] for i in order], rtol=1e-4)
    assert found.labels.tolist() == [expected[i][1] for i in order]
    boxes = np.array([[4.0, 3, 24, 33], [30, 10, 52.5, 25.5], [0, 20, 25, 48]])
    np.testing.assert_array_equal(found.boxes, boxes[order])
    assert (detector.num_clipped, detector.num_dropped) == (1, 2)


def test_detect__suppression_thresholds_and_weights_temperature(model: FGCLIP, tmp_path: Path) -> None:
    write_picture(tmp_path / 'a' / 'one.png')
    twice = [ENTRIES[0], ENTRIES[0] | dict(bbox=[4.0, 3.0, 20.0, 29.0], score=0.7)]
    source = SavedProposals(write_proposals(tmp_path, twice))
    both = RegionFusionDetector(model, source, ['cat'], FusionSettings(nms_iou=None)).detect(tmp_path / 'a/one.png')
    one = RegionFusionDetector(model, source, ['cat']).detect(tmp_path / 'a/one.png')
    np.testing.assert_allclose(both[0].scores, np.sqrt([0.9, 0.7]), rtol=1e-6)  # one name: its softmax is 1
    np.testing.assert_allclose(one[0].scores, np.sqrt([0.9]), rtol=1e-6)
    detector = RegionFusionDetector(model, source, Vocabulary(['cat'], thresholds={'cat': 0.99}))
    assert len(detector.detect(tmp_path / 'a/one.png', 0.1)[0]) == 0
    # Without a temperature, that of the weights: 1 / exp(2.6592) = 0.07.
    detector = RegionFusionDetector(model, source)
    assert detector.vocabulary.names == ('kitten', 'hat', 'tree')
    scores = detector.detect(tmp_path / 'a/one.png', 0)[0].scores
    detector = RegionFusionDetector(model, source, settings=FusionSettings(temperature=np.exp(-2.6592)))
    np.testing.assert_allclose(detector.detect(tmp_path / 'a/one.png', 0)[0].scores, scores, rtol=1e-5)


def test_detect__no_proposals_and_unknown_images(model: FGCLIP, tmp_path: Path) -> None:
    for name in ('a/one.png', 'b/one.png', 'c/one.png', 'c/two.png'):
        write_picture(tmp_path / name)
    detector = RegionFusionDetector(model, SavedProposals(write_proposals(tmp_path, ENTRIES[:5])), VOCABULARY)
    found = detector.detect([tmp_path / 'a/one.png', tmp_path / 'b/one.png'], 0.0)
    assert [len(each) for each in found] == [3, 0]
    with pytest.raises(UserError, match=r'two.png: not among the 2 images of proposal file .*proposals.json'):
        detector.detect(tmp_path / 'c/two.png')
    with pytest.raises(UserError, match=r'2 images of proposal file .* are called one.png'):
        detector.detect(tmp_path / 'c/one.png')
    with pytest.raises(UserError, match='only images from files'):
        detector.detect(np.zeros((48, 64, 3), dtype=np.uint8))
    detector = RegionFusionDetector(model, SavedProposals(write_proposals(tmp_path, width=32)), VOCABULARY)
    with pytest.raises(UserError, match='it has 64 x 48 pixels, and 32 x 48 in'):
        detector.detect(tmp_path / 'a/one.png')


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (dict(image_id=9), r'entry 1: image_id 9 is none of the 2 images'),
        (dict(image_id=[1]), r'entry 1: image_id \[1\] is none of the 2 images'),
        (dict(category_id=9), r'entry 1: category_id 9 is none of the 3 categories'),
        (dict(category_id=[1]), r'entry 1: category_id \[1\] is none of the 3 categories'),
        (dict(bbox=[1, 2, 3]), r'entry 1: bbox: expected four numbers x, y, width, height, got \[1, 2, 3\]'),
        (dict(score=1.5), r'entry 1: score: expected 0\.\.1, got 1.5'),
    ],
)
def test_proposals__bad_entries(tmp_path: Path, entry: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SavedProposals(write_proposals(tmp_path, [ENTRIES[0], ENTRIES[0] | entry]))


def test_proposals__bad_files(tmp_path: Path) -> None:
    (tmp_path / 'list.json').write_text('[]')
    with pytest.raises(UserError, match=r'a list of results has no names of images; give .*--proposals-images'):
        SavedProposals(tmp_path / 'list.json')
    (tmp_path / 'dict.json').write_text('{}')
    with pytest.raises(UserError, match="expected a list of results or a dict of 'images' and 'annotations'"):
        SavedProposals(tmp_path / 'dict.json')
    (tmp_path / 'dict.json').write_text('{"images": [{"id": 1}], "annotations": []}')
    with pytest.raises(UserError, match=r"dict.json: images\[0\]: expected id and file_name, got {'id': 1}"):
        SavedProposals(tmp_path / 'dict.json')
    (tmp_path / 'dict.json').write_text('{"images": [{"id": [1], "file_name": "a.png"}], "annotations": []}')
    with pytest.raises(UserError, match=r"dict.json: images\[0\]: expected id and file_name, got {'id': \[1\]"):
        SavedProposals(tmp_path / 'dict.json')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(alpha=1.2), r'alpha: expected 0\.\.1, got 1.2'),
        (dict(size=4), 'size: expected at least a patch of 8 pixels, got 4'),
        (dict(temperature=0.0), 'temperature: expected above 0, got 0.0'),
    ],
)
def test_settings__out_of_range(model: FGCLIP, tmp_path: Path, settings: dict, message: str) -> None:
    source = SavedProposals(write_proposals(tmp_path))
    with pytest.raises(UserError, match=message):
        RegionFusionDetector(model, source, settings=FusionSettings(**settings))


def atss_config() -> dict[str, Any]:
    """A random ATSS of mmdet's with two classes of its own, on one level of 8 channels."""
    head = dict(
        type='ATSSHead',
        num_classes=2,
        in_channels=8,
        feat_channels=32,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], octave_base_scale=4, scales_per_octave=1, strides=[4]
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
    )
    model = dict(
        type='ATSS',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[0, 0, 0], std=[255, 255, 255], pad_size_divisor=4),
        backbone=dict(
            type='ResNet', depth=18, base_channels=8, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,)
        ),
        neck=None,
        bbox_head=head,
        test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6), max_per_img=20),
    )
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(128, 96), keep_ratio=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor')),
    ]
    return dict(default_scope='mmdet', model=model, test_dataloader=dict(dataset=dict(pipeline=pipeline)))


def test_detect__with_boxes_of_a_detector(model: FGCLIP, tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / 'one.png')
    config = Config(atss_config())
    config.dump(tmp_path / 'atss.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    network = MODELS.build(config.model).eval()
    meta = dict(dataset_meta=dict(classes=('tree', 'hat')))
    torch.save(dict(state_dict=network.state_dict(), meta=dict(CLASSES=('tree', 'hat'))), tmp_path / 'old.pth')
    assert DetectedProposals(tmp_path / 'atss.py', tmp_path / 'old.pth', 'cpu').names == ('tree', 'hat')  # of mmdet 2
    torch.save(dict(state_dict=network.state_dict(), meta=meta), tmp_path / 'atss.pth')
    proposals = DetectedProposals(tmp_path / 'atss.py', tmp_path / 'atss.pth', 'cpu')
    given = proposals.boxes_of(pixels, None)
    network.cfg = config
    expected = inference_detector(network, pixels[..., ::-1].copy()).pred_instances
    np.testing.assert_allclose(given.boxes, expected.bboxes, atol=1e-4)
    np.testing.assert_allclose(given.scores, expected.scores, atol=1e-6)
    assert given.names == [('tree', 'hat')[label] for label in expected.labels]
    settings = FusionSettings(alpha=0.0, nms_iou=None)
    detector = RegionFusionDetector(model, proposals, ['hat', 'tree'], settings)
    (found,) = detector.detect(pixels, 0.0)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)  # of the detector alone, names included
    assert [*found.names] == given.names
