"""Timing of runs: whether one fits on the nodes that are there, or that a job will have."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from mpidl.config.outcome import Outcome as Ending
from mpidl.ensemble import allocation
from mpidl.ensemble.pool import SILENCE, Request
from mpidl.ensemble.study import Run
from mpidl.ensemble.worker import Outcome

LOOK, PAUSE = 1.0, 150.0
"""Seconds at least and at most until a job with no time left for a run is tried again.

It may be gone by then: Parsl gives up a job in which nothing has gone on for two minutes.
"""


@dataclass(frozen=True)
class Orders:
    """What a driver is told.

    Attributes:
        retries: Attempts after the first one.
        ends: When the nodes are taken away, in seconds since 1970; None if never.
    """

    retries: int = 1
    ends: float | None = None


class Timing:
    """Says which runs may start.

    Args:
        request: Nodes.
        orders: Of the driver.
        expected: Seconds that a run takes at most, if anything is known.

    Attributes:
        whole: Seconds for which a run that begins first has its nodes.
        reserve: Seconds before the end of a job in which no run goes on; where the driver knows
            when its nodes are taken away, its orders have that already.
    """

    def __init__(
        self, request: Request, orders: Orders, expected: Callable[[Run], float | None]
    ) -> None:
        self._ends, self._walltime, self._expected = orders.ends, request.walltime, expected
        self._rests: dict[str, float] = {}
        self._hold = 0.0
        self.reserve = 0.0 if orders.ends else allocation.reserve(request.walltime)
        self.whole = self._left()

    def over(self) -> bool:
        """Whether the nodes are taken away."""
        return self._ends is not None and time.time() > self._ends

    def fits(self, run: Run) -> bool:
        """Whether there is, or will be, time for a run."""
        rests = max(0.0, self._rests.get(run.name, 0.0) - time.time())
        # Other nodes than those on which it stopped have all their time for it.
        return self.needed(run) < self._left() - (rests if self._ends else 0.0)

    def now(self, run: Run) -> bool:
        """Whether a run may start now."""
        earliest = max(self._hold, self._rests.get(run.name, 0.0))
        return time.time() > earliest and self.fits(run)

    def needed(self, run: Run) -> float:
        """Seconds for which a run is worth starting: until its end, or for half a walltime.

        One of which nothing is known may take as long as any.
        """
        expected = self._expected(run)
        if expected is None:
            return self.whole / 2 if math.isfinite(self.whole) else 0.0
        return min(expected, self.whole / 2)

    def learn(self, run: Run, outcome: Outcome) -> None:
        """Take in how long the nodes are there on which a run was not started, or stopped."""
        if outcome.code is None and not self._ends:
            # The nodes of this job are taken away too soon; the next one has others.
            self._hold = time.time() + min(max(LOOK, outcome.left + SILENCE), PAUSE)
        elif outcome.code == Ending.STOPPED.code and math.isfinite(outcome.left):
            # Where it stopped for want of time it is not started again on what is left, nor handed
            # to nodes that are gone and that Parsl still has.
            self._rests[run.name] = time.time() + outcome.left + SILENCE

    def _left(self) -> float:
        """Seconds for which a run that begins now has its nodes."""
        if self._ends is not None:
            return self._ends - time.time()
        return (self._walltime or math.inf) - self.reserve
