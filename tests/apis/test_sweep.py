"""A sweep's table against the detector run with each setting, its records, and the config that it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from fgdet.apis.sweep import Grid, sweep
from fgdet.evaluation.functional.coco_detection import evaluate_ov_coco
from fgdet.models.post_processing.recorded_scores import record_scores
from fgdet.registry import DATASETS, MODELS
from fgdet.structures.detections import Detections
from fgdet.structures.vocabulary import Vocabulary
from fgdet.utils.checks import UserError
from tests.detector_builders import NAMES, atss_config, detector_config, dino_config, write_picture

GRID = Grid(alphas=[0.0, 0.35, 1.0], betas=[0.1, 0.8], temperatures=[0.05, 0.2])
NUM_IMAGES = 4


@pytest.fixture(autouse=True)
def without_plot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if 'writes_the_best' not in request.node.name:
        monkeypatch.setattr('fgdet.apis.sweep.write_sweep_plot', lambda *args: None)


class Case:
    """A random detector, pictures, and objects that are some of what it finds, so that its precision is not zero."""

    def __init__(self, folder: Path, config: Config, **test_cfg: Any) -> None:
        self.folder, self.config = folder, config
        part = config.model.test_cfg.get('rcnn', config.model.test_cfg)
        part.update(max_per_img=15, **test_cfg)  # a limit at which base and novel names meet
        part.score_ensemble.update(alpha=0.2, beta=0.45, temperature=0.1)
        self.part = part
        images = [dict(id=7 + n, file_name=f'{n}.png', width=64, height=48) for n in range(NUM_IMAGES)]
        for number in range(NUM_IMAGES):
            write_picture(folder / f'{number}.png', seed=number)
        self.annotations = dict(
            images=images,
            categories=[dict(id=10 + label, name=name) for label, name in enumerate(reversed(NAMES))],
            annotations=[],
        )
        self._save_annotations()
        vocabulary = dict(config.model.vocabulary)
        config.val_dataloader.dataset.update(
            data_root=str(folder), ann_file='annotations.json', data_prefix=dict(img=''), vocabulary=vocabulary
        )
        config.val_evaluator.update(
            ann_file=str(folder / 'annotations.json'), base=vocabulary['base'], novel=vocabulary['novel']
        )
        write_config(folder / 'config.py', config)
        init_default_scope('mmdet')
        torch.manual_seed(0)
        self.model = MODELS.build(config.model)
        self.model.init_weights()
        self.model.eval()
        torch.save(dict(state_dict=self.model.state_dict()), folder / 'weights.pth')
        self.dataset = DATASETS.build(config.val_dataloader.dataset)
        self.model.set_vocabulary(self.dataset.vocabulary)
        self.annotations['annotations'] = [
            dict(
                id=number + 1,
                image_id=each['image_id'],
                category_id=each['category_id'],
                bbox=[each['bbox'][0] + 0.5, *each['bbox'][1:]],
                area=each['bbox'][2] * each['bbox'][3],
                iscrowd=0,
            )
            for number, each in enumerate(self.found(0.2, 0.45, 0.1)[::4])
        ]
        self._save_annotations()

    def found(self, alpha: float, beta: float, temperature: float) -> list[dict[str, Any]]:
        """What the detector finds with these settings, as a result list."""
        head = getattr(self.model, 'roi_head', None) or self.model.bbox_head
        head.test_cfg.score_ensemble.update(alpha=alpha, beta=beta, temperature=temperature)
        entries = []
        for index in range(NUM_IMAGES):
            (sample,) = self.model.test_step(pseudo_collate([self.dataset[index]]))
            found = sample.pred_instances.cpu().numpy()
            names = [NAMES[label] for label in found.labels]
            detections = Detections(found.bboxes, found.scores, found.labels, names)
            entries += detections.to_coco(sample.img_id, [13, 12, 11, 10])
        return entries

    def sweep(self, **options: Any) -> dict[str, Any]:
        return sweep(
            self.folder / 'config.py', self.folder / 'weights.pth', self.folder / 'out', GRID, device='cpu', **options
        )

    def _save_annotations(self) -> None:
        (self.folder / 'annotations.json').write_text(json.dumps(self.annotations))


def write_config(path: Path, config: Config) -> None:
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in config.to_dict().items()))


@torch.no_grad()
def check_table(case: Case, result: dict[str, Any]) -> None:
    vocabulary = Vocabulary(**dict(case.config.model.vocabulary))
    for entry in [*result['table'][::3], result['config']]:
        found = case.found(entry['alpha'], entry['beta'], entry['temperature'])
        expected = evaluate_ov_coco(case.annotations, found, vocabulary)
        for score in ('base_ap50', 'novel_ap50', 'all_ap50'):
            assert entry[score] == pytest.approx(expected[score], abs=1e-6, nan_ok=True)
        base, novel = expected['base_ap50'], expected['novel_ap50']
        assert entry['harmonic'] == pytest.approx(2 / (1 / max(base, 1e-9) + 1 / max(novel, 1e-9)), abs=1e-6)


def own_names(**fields: Any) -> Config:
    config = detector_config('fvit_tiny')
    config.model.vocabulary.update(fields)
    return config


@pytest.mark.parametrize('form', ['fvit_tiny', 'fvit_cascade_tiny', 'fvit_mask_tiny', 'atss', 'dino'])
def test_table__is_what_the_detector_gives(tmp_path: Path, form: str) -> None:
    others = {'atss': atss_config, 'dino': dino_config}
    case = Case(tmp_path, others[form]() if form in others else detector_config(form))
    result = case.sweep()
    check_table(case, result)
    assert len(result['table']) == 12
    assert result['images'] == NUM_IMAGES
    assert len({round(each['harmonic'], 6) for each in result['table']}) >= 3  # the settings matter here


@pytest.mark.parametrize('kind', ['negatives', 'across classes'])
def test_table__where_classes_touch_each_other(tmp_path: Path, kind: str) -> None:
    config = own_names(negatives=['bush', 'wall']) if kind == 'negatives' else own_names()
    case = Case(tmp_path, config, class_agnostic_nms=kind != 'negatives')
    check_table(case, case.sweep())


def test_sweep__a_second_one_runs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(tmp_path, detector_config())
    first = case.sweep()
    (records,) = (tmp_path / 'out' / 'records').iterdir()
    assert len(list(records.glob('*.npz'))) == NUM_IMAGES
    # Broken off before its third image, it goes on there.
    done = []

    def counting(*args: Any) -> Any:
        done.append(args)
        return record_scores(*args)

    monkeypatch.setattr('fgdet.apis.sweep_records.record_scores', counting)
    (records / '9.npz').unlink()
    assert case.sweep() == first
    assert len(done) == 1
    monkeypatch.setattr('fgdet.apis.sweep_records.load_detector', lambda *args: pytest.fail('the detector was built'))
    assert case.sweep() == first
    # Other weights or objects are another key.
    (tmp_path / 'weights.pth').write_bytes((tmp_path / 'weights.pth').read_bytes() + b'0')
    with pytest.raises(pytest.fail.Exception, match='the detector was built'):
        case.sweep()


def test_sweep__writes_the_best_into_a_config(tmp_path: Path) -> None:
    case = Case(tmp_path, detector_config())
    result = case.sweep(criterion='novel_ap50', cfg_options={'randomness.seed': 3})
    best = result['best']
    assert best['novel_ap50'] == max(each['novel_ap50'] for each in result['table'])
    assert json.loads((tmp_path / 'out' / 'sweep.json').read_text())['best'] == best
    config = Config.fromfile(tmp_path / 'out' / 'best_config.py')
    chosen = config.model.test_cfg.rcnn.score_ensemble
    assert dict(chosen) == {field: best[field] for field in ('alpha', 'beta', 'temperature')}
    assert config.model.backbone == case.config.model.backbone
    assert config.calibration.scale == result['calibration']['scale']
    assert result['calibration']['error_after'] < result['calibration']['error_before']
    text = (tmp_path / 'out' / 'best_config.py').read_text()
    assert f'4 images of {tmp_path}/annotations.json: scores on these are no test scores' in text
    assert '# swept with --cfg-options randomness.seed=3, to be given again\n' in text
    assert (tmp_path / 'out' / 'sweep.png').read_bytes().startswith(b'\x89PNG')
    # Of equally good settings the one next to the config's is taken.
    equal = [each for each in result['table'] if each['novel_ap50'] == best['novel_ap50']]
    assert abs(best['alpha'] - 0.2) == min(abs(each['alpha'] - 0.2) for each in equal)


@pytest.mark.parametrize(
    ('grid', 'options', 'message'),
    [
        (GRID._replace(alphas=[1.5]), {}, r'sweep alpha: expected values in 0\.\.1, got \[1.5\]'),
        (GRID._replace(temperatures=[0.0]), {}, 'sweep temperature: expected values above 0'),
        (GRID, dict(criterion='ap'), "sweep criterion: expected one of harmonic, .*, got 'ap'"),
        (GRID, dict(cfg_options={'model.test_cfg.rcnn.score_ensemble': None}), 'has no score_ensemble'),
        (GRID, dict(cfg_options={'model.test_cfg.rcnn.max_per_img': -1}), 'a sweep needs a limit, such as 100'),
    ],
)
def test_sweep__bad_settings(tmp_path: Path, grid: Grid, options: dict, message: str) -> None:
    write_config(tmp_path / 'config.py', detector_config())
    with pytest.raises(UserError, match=message):
        sweep(tmp_path / 'config.py', tmp_path / 'weights.pth', tmp_path / 'out', grid, **options)
