"""The command as a process: what a signal leaves behind."""

import signal
import subprocess
import sys

import pytest

from fgdet.cli import main
from fgdet.utils.files import write_text

# A command that tells that it waits, and that was left in good order.
SCRIPT = """
import sys, time
import fgdet.cli.main as main

def cli():
    try:
        print('waiting', flush=True)
        time.sleep(60)
    finally:
        print('saved', flush=True)

main.cli = cli
main.main()
"""


def test_main__a_file_that_cannot_be_written_is_named_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(main, 'cli', lambda: write_text(tmp_path, 'a'))
    with pytest.raises(SystemExit, match='1'):
        main.main()
    assert capsys.readouterr().err == f'fgdet: error: {tmp_path}: it cannot be read or written (Is a directory)\n'


def test_main__told_to_end_leaves_in_good_order():
    with subprocess.Popen([sys.executable, '-c', SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'waiting\n'
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == 'saved\n'
    assert process.returncode == 128 + signal.SIGTERM
