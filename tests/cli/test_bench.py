"""``fgdet bench``: finding, running and printing benchmarks; the timing they share; region-pool on a small case."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from fgdet.cli import bench
from fgdet.utils.checks import UserError

RECORD_KEYS = {'name', 'ratio', 'ratios', 'max_error', 'ours_seconds', 'theirs_seconds', 'settings', 'versions'}
FAKE = '''"""Fake comparison.

More words.
"""

def run(repeats=3, threads=None):
    return dict(name='fake', ratio=2.5, ratios=[2.5], max_error=1e-7, ours_seconds=0.002, theirs_seconds=0.005,
                settings=dict(repeats=repeats, threads=threads), versions={})
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'fake_one.py').write_text(FAKE)
    (tmp_path / 'helper.py').write_text('"""No benchmark."""\n\ndef runs(): pass\n')
    monkeypatch.setattr(bench, 'FOLDER', tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(bench.FOLDER)
    return import_module


def test_bench__lists_what_defines_run(folder):
    result = CliRunner().invoke(bench.command, [])
    assert result.exit_code == 0
    assert result.output.split('\n') == ['fake-one        Fake comparison.', '']


def test_bench__runs_prints_and_writes(folder):
    result = CliRunner().invoke(bench.command, ['fake-one', '--json', str(folder / 'out.json'), '--repeats', '5'])
    assert result.exit_code == 0, result.output
    assert result.output.split('\n')[1].split() == ['fake', '2.50x', '2.00', '5.00', '1.0e-07']
    record = json.loads((folder / 'out.json').read_text())
    assert set(record) == RECORD_KEYS
    assert record['settings'] == {'repeats': 5, 'threads': None}


def test_bench__own_table_and_files(folder):
    (folder / 'own_table.py').write_text(
        '"""Own table."""\n\ndef run(out="here"):\n    return dict(name="own-table", text=f"in {out}\\n")\n'
    )
    result = CliRunner().invoke(bench.command, ['own-table', '--out', 'there'])
    assert (result.exit_code, result.output) == (0, 'in there\n')
    with pytest.raises(UserError, match='--out there: benchmark fake-one writes no files'):
        CliRunner().invoke(bench.command, ['fake-one', '--out', 'there'], catch_exceptions=False)


def test_bench__unknown_name(folder):
    with pytest.raises(UserError, match=r"'fake_one': no such benchmark; choose from fake-one$"):
        CliRunner().invoke(bench.command, ['fake_one'], catch_exceptions=False)
    assert CliRunner().invoke(bench.command, ['fake-one', '--repeats', '0']).exit_code == 2


def test_bench__no_source_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, 'FOLDER', tmp_path / 'tools' / 'bench')
    with pytest.raises(UserError, match='need a source checkout'):
        CliRunner().invoke(bench.command, ['region-pool'], catch_exceptions=False)


def test_bench__every_benchmark_has_a_line():
    found = bench.find_benchmarks(bench.FOLDER)
    assert 'region-pool' in found
    assert 'timing' not in found
    assert all(line.endswith('.') for _, line in found.values())


def test_alternate__in_turn_after_one_warm_up(load, monkeypatch):
    timing = load('timing')
    calls, clock = [], iter(range(100))

    def work(name, seconds):
        calls.append(name)
        for _ in range(seconds):
            next(clock)

    monkeypatch.setattr(timing.time, 'perf_counter', lambda: next(clock))
    comparison = timing.alternate(lambda: work('ours', 1), lambda: work('theirs', 5), repeats=2)
    assert calls == ['ours', 'theirs'] * 3
    assert comparison == ([2, 2], [6, 6])
    assert comparison.ratios == [3.0, 3.0]
    with pytest.raises(ValueError, match='repeats'):
        timing.alternate(print, print, repeats=0)


def test_record__medians(load):
    timing = load('timing')
    record = timing.record('x', timing.Comparison([1.0, 2.0, 4.0], [3.0, 10.0, 4.0]), 0.5, {'size': 7})
    assert set(record) == RECORD_KEYS
    assert (record['ratio'], record['ours_seconds'], record['theirs_seconds']) == (3.0, 2.0, 4.0)
    assert record['settings'] == {'size': 7, 'repeats': 3, 'threads': torch.get_num_threads()}
    assert record['versions']['torch'].split('+')[0] == torch.__version__.split('+')[0]


def test_num_threads__restored(load):
    before = torch.get_num_threads()
    with load('timing').num_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_region_pool__small_cases(load):
    region_pool = load('region_pool')
    cases = (region_pool.Case(1, 6, 8, 5), region_pool.Case(3, 4, 8, 2))
    record = region_pool.run(repeats=2, threads=1, cases=cases)
    assert set(record) == RECORD_KEYS | {'cases'}
    assert record['name'] == 'region-pool'
    assert record['ratio'] == record['cases'][0]['ratio'] > 0
    for case in record['cases']:
        assert set(case) == RECORD_KEYS
        assert case['max_error'] == max(case['settings']['output_error'], case['settings']['gradient_error']) < 1e-5
        assert len(case['ratios']) == 2


def test_contrastive_memory__small(load, monkeypatch):
    bench_file = load('contrastive_memory')
    measure = bench_file._in_new_process
    monkeypatch.setattr(  # one new process is enough here
        bench_file, '_in_new_process', lambda f, form, *args: measure(f, form, *args) if form == 'ours' else 0.5
    )
    record = bench_file.run(repeats=1, threads=1, num_pairs=3000, num_timed=1200, dim=8)
    assert set(record) == RECORD_KEYS | {'ours_gib', 'theirs_gib', 'logits_gib'}
    assert record['max_error'] < 1e-5
    squares = 2 * 1024**2 * 4 / 2**30  # two tiles of float32; libraries' scratch comes on top
    assert squares < record['ours_gib'] < 0.03
    assert record['logits_gib'] == pytest.approx(4 * 3000**2 / 2**30)
