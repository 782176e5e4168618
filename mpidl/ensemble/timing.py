"""Timing of runs: whether a run fits in the time of the nodes that are there, or of a new job."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from mpidl.config.outcome import Outcome as Ending
from mpidl.ensemble import allocation
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.pool import SILENCE
from mpidl.ensemble.study import Run
from mpidl.ensemble.worker import Outcome

LOOK, PAUSE = 1.0, 150.0
"""The fewest and the most seconds until a job without time for a run is tried again.

The job may have ended by then: Parsl gives up a job that was idle for two minutes.
"""


@dataclass(frozen=True)
class Orders:
    """Orders to a driver.

    Attributes:
        retries: Attempts after the first one.
        ends: The moment when the nodes are taken away, in seconds since 1970; None if never.
        brief: Whether only what went wrong is shown.
    """

    retries: int = 1
    ends: float | None = None
    brief: bool = False


class Timing:
    """Decides which runs may start.

    Args:
        request: The nodes.
        orders: The orders of the driver.
        expected: Seconds that a run takes at most; None if unknown.

    Attributes:
        walltime: Seconds for which a run that starts first has its nodes.
        reserve: Seconds before the end of a job in which no run goes on; 0 if the orders name the
            end, from which the reserve is subtracted already.
    """

    def __init__(
        self, request: NodeRequest, orders: Orders, expected: Callable[[Run], float | None]
    ) -> None:
        self._ends, self._walltime, self._expected = orders.ends, request.walltime, expected
        self._rests: dict[str, float] = {}
        self._hold = 0.0
        self.reserve = 0.0 if orders.ends else allocation.reserve(request.walltime)
        self.walltime = self._left()

    def over(self) -> bool:
        """Whether the nodes are taken away."""
        return self._ends is not None and time.time() > self._ends

    def fits(self, run: Run) -> bool:
        """Whether there is, or will be, time for a run."""
        rests = max(0.0, self._rests.get(run.name, 0.0) - time.time())
        # On nodes other than those where it stopped, the run has all their time.
        return self.needed(run) < self._left() - (rests if self._ends else 0.0)

    def now(self, run: Run) -> bool:
        """Whether a run may start now."""
        earliest = max(self._hold, self._rests.get(run.name, 0.0))
        return time.time() > earliest and self.fits(run)

    def needed(self, run: Run) -> float:
        """Seconds of time left that a run needs to start: its own, or half a walltime if less.

        A run of unknown time needs half a walltime.
        """
        expected = self._expected(run)
        if expected is None:
            return self.walltime / 2 if math.isfinite(self.walltime) else 0.0
        return min(expected, self.walltime / 2)

    def learn(self, run: Run, outcome: Outcome) -> None:
        """Record how long the nodes will be there on which a run was not started, or stopped."""
        if outcome.code is None and not self._ends:
            # The nodes of this job are taken away too soon; the next job has others.
            self._hold = time.time() + min(max(LOOK, outcome.left + SILENCE), PAUSE)
        elif outcome.code == Ending.STOPPED.code and math.isfinite(outcome.left):
            # A run that stopped for want of time is not started again in the time that is left,
            # nor on nodes that are gone while Parsl still lists them.
            self._rests[run.name] = time.time() + outcome.left + SILENCE

    def _left(self) -> float:
        """Seconds for which a run that starts now has its nodes."""
        if self._ends is not None:
            return self._ends - time.time()
        return (self._walltime or math.inf) - self.reserve
