"""The command as a process: what a signal leaves behind."""

import signal
import subprocess
import sys

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


def test_main__told_to_end_leaves_in_good_order():
    with subprocess.Popen([sys.executable, '-c', SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'waiting\n'
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == 'saved\n'
    assert process.returncode == 128 + signal.SIGTERM
