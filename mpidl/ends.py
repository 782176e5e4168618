"""What ends a run before its last round: a signal, or the time that is left for it."""

import signal
import time
from types import FrameType

from mpidl.outcome import Outcome

WARNINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals by which a batch system, or an ensemble, tells that the time is over."""

SPARE = 1.25
"""How much longer than the longest so far the next round may take."""

CLOSING = 5.0
"""Seconds that a run needs to close its file and leave."""


class Ends:
    """Whether this rank was asked to stop after its round.

    A first Ctrl-C asks, too; a second one raises KeyboardInterrupt at once.

    Args:
        left: Seconds that are left from now on; infinite where nobody says.
    """

    def __init__(self, left: float) -> None:
        # The clock on the wall may be set while the run goes on.
        self._deadline = time.monotonic() + left
        self._asked: list[int] = []
        self._began = time.monotonic()
        self._longest = 0.0
        for number in (signal.SIGINT, *WARNINGS):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        # A batch system may send its warning to every process, and the launcher passes it on too.
        if number == signal.SIGINT and number in self._asked:
            raise KeyboardInterrupt
        self._asked.append(number)

    def near(self, saving: float) -> Outcome | None:
        """Say that a round is done; how the run should end here, if it should.

        Args:
            saving: Seconds that it takes to save its state.
        """
        now = time.monotonic()
        self._longest, self._began = max(self._longest, now - self._began), now
        needed = SPARE * self._longest + 2 * saving + CLOSING
        if signal.SIGINT in self._asked:
            return Outcome.INTERRUPTED
        over = bool(self._asked) or self._deadline - now < needed
        return Outcome.STOPPED if over else None
