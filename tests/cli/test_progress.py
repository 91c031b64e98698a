"""Plain progress lines: each part's begin and end once, and the time that is left."""

import time

from fgdet.cli.progress import PartsProgress


def test_parts_progress__plain_lines(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    with PartsProgress({'first': 30.0, 'second': 70.0}) as progress:
        progress.update('first', 0.0, '')
        now[0] += 15
        progress.update('first', 0.5, 'step 5/10')  # too soon for a line
        now[0] += 15
        progress.update('first', 1.0, '')
        progress.update('first', 1.0, '')
        progress.update('second', 0.0, '')
        now[0] += 21
        progress.update('second', 0.3, 'step 3/10')
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        '[  0%] first: started; time left not known yet',
        '[ 30%] first: done; about 70 s left',  # 30 s for 30 of 100
        '[ 30%] second: started; about 70 s left',
        '[ 51%] second: step 3/10; about 49 s left',  # 51 s for 51 of 100
    ]
