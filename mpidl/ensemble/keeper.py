"""Keeper: a process that ends what a driver left on this host, however the driver ended.

The driver starts it with a pipe as standard input; when the pipe closes, the driver has ended.
Every process that the driver started has the driver's mark in its environment, by which the keeper
finds it. The driver writes further commands for its end, such as those that take jobs out of a
queue, to the pipe, one a line.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "MPIDL_DRIVER"
"""Variable that marks the processes of a driver."""

PATIENCE = 10.0
"""Seconds in which processes may end by themselves before they are killed."""

LIMIT = 60.0
"""Seconds that a command may take."""

Later = Callable[..., None]
"""Takes the words of a command that the keeper runs when the driver has ended."""


@contextmanager
def kept(mark: str) -> Iterator[Later]:
    """Let no process that is started in this context outlive the driver; each carries the mark."""
    keeper = subprocess.Popen(
        [sys.executable, __file__, mark], stdin=subprocess.PIPE, start_new_session=True
    )
    assert keeper.stdin is not None
    pipe = keeper.stdin.fileno()
    # Parsl renames its processes, which would overwrite the place where marks are read.
    own = {MARK: mark, "SPT_NOENV": "1"}
    os.environ.update(own)

    def later(*words: str) -> None:
        # A keeper that somebody killed must not stop the work.
        with suppress(OSError):
            os.write(pipe, f"{shlex.join(words)}\n".encode())

    try:
        yield later
    finally:
        for name in own:
            del os.environ[name]
        keeper.communicate()


def marked(mark: str) -> list[int]:
    """The numbers of the processes of this host that carry a mark."""
    wanted, processes = f"{MARK}={mark}".encode(), []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and wanted in (place / "environ").read_bytes().split(b"\0"):
                processes.append(int(place.name))
    return processes


def end(mark: str, patience: float = PATIENCE) -> None:
    """Ask the processes with a mark to end, and kill those that do not."""
    asked, deadline = set[int](), time.monotonic() + patience
    while left := marked(mark):
        late = time.monotonic() > deadline
        for process in left:
            if late or process not in asked:
                asked.add(process)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    commands = sys.stdin.read().splitlines()
    end(sys.argv[1])
    for command in commands:
        # A command may fail: the job that it names has mostly ended.
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(shlex.split(command), capture_output=True, timeout=LIMIT)
