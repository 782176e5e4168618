"""The command that tries stacks, when it is killed."""

import signal
import subprocess
import sys
import time

import pytest

from mpidl.ranks import host

COMMAND = """
import subprocess
from tests.stacks import __main__ as command

command._set_up = lambda stack: subprocess.run(["sh", "-c", "sleep 99 & echo $!; wait"])
command.main(["mpich"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_it_started_ends_with_it(number):
    command = [sys.executable, "-c", COMMAND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        sleeping = int(process.stdout.readline())
        process.send_signal(number)
    deadline = time.monotonic() + 60
    while host.lives(sleeping) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.returncode not in (0, 2)
    assert not host.lives(sleeping)
