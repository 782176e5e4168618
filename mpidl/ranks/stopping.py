"""Stopping of a run before its last round: by a signal, or at the end of its time.

Stand-ins import this module too, so it must stay small.
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
"""Signals that ask for a stop: the terminal was closed, or a batch system or an ensemble says that
the time is over."""

TERMINAL = (signal.SIGHUP, signal.SIGINT)
"""Signals that a terminal sends to all processes that were started in it."""

SPARE = 1.25
"""Factor by which the next round may take longer than the longest so far."""

CLOSING = 5.0
"""Seconds that a run needs to close its file and leave."""

asked: list[int] = []
"""The signals that asked this process to stop since it listens, in order."""

received: list[int] = []
"""All signals that this process recorded so far, in order."""


def listen(*numbers: int) -> dict[int, Any]:
    """Record signals in ``asked`` from now on, except those that are not heeded.

    Only the main thread of a program can do this; in others nothing happens.

    Returns:
        The former handler of each signal.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in heeded(*numbers)}
    for number in before:
        signal.signal(number, _take)
    return {number: handler or signal.SIG_DFL for number, handler in before.items()}


def heeded(*numbers: int) -> list[int]:
    """The signals that this process handles: all but ignored ones of a terminal, as by ``nohup``.

    A batch script may ignore the others until there is work that they can ask to stop.
    """
    return [
        number
        for number in numbers
        if number not in TERMINAL or signal.getsignal(number) != signal.SIG_IGN
    ]


@contextmanager
def listening(*numbers: int) -> Iterator[None]:
    """Record signals within the context; afterwards their former handlers are back."""
    earlier, before = len(asked), listen(*numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del asked[earlier:]


@contextmanager
def unheard(*numbers: int) -> Iterator[None]:
    """Let recorded signals end this process within the context."""
    taken = [number for number in numbers if signal.getsignal(number) == _take]
    for number in taken:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in taken:
        signal.signal(number, _take)


def _take(number: int, frame: FrameType | None) -> None:
    # One warning may come twice: from the batch system to every process, and from the launcher.
    if number == signal.SIGINT and number in asked:
        raise KeyboardInterrupt
    asked.append(number)
    received.append(number)
    if number == signal.SIGHUP:
        print_into_files_only()


def print_into_files_only() -> None:
    """Redirect output to nowhere unless it is a file: writing to a closed terminal fails."""
    for stream in (1, 2):
        with suppress(OSError):
            if not stat.S_ISREG(os.fstat(stream).st_mode):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)


def wish() -> Outcome | None:
    """The outcome that a signal asked this process for; None without a signal."""
    if signal.SIGINT in asked:
        return Outcome.INTERRUPTED
    return Outcome.STOPPED if asked else None


class Ends:
    """The end of this rank's time, and its requests to stop.

    Args:
        left: Seconds that are left from now on; infinite if unknown.
    """

    def __init__(self, left: float) -> None:
        # The system clock may be changed while the run goes on.
        self._deadline = time.monotonic() + left
        self._began = time.monotonic()
        self._longest = 0.0

    def near(self, saving: float) -> Outcome | None:
        """Count a round as done, and return the outcome with which the run should end, or None.

        Args:
            saving: Seconds that it takes to save the state.
        """
        now = time.monotonic()
        self._longest, self._began = max(self._longest, now - self._began), now
        needed = SPARE * self._longest + 2 * saving + CLOSING
        over = Outcome.STOPPED if self._deadline - now < needed else None
        return wish() or over
