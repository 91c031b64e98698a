"""The ablation: its arithmetic on hand-made scores, what is equal between variants, resumption, a short real run."""

import json
from dataclasses import replace

import pytest
import torch

from fgdet.apis import ablation
from fgdet.apis.ablation import SCORES, STARTS, VARIANTS, AblationPlan, run_ablation, run_names, summarise
from fgdet.apis.ablation_report import markdown_table, write_plot
from fgdet.utils.checks import UserError
from fgdet.utils.configs import config_file, read_config

# Scores of the seeds 0, 1, 2; means and sample standard deviations by hand: 0.2 and sqrt(0.02 / 2) = 0.1, and so on.
HAND = {
    'stage1': dict(retrieval_r1=[0.1, 0.2, 0.3], region_top1=[0.0] * 3, hard_negative_top1=[0.1] * 3),
    'stage2_global': dict(retrieval_r1=[0.5] * 3, region_top1=[0.1, 0.2, 0.0], hard_negative_top1=[0.2] * 3),
    'stage2_region': dict(retrieval_r1=[0.5] * 3, region_top1=[0.3, 0.6, 0.3], hard_negative_top1=[0.5, 0.5, 0.8]),
    'stage2_hard_negative': dict(retrieval_r1=[0.4] * 3, region_top1=[0.7] * 3, hard_negative_top1=[0.7, 0.6, 0.8]),
    'stage2_region_control': dict(retrieval_r1=[0.4] * 3, region_top1=[0.7] * 3, hard_negative_top1=[0.8, 0.5, 0.6]),
    'sparse_stage1': dict(retrieval_r1=[0.1] * 3, region_top1=[0.0] * 3, hard_negative_top1=[0.1] * 3),
    'sparse_region': dict(retrieval_r1=[0.4] * 3, region_top1=[0.7] * 3, hard_negative_top1=[0.7] * 3),
    'sparse_hard_negative': dict(retrieval_r1=[0.4] * 3, region_top1=[0.7] * 3, hard_negative_top1=[0.9, 0.8, 0.8]),
    'sparse_region_control': dict(retrieval_r1=[0.4] * 3, region_top1=[0.7] * 3, hard_negative_top1=[0.7] * 3),
}
PLAN = AblationPlan(stage1_iterations=4, stage2_iterations=3, held_out_scenes=12, seeds=(0, 3))


def hand_runs(seeds):
    return [
        {'seed': seed, 'variant': variant, **{score: values[seed] for score, values in scores.items()}}
        for seed in seeds
        for variant, scores in HAND.items()
    ]


def quiet(part, done, line):
    pass


def test_summarise__hand_worked():
    summary = summarise(hand_runs([2, 0, 1]))
    assert summary['table']['stage1']['retrieval_r1'] == pytest.approx({'mean': 0.2, 'std': 0.1})
    assert summary['table']['stage2_region']['region_top1'] == pytest.approx({'mean': 0.4, 'std': 0.03**0.5})
    region, hard = summary['claims']
    assert region['differences'] == pytest.approx({'0': 0.2, '1': 0.4, '2': 0.3})
    assert region | {'differences': 0} == pytest.approx(
        dict(
            score='region_top1',
            variant='stage2_region',
            than='stage2_global',
            mean=0.3,
            std=0.1,
            every_seed=True,
            differences=0,
        )
    )
    assert hard['differences'] == pytest.approx({'0': 0.2, '1': 0.1, '2': 0.0})
    assert not hard['every_seed']  # a tie is no lift
    assert [control['mean'] for control in summary['controls']] == pytest.approx([0.2 / 3, 0.4 / 3, 0.4 / 3])


def test_summarise__one_seed_has_no_spread():
    summary = summarise(hand_runs([1]))
    assert summary['table']['stage2_region']['region_top1'] == {'mean': 0.6, 'std': None}
    assert summary['claims'][0]['std'] is None


def test_report__table_claims_and_plot(tmp_path):
    runs = hand_runs([0, 1, 2])
    record = {'runs': runs, **summarise(runs)}
    lines = markdown_table(record).splitlines()
    assert lines[0] == '| trained with | retrieval R@1 | region top-1 | hard-negative accuracy |'
    assert lines[2] == '| stage 1 | 20.0 ± 10.0 | 0.0 ± 0.0 | 10.0 ± 0.0 |'
    assert lines[-4] == (
        '- hard-negative accuracy, "hard negatives" over "region loss": +20.0 (seed 0), +10.0 (seed 1), +0.0 (seed 2); '
        'mean +10.0 ± 10.0; NOT every seed agrees.'
    )
    one = markdown_table({'runs': hand_runs([1]), **summarise(hand_runs([1]))})
    assert '| + region loss | 50.0 | 60.0 | 50.0 |' in one
    write_plot(record, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def test_configs__variants_of_stage_2_differ_by_their_losses_alone():
    configs = {variant: read_config(config_file(f'ablation/{variant}.py')).to_dict() for variant in VARIANTS}
    losses = {}
    for variant, config in configs.items():
        losses[variant] = {key: config['model'].pop(key) for key in list(config['model']) if key.endswith('_loss')}
        config.pop('filename', None)
    assert all(configs[variant] == configs[start] for variant, start in STARTS.items())
    weights = {
        variant: [terms.get(f'{name}_loss', {}).get('loss_weight', 0) for name in ('global', 'region', 'hard_negative')]
        for variant, terms in losses.items()
    }
    assert weights == dict(
        stage1=[1, 0, 0],
        stage2_global=[1, 0, 0],
        stage2_region=[1, 0.1, 0],
        stage2_hard_negative=[1, 0.1, 0.5],  # arXiv 2505.05071, 3.2
        stage2_region_control=[1, 0.1 + 0.5, 0],
        sparse_stage1=[1, 0, 0],
        sparse_region=[0.2, 1, 0],
        sparse_hard_negative=[0.2, 1, 1],
        sparse_region_control=[0.2, 1 + 1, 0],
    )


@pytest.fixture
def fake_runs(monkeypatch):
    """Runs that train nothing; the list of those that were asked for."""
    asked = []

    def run_stage(stage, on_progress):
        asked.append(stage)
        stage.work_dir.mkdir(parents=True)
        checkpoint = stage.work_dir / f'iter_{stage.iterations}.pth'
        checkpoint.write_text('weights')
        return checkpoint

    scores = {score: 0.5 for score in SCORES}
    monkeypatch.setattr(ablation, 'run_stage', run_stage)
    monkeypatch.setattr(ablation, 'score_on_scenes', lambda checkpoint, world, num_scenes: scores)
    return asked


def test_run_ablation__variants_of_a_seed_start_alike(tmp_path, fake_runs):
    run_ablation(tmp_path, PLAN, quiet)
    assert [stage.name for stage in fake_runs] == run_names(PLAN)
    for seed, stages in ((0, fake_runs[::2]), (3, fake_runs[1::2])):
        of = dict(zip(VARIANTS, stages, strict=True))
        assert {stage.options['randomness.seed'] for stage in stages} == {seed}
        assert {stage.options['train_dataloader.dataset.seed'] for stage in stages} == {seed}
        for start, steps in (('stage1', 4), ('sparse_stage1', 8)):  # 32 and 16 scenes a step
            later = [of[variant] for variant in STARTS if STARTS[variant] == start]
            assert of[start].iterations == steps
            assert of[start].options['train_dataloader.dataset.start'] == 0
            assert 'model.clip.checkpoint' not in of[start].options
            assert all(stage.options == later[0].options for stage in later)
            assert later[0].options['train_dataloader.dataset.start'] == 4 * 32
            weights = tmp_path / f'seed{seed}' / start / f'iter_{steps}.pth'
            assert later[0].options['model.clip.checkpoint'] == str(weights)


def test_run_ablation__finished_runs_are_not_trained_again(tmp_path, fake_runs):
    whole = run_ablation(tmp_path, PLAN, quiet)
    (tmp_path / 'seed0' / 'stage2_region.json').unlink()  # as if that run had been interrupted
    (tmp_path / 'seed3' / 'stage1' / 'iter_4.pth').unlink()  # nothing could start from its stage 1
    fake_runs.clear()
    again = run_ablation(tmp_path, PLAN, quiet)
    assert [stage.work_dir.relative_to(tmp_path).as_posix() for stage in fake_runs] == [
        'seed3/stage1',
        'seed0/stage2_region',
    ]
    assert again['table'] == whole['table']
    with pytest.raises(UserError, match=r'seed0/stage1\.json: of other settings'):
        run_ablation(tmp_path, replace(PLAN, stage1_iterations=5), quiet)


def test_run_ablation__bad_arguments(tmp_path):
    with pytest.raises(UserError, match='comma'):
        run_ablation(tmp_path / 'a,b', PLAN, quiet)
    with pytest.raises(UserError, match=r'seeds: expected distinct numbers'):
        AblationPlan(seeds=(1, 1))
    with pytest.raises(UserError, match=r'stage2_iterations: expected at least 2, got 0'):
        AblationPlan(stage2_iterations=0)


@pytest.mark.slow
def test_run_ablation__few_steps(tmp_path):
    record = run_ablation(tmp_path, replace(PLAN, seeds=(1,)), quiet)
    assert [run['variant'] for run in record['runs']] == list(VARIANTS)
    assert all(0 <= run[score] <= 1 for run in record['runs'] for score in SCORES)
    assert json.loads(json.dumps(record)) == record | {'plan': record['plan'] | {'seeds': [1]}}
    weights = {
        variant: torch.load(path, weights_only=False)['state_dict']
        for variant in VARIANTS
        for path in [next((tmp_path / 'seed1' / variant).glob('*.pth'))]
    }
    scale = 'clip.logit_scale_region'
    assert torch.equal(weights['stage1'][scale], weights['stage2_global'][scale])
    assert not torch.equal(weights['stage1'][scale], weights['stage2_region'][scale])
