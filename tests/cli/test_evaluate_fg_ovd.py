import json
from pathlib import Path

from click.testing import CliRunner

from fgdet.cli.evaluate import command
from tests.fg_ovd_builders import fg_ovd_row, write_rows


def test_fg_ovd__a_row_for_each_difficulty(tmp_path: Path) -> None:
    arguments, entries = ['fg-ovd'], []
    kinds = {'hard': '1_attributes', 'medium': '2_attributes', 'easy': '3_attributes', 'trivial': 'shuffle_negatives'}
    scores = {'hard': (1, 0, 2), 'medium': (2, 2, 0), 'easy': (2, 1, 0), 'trivial': (0, 1, 2)}
    for name, kind in kinds.items():
        row = fg_ovd_row(1, [1, 2, 3, 4], 0, [1, 2], test_type=kind)
        arguments += ['--ann', str(write_rows(tmp_path / f'{name}.jsonl', [row]))]
        for caption, score in enumerate(scores[name]):
            entry = dict(image_id=1, category_id=caption, bbox=[1, 2, 3, 4], score=score, subset=name, line=1)
            entries.append(entry)
    saved, scores_file = tmp_path / 'ranks.json', tmp_path / 'scores.json'
    saved.write_text(json.dumps(entries))
    result = CliRunner().invoke(command, [*arguments, '--pred', str(saved), '--json', str(scores_file)])
    assert result.exit_code == 0, result.output
    written = json.loads(scores_file.read_text())
    assert [written[name] for name in kinds] == [0, 1, 1, 0] and written['medium_strict'] == 0
    assert written['protocol'].startswith('FG-OVD rank accuracy') and written['inputs']['pred'] == str(saved)
    protocol, header, *rows = result.output.splitlines()
    assert protocol == written['protocol'] and header.split() == ['accuracy', 'ties', 'wrong', 'boxes']
    assert [row.split() for row in rows[1:3]] == [['medium', '100.00', '0.00', '1'], ['easy', '100.00', '100.00', '1']]
