"""Every detector's config makes one training step and one validation: its own parts, shrunk, on two small pictures."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.structures.lvis_split import LVIS_V1_FREQUENCY
from fgdet.structures.vocabulary import Vocabulary
from tests.builders import ROOT

CONFIGS = ROOT / 'configs'
LEAVES = [path for path in sorted(CONFIGS.rglob('*.py')) if '_base_' not in path.parts]
DETECTORS = [path for path in LEAVES if 'class_embeddings' in Config.fromfile(path).model]

#: Numbers of channels, by the names that configs give them.
WIDTHS = {
    *('width', 'mlp_width', 'output_dim', 'in_channels', 'out_channels', 'feat_channels', 'conv_out_channels'),
    *('fc_out_channels', 'embed_dim', 'embed_dims', 'feedforward_channels', 'num_feats', 'num_groups', 'head_width'),
}
#: Sizes of pictures, and how many boxes or queries go on.
SIZES = {'scale', 'crop_size'}
COUNTS = {'nms_pre', 'max_per_img', 'num', 'num_queries', 'num_dn_queries', 'max_cells'}


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS).with_suffix(''))


@pytest.fixture(autouse=True)
def scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


def shrunk(config: Any, by: int = 4) -> Any:
    """All channels divided, pictures of 64 pixels, few boxes, no checkpoint."""
    if isinstance(config, list | tuple):
        return type(config)(shrunk(each, by) for each in config)
    if not isinstance(config, dict):
        return config
    small: dict[str, Any] = {}
    for key, value in config.items():
        if key in WIDTHS and isinstance(value, int | list):
            small[key] = [max(n // by, 1) for n in value] if isinstance(value, list) else max(value // by, 1)
        elif key in SIZES and isinstance(value, list | tuple):
            small[key] = (64, 64)
        elif key in COUNTS and isinstance(value, int):
            small[key] = min(value, 40)
        else:
            small[key] = None if key == 'checkpoint' else shrunk(value, by)
    return small


def data_sets(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configs of the data sets inside wrappers."""
    if 'dataset' in config:
        yield from data_sets(config['dataset'])
    else:
        yield config


def write_data(folder: Path, names: list[str], base_names: Sequence[str]) -> None:
    """Two pictures with two base objects and one of another name each, in the form that COCO and LVIS share."""
    rng = np.random.default_rng(0)
    (folder / 'train2017').mkdir()
    base = [names.index(each) + 1 for each in base_names]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in (1, 2):
        file_name = f'train2017/{image_id}.png'
        cv2.imwrite(str(folder / file_name), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        url = f'http://images.cocodataset.org/{file_name}'
        image = dict(id=image_id, file_name=file_name, coco_url=url, height=60, width=80)
        images.append(image | dict(neg_category_ids=[1], not_exhaustive_category_ids=[2]))
        for category, x in ((base[0], 4), (base[-1], 30), (len(names), 50)):
            outline = [x, 10, x + 25, 10, x + 25, 50, x, 50]
            shape = dict(bbox=[x, 10, 25, 40], area=1000, segmentation=[outline], iscrowd=0)
            annotations.append(dict(id=len(annotations) + 1, image_id=image_id, category_id=category, **shape))
    categories = [
        dict(id=number, name=each, frequency=LVIS_V1_FREQUENCY.get(each, 'f')) for number, each in enumerate(names, 1)
    ]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'annotations.json').write_text(json.dumps(content))


def small_config(path: Path, folder: Path) -> Config:
    whole = Config.fromfile(path)
    config = shrunk(whole.to_dict())
    model = config['model']
    model['class_embeddings'].update(cache_dir=None)
    model['class_embeddings']['text_encoder'].update(num_layers=1)
    vocabulary = Vocabulary.build(whole.model.vocabulary)
    names = dict.fromkeys(vocabulary.names)
    for each in data_sets(config['val_dataloader']['dataset']):
        if isinstance(each['vocabulary'], dict):
            names |= dict.fromkeys(each['vocabulary']['names'])
    write_data(folder, list(names), vocabulary.base)
    words = dict(names=vocabulary.names, base=vocabulary.base, novel=vocabulary.novel, templates=['{}'])
    model['vocabulary'] = words
    for part in ('train', 'val', 'test'):
        loader = config[f'{part}_dataloader']
        loader.update(batch_size=2 if part == 'train' else 1, num_workers=0, persistent_workers=False)
        for each in data_sets(loader['dataset']):
            each.update(data_root=str(folder), ann_file='annotations.json', data_prefix=dict(img=''))
            each['expected_counts'] = None
            if part == 'train':
                each['vocabulary'] = words
            elif isinstance(each['vocabulary'], dict):
                each['vocabulary'].update(templates=words['templates'])
    for part in ('val', 'test'):
        config[f'{part}_evaluator'].update(ann_file=str(folder / 'annotations.json'))
    return Config(config)


def one_step(config: Config, model: Any) -> dict[str, float]:
    """The losses of one batch, after which the weights have moved."""
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    loader = Runner.build_dataloader(config.train_dataloader)
    DatasetVocabularyHook().before_train(SimpleNamespace(hooks=[], model=model, train_dataloader=loader))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in learned]
    losses = model.train().train_step(next(iter(loader)), optimizer)
    assert all(torch.isfinite(parameter).all() for parameter in learned)
    moved = [not torch.equal(*pair) for pair in zip(before, learned, strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    return {key: value.item() for key, value in losses.items()}


def validate(config: Config, model: Any) -> dict[str, float]:
    """The scores of the validation pictures."""
    loader = Runner.build_dataloader(config.val_dataloader)
    DatasetVocabularyHook().before_val(SimpleNamespace(model=model, val_dataloader=loader))
    evaluator = Evaluator(config.val_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    model.eval()
    with torch.no_grad():
        for batch in loader:
            evaluator.process(model.val_step(batch), batch)
    return evaluator.evaluate(len(loader.dataset))


@pytest.mark.parametrize('path', DETECTORS, ids=name)
def test_detector_config__trains_one_step_and_predicts(path: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = small_config(path, tmp_path)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model)
        model.init_weights()
        losses = one_step(config, model)
        scores = validate(config, model)
    assert 0 < losses['loss'] < 1e4, losses
    assert len(scores) >= 6 and all(0 <= value <= 1 or np.isnan(value) for value in scores.values()), scores
    assert not all(np.isnan(value) for value in scores.values())
