"""Ends what a driver left on this host, however the driver came to its end.

Started by the driver with a pipe as standard input: its end is the driver's. Every process of the
driver's carries the driver's mark in its environment, by which it is found. What else is to be done
then, such as taking jobs out of a queue, the driver writes to the pipe, a command a line.
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
"""Takes the words of a command that is to be given when the driver has ended."""


@contextmanager
def kept(mark: str) -> Iterator[Later]:
    """Let no process of this driver outlive it: those started in the context carry the mark."""
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
    """The processes of this host that carry a mark."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and wanted in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


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
        # What it is about is mostly gone.
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(shlex.split(command), capture_output=True, timeout=LIMIT)
