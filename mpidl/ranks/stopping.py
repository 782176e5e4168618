"""Ends of a run before its last round: a signal, or the time that is left for it.

What stand-ins import too, which must stay small.
"""

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from mpidl.config.outcome import Outcome

WARNINGS = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask for a stop: the terminal is closed, or a batch system or an ensemble tells that
the time is over."""

TERMINAL = (signal.SIGHUP, signal.SIGINT)
"""Signals that a terminal sends to all that was started in it."""

SPARE = 1.25
"""How much longer than the longest so far the next round may take."""

CLOSING = 5.0
"""Seconds that a run needs to close its file and leave."""

asked: list[int] = []
"""The signals by which this process was asked to stop since it listens, in order."""


def listen(*numbers: int) -> dict[int, Any]:
    """Take signals down in ``asked`` from now on, but those that are not heeded.

    Only a program's first thread can; elsewhere nothing is done.

    Returns:
        What was done with each signal before.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in heeded(*numbers)}
    for number in before:
        signal.signal(number, _take)
    return {number: handler or signal.SIG_DFL for number, handler in before.items()}


def heeded(*numbers: int) -> list[int]:
    """All but those of a terminal that this process was started to ignore, as under ``nohup``.

    A batch script may ignore the others until there is work to be asked.
    """
    return [
        number
        for number in numbers
        if number not in TERMINAL or signal.getsignal(number) != signal.SIG_IGN
    ]


@contextmanager
def listening(*numbers: int) -> Iterator[None]:
    """Take signals down for so long; then they do what they did before."""
    known, before = len(asked), listen(*numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del asked[known:]


@contextmanager
def unheard(*numbers: int) -> Iterator[None]:
    """Let signals that are taken down end this process for so long."""
    taken = [number for number in numbers if signal.getsignal(number) == _take]
    for number in taken:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in taken:
        signal.signal(number, _take)


def _take(number: int, frame: FrameType | None) -> None:
    # A batch system may send its warning to every process, and the launcher passes it on too.
    if number == signal.SIGINT and number in asked:
        raise KeyboardInterrupt
    asked.append(number)
    if number == signal.SIGHUP:
        print_into_files_only()


def print_into_files_only() -> None:
    """Nobody reads from a closed terminal, and who writes to it fails."""
    for stream in (1, 2):
        with suppress(OSError):
            if not stat.S_ISREG(os.fstat(stream).st_mode):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)


def wish() -> Outcome | None:
    """How this process was asked to end; None where it was not."""
    if signal.SIGINT in asked:
        return Outcome.INTERRUPTED
    return Outcome.STOPPED if asked else None


class Ends:
    """Whether this rank should stop after its round: it was asked to, or its time is over.

    Args:
        left: Seconds that are left from now on; infinite where nobody says.
    """

    def __init__(self, left: float) -> None:
        # The clock on the wall may be set while the run goes on.
        self._deadline = time.monotonic() + left
        self._began = time.monotonic()
        self._longest = 0.0

    def near(self, saving: float) -> Outcome | None:
        """Say that a round is done; how the run should end here, if it should.

        Args:
            saving: Seconds that it takes to save its state.
        """
        now = time.monotonic()
        self._longest, self._began = max(self._longest, now - self._began), now
        needed = SPARE * self._longest + 2 * saving + CLOSING
        over = Outcome.STOPPED if self._deadline - now < needed else None
        return wish() or over
