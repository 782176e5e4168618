"""Watchdog: the ranks of a node watch each other, so that no rank waits forever for another.

Each rank notes in shared memory when it works and when it waits. Its watchdog, a thread, reads the
notes of all ranks of the node. It ends the job if a rank has ended without a message, or if ranks
have waited for another longer than their patience; the message names the rank that is late.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

import numpy as np
import numpy.typing as npt

from mpidl.ranks import departures, host
from mpidl.ranks.departures import Reports, named

PATIENCE = 1800.0
"""Seconds that ranks wait for a late one, by default."""

PERIOD = 0.5
"""Seconds between two looks, if every rank has a core; else more."""

GRACE = 3.0
"""Seconds that a launcher has to end a job after a rank ended, and a rank to print the reason."""

GONE = 10.0
"""Seconds that a rank waits for one that has left, as what it waits for may be another."""

FIELDS = (
    *("process", "namespace", "works", "phase", "since", "beat", "code"),
    *("calls", "left", "ended"),
)
"""Notes of a rank: its process and PID namespace; the number of finished works; its phase, and
since when; when its watchdog looked last; the exit code with which it ends, plus 1; the number of
calls of its program, and how many there were, plus 1, when it left its loop and when it ended."""

AWAY = "its own program"
"""The phase of a rank between two calls of a program that mpidl works in."""

PHASES = ("waiting", "start", "training", "evaluation", "recording", "checkpointing", AWAY)
"""Phases of a rank; in the first it only waits."""

Notes = npt.NDArray[np.float64]


class Watchdog:
    """Watches over the ranks of one node.

    Args:
        notes: ``FIELDS`` of each rank of the node, in memory that they share; zeros at first.
        own: This rank's index in it.
        ranks: The number of each among all ranks.
        elsewhere: The names of other nodes.
        crowd: The most ranks per core of the node.
        abort: Ends the job with an exit code.
        reports: What is told of departures, and to whom; None if all ranks leave together.

    Attributes:
        patience: Seconds that this rank waits for a late one.
        crowded: Whether ranks outnumber cores.
    """

    def __init__(
        self,
        notes: Notes,
        own: int,
        ranks: Sequence[int],
        elsewhere: Sequence[str],
        crowd: float,
        abort: Callable[[int], None],
        reports: Reports | None = None,
    ) -> None:
        self._notes, self._own, self._ranks = notes, own, list(ranks)
        self._elsewhere, self._abort = list(elsewhere), abort
        self._reports, self._missed_since = reports, math.inf
        self._period = PERIOD * max(1.0, crowd / 4)
        self.patience, self.crowded = PATIENCE, crowd > 1
        self._over = threading.Event()
        now = time.monotonic()
        self._say(process=os.getpid(), namespace=host.namespace(), since=now, beat=now)
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin, after all ranks of the node have written their processes."""
        self._thread.start()

    def stop(self, code: int = 0) -> None:
        """End, and note the exit code of this rank, so that the others do not miss it."""
        self._say(code=code + 1)
        self._over.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def working(self, phase: str) -> Iterator[None]:
        """Note that this rank works, so that others wait for it; each rank does the same works."""
        self.begin(phase)
        try:
            yield
        finally:
            self.done()

    def begin(self, phase: str) -> None:
        """Note that this rank works from now on, until :meth:`done`."""
        self._say(phase=PHASES.index(phase), since=time.monotonic())

    def done(self) -> None:
        """Note that a work is done, and that this rank waits from now on."""
        works = self._notes[self._own, FIELDS.index("works")]
        self._say(works=works + 1, phase=0, since=time.monotonic())

    def call(self) -> None:
        """Note that the program calls, after it did something else."""
        self._say(calls=self._heard("calls")[self._own] + 1)
        self.done()

    def leave(self, way: str) -> None:
        """Note that there are no more calls, as the program ``left`` its loop or ``ended``."""
        self._say(**{way: self._heard("calls")[self._own] + 1})

    def _say(self, **fields: float) -> None:
        for key, value in fields.items():
            self._notes[self._own, FIELDS.index(key)] = value

    def _heard(self, key: str) -> Notes:
        column: Notes = self._notes[:, FIELDS.index(key)]
        return column

    def _look(self) -> None:
        ended_since = None
        while not self._over.wait(self._period):
            now = time.monotonic()
            self._say(beat=now)
            ended = self._ended()
            if ended:
                ended_since = now if ended_since is None else ended_since
                if now - ended_since > GRACE:
                    self._end_with(ended)
            waited = now - self._heard("since")[self._own]
            if self._reports is not None:
                self._seek_departed(self._reports, now)
            if self._heard("phase")[self._own] == 0 and waited > self.patience:
                self._give_up(now, waited)

    def _ended(self) -> list[int]:
        """The indices of ranks that have ended, except those that ended with exit code 0."""
        here = self._heard("namespace") == host.namespace()
        missed = np.flatnonzero(here & (self._heard("code") != 1)).tolist()
        return [i for i in missed if not host.lives(int(self._heard("process")[i]))]

    def _seek_departed(self, reports: Reports, now: float) -> None:
        """End the job if ranks have left that others wait for; hear and tell of other nodes."""
        missed = departures.missed(reports.exchange(self._ranks, self._calls(now)))
        if missed is None:
            return
        self._missed_since = min(self._missed_since, now)
        # Rank 0 knows of all nodes; where it is silent, each node acts on its own. A second look
        # finds all who wait, so that one of them tells it, for all.
        elsewhere = reports.active and not reports.collects
        if now - self._missed_since < (2 * GONE if elsewhere else PERIOD):
            return
        if reports.collects or self._ranks[self._own] == missed.waiting[0]:
            self._tell(f"{missed}: {reports.advice}; the job ends")
        else:
            self._over.wait(GRACE)
        self._finish(1)

    def _calls(self, now: float) -> departures.Table:
        """``departures.COLUMNS`` of each rank of this node."""
        left, ended, calls = (self._heard(key) for key in ("left", "ended", "calls"))
        long = (self._heard("phase") == 0) & (now - self._heard("since") > GONE)
        stuck = np.where(long & (ended == 0), np.where(left > 0, np.inf, calls), 0)
        return np.column_stack([left, ended, stuck])

    def _end_with(self, ended: Sequence[int]) -> None:
        """End the job, which its launcher did not end, with the exit code of a rank that ended."""
        codes = [int(self._heard("code")[i]) - 1 for i in ended]
        failures = [code for code in codes if code > 0]
        alive = [i for i in range(len(self._notes)) if i not in ended]
        if not failures and self._own == alive[0]:
            self._tell(f"{self._named(ended)} ended without a message; the job ends")
        self._finish(failures[0] if failures else 1)

    def _give_up(self, now: float, waited: float) -> None:
        """End the job, as a rank is late; the first of the waiting ranks says which."""
        works, frozen = self._heard("works"), now - self._heard("beat") > self.patience
        late = np.flatnonzero((works < works[self._own]) | frozen).tolist()
        waiting = [i for i in range(len(works)) if i not in late]
        if self._own != waiting[0]:
            self._over.wait(2 * GRACE)
        elif late:
            doing = "; ".join(self._doing(i, now) for i in late)
            self._tell(f"{doing}: {self._named(waiting)} waited {waited:.0f} s; the job ends")
        else:
            # On the node of the late rank, another rank knows more and prints it first.
            self._over.wait(GRACE if self._elsewhere else 0.0)
            where = f"one of {', '.join(self._elsewhere[:8])}" if self._elsewhere else "nobody else"
            self._tell(
                f"{self._named(waiting)} waited {waited:.0f} s, and no rank of this node is late, "
                f"so {where} is; the job ends"
            )
        self._finish(1)

    def _doing(self, index: int, now: float) -> str:
        process, phase = int(self._heard("process")[index]), int(self._heard("phase")[index])
        stopped = ", stopped by a signal" if host.state(process) in ("T", "t") else ""
        silence = now - self._heard("beat")[index]
        if phase:
            delay = f"{now - self._heard('since')[index]:.0f} s in {PHASES[phase]}"
        elif silence > min(GONE, self.patience):
            delay = f"nothing heard for {silence:.0f} s"
        else:
            delay = "as it waits too, perhaps in another call"
        return f"{self._named([index])} (process {process}{stopped}) is late, {delay}"

    def _named(self, indices: Sequence[int]) -> str:
        return named([self._ranks[i] for i in indices])

    def _tell(self, message: str) -> None:
        # Who reads it may be gone, as a launcher that was killed; the job has to end all the same.
        with suppress(OSError):
            print(f"mpidl: {message}.", file=sys.stderr, flush=True)

    def _finish(self, code: int) -> None:
        # If this rank is stuck, MPI may be unable to abort too.
        last = threading.Timer(GRACE, os._exit, [code])
        last.daemon = True
        last.start()
        self._abort(code)


on_duty: Watchdog | None = None
"""The watchdog of this process; None if it is not a rank of a job."""


@contextmanager
def on_duty_of(guard: Watchdog) -> Iterator[None]:
    """Let a watchdog be that of this process within the context; afterwards the former one is."""
    global on_duty
    earlier, on_duty = on_duty, guard
    try:
        yield
    finally:
        on_duty = earlier


@contextmanager
def working(phase: str) -> Iterator[None]:
    """Work in one of ``PHASES``; see :meth:`Watchdog.working`."""
    with on_duty.working(phase) if on_duty is not None else nullcontext():
        yield
