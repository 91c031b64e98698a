"""Runs from a config file: what is trained, saved, resumed and refused."""

import json
import os
import pathlib
import pickle
import shutil
import signal
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS, DefaultScope
from torch import Tensor, nn

from fgdet.apis import processes, run_options, training
from fgdet.apis.run_checkpoints import find_complete_checkpoint
from fgdet.cli.test import command as evaluation_command
from fgdet.cli.train import command as training_command
from fgdet.engine.strategies import deepspeed
from fgdet.utils.checks import UserError
from tests.detector_builders import write_untrained_fcos


@MODELS.register_module()
class ToyLine(BaseModel):
    """Learns y = 3 x, so that a test can compute every step by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, mode: str = 'tensor') -> dict[str, Tensor] | list[dict[str, Tensor]]:
        x = torch.as_tensor(x).float()
        if mode == 'loss':
            return {'loss': ((self.weight - 3.0) * x).pow(2).mean()}
        return [{'y': self.weight.detach() * item} for item in x]


@DATASETS.register_module()
class ToyPoints(BaseDataset):
    """Four times x = 1."""

    def load_data_list(self) -> list[dict]:
        return [{'x': 1.0} for _ in range(4)]

    def prepare_data(self, idx: int) -> dict[str, float]:
        return {'x': 1.0}


@METRICS.register_module()
class ToyMean(BaseMetric):
    """The mean prediction."""

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        self.results += [float(sample['y']) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {'mean': sum(results) / len(results)}


CONFIG = """
model = dict(type='ToyLine')
loader = dict(batch_size=2, num_workers=0, dataset=dict(type='ToyPoints'), collate_fn=dict(type='default_collate'))
train_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = dict(type='ToyMean')
test_cfg = dict()
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.25, momentum=0.5))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
custom_imports = dict(imports=['fgdet'])
log_level = 'WARNING'
"""


SHARDED = ('--cfg-options', 'runner_type=FlexibleRunner', 'env_cfg.cudnn_benchmark=False')


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())
    Path('toy.py').write_text(CONFIG, encoding='utf-8')
    return 'toy.py'


def weight(checkpoint: str) -> float:
    return torch.load(checkpoint, weights_only=False)['state_dict']['weight'].item()


def test_train__writes_a_checkpoint_into_the_default_work_dir(config: str) -> None:
    result = training.train(config)

    # SGD with momentum 0.5 on (w - 3)^2: gradients -6 and -3, velocities -6 and -6, steps of 0.25.
    assert Path(result['work_dir']) == Path('work_dirs/toy').resolve()
    assert (result['epochs'], result['iterations']) == (1, 2)
    assert Path(result['checkpoint']).name == 'epoch_1.pth'
    assert weight(result['checkpoint']) == 3.0


@pytest.mark.parametrize('resume', ['auto', 'work_dirs/toy/epoch_1.pth'])
def test_train__resumed_run_equals_an_uninterrupted_one(config: str, resume: str) -> None:
    longer = {'train_cfg.max_epochs': 2}
    at_once = training.train(config, work_dir='at_once', cfg_options=longer)
    training.train(config)
    resumed = training.train(config, resume=resume, cfg_options=longer)

    assert (resumed['epochs'], resumed['iterations']) == (2, 4)
    # Momentum carries over: without it the resumed run would stay at the minimum, 3.0.
    assert weight(resumed['checkpoint']) == weight(at_once['checkpoint']) != 3.0


def test_train__resumed_where_the_folder_was_moved_leaves_the_old_one_alone(config: str) -> None:
    training.train(config, cfg_options={'train_cfg.max_epochs': 2})
    shutil.copytree('work_dirs/toy', 'moved')
    torch.save({}, 'work_dirs/toy/epoch_2.pth')
    resumed = training.train(config, work_dir='moved', resume='auto', cfg_options={'train_cfg.max_epochs': 3})
    assert resumed['iterations'] == 6
    assert Path(resumed['checkpoint']) == Path('moved/epoch_3.pth').resolve()
    assert not Path('work_dirs/toy/epoch_3.pth').exists()


@pytest.mark.parametrize(
    ('damage', 'note'), [('cut', 'epoch_3.pth'), ('changed', 'epoch_3.pth'), ('cut', ''), ('none', '')]
)
def test_train__resume_goes_on_from_the_newest_complete_checkpoint(config: str, damage: str, note: str) -> None:
    whole = training.train(config, work_dir='whole', cfg_options={'train_cfg.max_epochs': 4})
    training.train(config, cfg_options={'train_cfg.max_epochs': 3})
    folder = Path('work_dirs/toy').resolve()
    newest = folder / 'epoch_3.pth'
    written = bytearray(newest.read_bytes())
    if damage == 'changed':
        written[written.find(np.float32(weight(str(newest))).tobytes())] ^= 1  # one bit of the weight
    newest.write_bytes(written[: len(written) // 2] if damage == 'cut' else written)
    (folder / 'last_checkpoint').write_text(note)
    (folder / '.epoch_4.pth.abc.tmp').write_text('begun when the run was killed')
    (folder / 'best_score_epoch_9.pth').write_text('has no optimiser')

    resumed = training.train(config, resume='auto', cfg_options={'train_cfg.max_epochs': 4})

    assert weight(resumed['checkpoint']) == weight(whole['checkpoint'])
    logs = ''.join(log.read_text(encoding='utf-8') for log in folder.rglob('*.log'))
    said = f'checkpoint {newest} is damaged and passed over; going on from {folder / "epoch_2.pth"}'
    assert (said in logs) == (damage != 'none')
    assert not list(folder.glob('.*'))


def test_find_complete_checkpoint__leaves_out_what_an_earlier_longer_run_wrote(tmp_path: Path) -> None:
    for name in ('iter_500.pth', 'iter_1000.pth', 'iter_9000.pth', 'iter_1500.pth'):
        torch.save({'a': 1}, tmp_path / name)
    (tmp_path / 'iter_1500.pth').write_text('damaged')
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/iter_1500.pth')
    assert find_complete_checkpoint(tmp_path) == (tmp_path / 'iter_1000.pth', [tmp_path / 'iter_1500.pth'])
    (tmp_path / 'last_checkpoint').unlink()
    assert find_complete_checkpoint(tmp_path) == (tmp_path / 'iter_9000.pth', [])
    assert find_complete_checkpoint(tmp_path / 'none') == (None, [])


def test_train__a_checkpoint_that_cannot_be_written_whole_leaves_the_old_one(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(training.train(config)['checkpoint']).read_bytes()

    def fail(*_: object) -> None:
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr('fgdet.utils.files.os.replace', fail)
    with pytest.raises(OSError, match=r'epoch_1\.pth'):
        training.train(config)
    assert Path('work_dirs/toy/epoch_1.pth').read_bytes() == before


def test_train__weights_from_the_web_are_never_code(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.hub.get_dir', lambda: 'hub')
    torch.save({'state_dict': {'weight': torch.full((1,), 3.0)}}, 'good.pth')
    torch.save({'state_dict': {}, 'path': pathlib.PurePosixPath('x')}, 'odd.pth')
    server = HTTPServer(('127.0.0.1', 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}'
    try:
        result = training.train(config, cfg_options={'load_from': f'{address}/good.pth'})
        with pytest.raises(UserError, match=r'odd\.pth.*pathlib.*could run code'):
            training.train(config, cfg_options={'load_from': f'{address}/odd.pth'})
    finally:
        server.shutdown()
        server.server_close()
    assert weight(result['checkpoint']) == 3.0  # the minimum, where it stays


def test_join_processes__says_once_that_gpus_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.torch.cuda, 'device_count', lambda: 4)
    for name, value in (('RANK', '4'), ('WORLD_SIZE', '8'), ('LOCAL_RANK', '4')):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r'launcher pytorch: .* torch sees 4 here; start 4 on each machine'):
        processes.join_processes('pytorch')
    monkeypatch.setenv('LOCAL_RANK', '5')
    with pytest.raises(SystemExit):
        processes.join_processes('pytorch')
    monkeypatch.setenv('LOCAL_RANK', '3')
    processes.join_processes('pytorch')  # mmengine goes on from here


def test_train__resume_auto_without_a_checkpoint_starts_anew(config: str) -> None:
    assert training.train(config, resume='auto')['iterations'] == 2


def test_train__auto_scale_lr_follows_the_batch_size(config: str) -> None:
    options = {'auto_scale_lr': {'enable': False, 'base_batch_size': 4}}
    result = training.train(config, auto_scale_lr=True, cfg_options=options)

    # The batch of 2 halves the rate to 0.125: 6 * 0.125, then velocity 3 + 2 * 2.25.
    assert weight(result['checkpoint']) == pytest.approx(0.75 + 0.125 * 7.5)


def test_train__two_runs_in_one_process_keep_their_logs_apart(config: str) -> None:
    for name in ('one', 'two'):
        training.train(config, work_dir=name, cfg_options={'log_level': 'INFO'})
    logs = [next(Path(name).rglob('*.log')).read_text(encoding='utf-8') for name in ('one', 'two')]
    assert "work_dir = 'one'" in logs[0] and "work_dir = 'two'" not in logs[0]
    assert "work_dir = 'two'" in logs[1] and "work_dir = 'one'" not in logs[1]


def test_train__leaves_a_loaded_config_as_it_was(config: str) -> None:
    loaded = Config.fromfile(config)
    before = loaded.pretty_text
    training.train(loaded, cfg_options={'train_cfg.max_epochs': 2}, auto_scale_lr=False)
    assert loaded.pretty_text == before


def test_test__returns_the_metric_and_writes_the_predictions(config: str) -> None:
    checkpoint = training.train(config)['checkpoint']
    assert training.test(config, checkpoint, out='out/predictions.pkl') == {'mean': 3.0}
    predictions = pickle.loads(Path('out/predictions.pkl').read_bytes())
    assert [prediction['y'].item() for prediction in predictions] == [3.0] * 4


def test_test__has_nothing_to_test(config: str) -> None:
    checkpoint = training.train(config)['checkpoint']
    with pytest.raises(UserError, match=r'toy\.py: it has no test_evaluator'):
        training.test(config, checkpoint, cfg_options={'test_evaluator': None})


def test_test__refuses_a_checkpoint_that_would_run_code(config: str) -> None:
    torch.save({'state_dict': {'weight': torch.ones(1)}, 'meta': {'path': pathlib.PurePosixPath('x')}}, 'odd.pth')
    with pytest.raises(UserError, match=r'odd\.pth.*pathlib.*could run code'):
        training.test(config, 'odd.pth')


def test_train__does_not_execute_a_config_inside_a_checkpoint(config: str) -> None:
    checkpoint = training.train(config)['checkpoint']
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['config'] = "open('executed', 'w').close()"
    torch.save(content, 'crafted.pth')
    training.train(config, resume='crafted.pth', cfg_options={'train_cfg.max_epochs': 2})
    assert not Path('executed').exists()


def test_test__show_dir_needs_the_hook(config: str) -> None:
    checkpoint = training.train(config)['checkpoint']
    with pytest.raises(UserError, match=r'show_dir pictures.*DetVisualizationHook'):
        training.test(config, checkpoint, show_dir='pictures')


@pytest.mark.filterwarnings('ignore')  # mmdet's own
def test_test__draws_and_writes_the_detections(config: str) -> None:
    evaluator = dict(type='CocoMetric', ann_file='annotations.json', metric='bbox')
    write_untrained_fcos(Path('detector.py'), Path('untrained.pth'), 'annotations.json', '.', evaluator)
    images = [{'id': i, 'file_name': f'{i}.png', 'height': 64, 'width': 64} for i in (1, 2)]
    box = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [8, 8, 32, 32], 'area': 1024, 'iscrowd': 0}
    annotations = {'images': images, 'annotations': [box], 'categories': [{'id': 1, 'name': 'thing'}]}
    Path('annotations.json').write_text(json.dumps(annotations), encoding='utf-8')
    for image in images:
        cv2.imwrite(image['file_name'], np.zeros((64, 64, 3), np.uint8))

    metrics = training.test('detector.py', 'untrained.pth', out='predictions.pkl', show_dir='pictures')

    assert 0.0 <= metrics['coco/bbox_mAP'] <= 1.0
    assert sorted(path.name for path in Path('pictures').iterdir()) == ['1.png', '2.png']
    predictions = pickle.loads(Path('predictions.pkl').read_bytes())
    assert [prediction['img_id'] for prediction in predictions] == [1, 2]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('missing.py',), r'config missing\.py: no such file'),
        (('toy.py', '--resume', 'missing.pth'), r'checkpoint missing\.pth: no such file'),
        (('toy.py', '--cfg-options', 'max_epochs'), r'max_epochs: expected KEY=VALUE'),
        (('toy.py', '--cfg-options', 'trian_cfg.max_epochs=1'), r"'trian_cfg'; did you mean train_cfg\?"),
        (('toy.py', '--cfg-options', 'loader.batch_size=1'), r"a run reads no setting 'loader'"),
        (('toy.py', '--cfg-options', 'log_level.x=1'), r'log_level\.x=1: it does not fit the config'),
        (('toy.py', '--cfg-options', 'model.type=Nothing'), r'toy\.py: Nothing is not in the'),
        (('toy.py', '--cfg-options', 'model.nothing=1'), r"toy\.py: .*unexpected keyword argument 'nothing'"),
        (('toy.py', '--cfg-options', 'train_cfg.nothing=1'), r"toy\.py: .*unexpected keyword argument 'nothing'"),
        (('toy.py', '--cfg-options', 'train_dataloader.dataset.type=Nothing'), r'toy\.py: Nothing is not in the'),
        (('toy.py', '--cfg-options', 'train_dataloader.batch_size=0'), r'toy\.py: batch_size should be a positive'),
        (('toy.py', '--cfg-options', 'optim_wrapper.optimizer.lr=-1'), r'toy\.py: Invalid learning rate: -1'),
        (('toy.py', '--cfg-options', 'train_dataloader=None'), r'toy\.py: it has no train_dataloader'),
        (('toy.py', '--cfg-options', 'runner_type=Nothing'), r"runner_type 'Nothing'"),
        (('toy.py', '--auto-scale-lr'), r'base_batch_size'),
        (
            ('toy.py', '--launcher', 'pytorch', '--local_rank', '1'),
            r'launcher pytorch: it has not set RANK, WORLD_SIZE',
        ),
        (('toy.py', '--launcher', 'slurm'), r'launcher slurm: it has not set .*; start the run with srun'),
        (('toy.py', '--cfg-options', 'load_from=s3://a/b.pth'), r'checkpoint s3://a/b\.pth: give a local file, or'),
        (('toy.py', '--cfg-options', 'load_from=http://127.0.0.1:9/b.pth'), r'b\.pth: it could not be fetched \(.+\)'),
        (('toy.py', *SHARDED, 'strategy.type=fgdet.DeepSpeedStrategy'), r"pip install 'fgdet\[deepspeed\]'"),
        (('toy.py', '--amp', *SHARDED, 'strategy.type=fgdet.FSDPStrategy'), r'--amp: .* strategy\.param_dtype'),
    ],
)
def test_train_command__says_in_one_line_what_to_mend(
    config: str, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('LOCAL_RANK', '1')  # the command sets it where it is not set, and the test takes it back
    monkeypatch.delenv('LOCAL_RANK')
    monkeypatch.setattr('torch.hub.get_dir', lambda: 'hub')
    monkeypatch.setattr(deepspeed, 'find_spec', lambda _: None)
    outcome = CliRunner().invoke(training_command, arguments)
    assert isinstance(outcome.exception, UserError)
    assert '\n' not in str(outcome.exception)
    with pytest.raises(UserError, match=message):
        raise outcome.exception


def test_train__a_wrong_value_inside_the_loop_is_not_blamed_on_the_config(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyPoints, 'prepare_data', lambda self, index: int('no number'))
    with pytest.raises(ValueError, match='invalid literal') as caught:
        training.train(config)
    assert not isinstance(caught.value, UserError)


def test_train__best_by_a_score_that_is_not_there(config: str) -> None:
    more = """
val_dataloader, val_evaluator, val_cfg = test_dataloader, test_evaluator, test_cfg
default_hooks['checkpoint']['save_best'] = 'top9'
"""
    Path(config).write_text(CONFIG + more, encoding='utf-8')
    with pytest.raises(UserError, match=r"toy\.py: .*save_best: no score 'top9'; choose from mean$"):
        training.train(config)


@pytest.mark.filterwarnings('ignore')  # torch's, about processes
def test_train__what_ends_a_process_that_loads_data_is_told_in_one_line(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(self: ToyPoints, index: int) -> None:
        if not Path('end').exists():
            raise UserError('records a.json: 100 in a row are bad')
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ToyPoints, 'prepare_data', prepare)
    options = {'train_dataloader.num_workers': 1, 'env_cfg': dict(mp_cfg=dict(mp_start_method='fork'))}
    with pytest.raises(UserError, match=r'^records a\.json: 100 in a row are bad$'):
        training.train(config, cfg_options=options)
    Path('end').touch()
    with pytest.raises(UserError, match=r'loads data was ended \(DataLoader worker .*\), .* --resume$'):
        training.train(config, cfg_options=options)


@pytest.mark.parametrize('text', ['model = dict(', 'model = undefined', "_base_ = ['missing.py']"])
def test_load_config__names_the_file_that_is_wrong(config: str, text: str) -> None:
    Path('wrong.py').write_text(text, encoding='utf-8')
    with pytest.raises(UserError, match=r'^config wrong\.py: \w+Error: .+') as caught:
        training.load_config('wrong.py')
    assert '\n' not in str(caught.value)


def test_load_config__leaves_a_loaded_config_as_it_was(config: str) -> None:
    loaded, before = Config.fromfile(config), Config.fromfile(config).to_dict()
    run_options.set_amp(training.load_config(loaded, 'elsewhere', {'optim_wrapper.optimizer.lr': 0.5}))
    run_options.set_amp(training.load_config(loaded))
    assert loaded.to_dict() == before


def test_load_config__work_dir_comes_from_the_argument_then_the_config_then_the_name(config: str) -> None:
    assert training.load_config(config).work_dir == 'work_dirs/toy'
    assert training.load_config(config, cfg_options={'work_dir': 'own'}).work_dir == 'own'
    assert training.load_config(config, 'given', cfg_options={'work_dir': 'own'}).work_dir == 'given'
    with pytest.raises(UserError, match='work_dir'):
        training.load_config(Config({'model': None}))


def test_parse_cfg_options__reads_the_values_of_mmengine() -> None:
    assert run_options.parse_cfg_options(['a.b=1', 'c=[1,2.5]', 'd=x,y', 'e=true', 'f=p=q']) == {
        'a.b': 1,
        'c': [1, 2.5],
        'd': ['x', 'y'],
        'e': True,
        'f': 'p=q',
    }
    assert run_options.parse_cfg_options([]) == {}


def test_commands__take_several_options_after_one_flag_and_write_json(config: str) -> None:
    trained = CliRunner().invoke(
        training_command,
        [config, '--cfg-options', 'train_cfg.max_epochs=2', 'optim_wrapper.optimizer.momentum=0', '--json', 'run.json'],
    )
    assert trained.exit_code == 0, trained.output
    assert Config.fromfile('run.json').iterations == 4
    tested = CliRunner().invoke(evaluation_command, [config, 'work_dirs/toy/epoch_2.pth', '--json', 'metrics.json'])
    assert tested.exit_code == 0, tested.output
    assert Config.fromfile('metrics.json')['mean'] == 3 * (1 - 0.5**4)


@pytest.mark.parametrize('command', [training_command, evaluation_command])
def test_commands__stray_argument_is_a_usage_error(config: str, command: click.Command) -> None:
    assert CliRunner().invoke(command, [config, 'x.pth', 'stray']).exit_code == 2


def test_default_runtime__each_run_has_its_own_curves(config: str) -> None:
    base = Path(__file__).parents[2] / 'configs/_base_/default_runtime.py'
    Path('toy.py').write_text(f'_base_ = [{str(base)!r}]\n{CONFIG}\nlog_level = "INFO"\n', encoding='utf-8')
    for name in ('one', 'two'):
        assert weight(training.train(config, work_dir=name)['checkpoint']) == 3.0
        assert len(list(Path(name).rglob('events.out.tfevents.*'))) == 1
        assert len(list(Path(name).rglob('scalars.json'))) == 1


@pytest.mark.parametrize(
    ('gpu', 'bf16', 'expected'),
    [
        (True, True, dict(type='fgdet.Bfloat16OptimWrapper')),
        (False, False, dict(type='fgdet.Bfloat16OptimWrapper')),
        (True, False, dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')),
    ],
)
def test_amp__only_float16_scales_its_loss(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, bf16: bool, expected: dict[str, str]
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: bf16)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', dtype='bfloat16', optimizer=dict(type='SGD', lr=0.1))))
    run_options.set_amp(cfg)
    assert cfg.optim_wrapper == expected | dict(optimizer=dict(type='SGD', lr=0.1))


@pytest.mark.parametrize(
    ('state', 'message'),
    [({'other': torch.ones(1)}, '1 of 1 weights are missing: weight'), ({'weight': torch.ones(2)}, 'size mismatch')],
)
def test_checkpoint_of_another_model__is_neither_scored_nor_resumed(
    config: str, state: dict[str, Tensor], message: str
) -> None:
    torch.save({'meta': {'epoch': 1, 'iter': 1}, 'state_dict': state}, 'other.pth')
    with pytest.raises(UserError, match=rf'checkpoint other\.pth: it does not fit .*{message}'):
        training.test(config, 'other.pth')
    with pytest.raises(UserError, match=rf'checkpoint other\.pth: it does not fit .*{message}'):
        training.train(config, resume='other.pth')


def test_train__a_full_disk_is_said_in_one_line(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(training.Runner, 'save_checkpoint', full)
    with pytest.raises(UserError, match=r'work_dir .*toy: its disk is full; .* --resume'):
        training.train(config)


def test_parse_cfg_options__a_path_keeps_its_spaces() -> None:
    options = run_options.parse_cfg_options(['a=/my data/x (1)', 'b= 3', "c='two words'", 'd=[p q,2]'])
    assert options == {'a': '/my data/x (1)', 'b': 3, 'c': 'two words', 'd': ['pq', 2]}
