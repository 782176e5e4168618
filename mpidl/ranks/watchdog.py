"""Ranks of a node watch each other, so that nobody waits for ever for one that is late or gone.

A rank says when it works and when it waits. Its watchdog, a thread, looks at what all ranks of the
node say: one that has ended without a word ends the job, and so does one for which others have
waited longer than their patience; whoever is late is told by name.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import numpy.typing as npt

from mpidl.ranks import host

PATIENCE = 1800.0
"""Seconds that ranks wait for a late one, unless told otherwise."""

PERIOD = 0.5
"""Seconds between two looks, where every rank has a core; more where they have not."""

GRACE = 3.0
"""Seconds that a launcher has to end a job in which a rank has ended, and a rank to say why."""

FIELDS = ("process", "namespace", "works", "phase", "since", "beat", "code")
"""What a rank says: its process and PID namespace; how many works it has finished; its phase, and
since when; when its watchdog looked last; and the exit code with which it ends, plus 1."""

PHASES = ("waiting", "start", "training", "evaluation", "recording", "checkpointing")
"""What ranks do; who waits does nothing else."""

Table = npt.NDArray[np.float64]


class Watchdog:
    """Watches over the ranks of one node.

    Args:
        table: A row of ``FIELDS`` for each rank of the node, in memory that they share; zeros.
        own: This rank's row.
        ranks: The number of each among all ranks.
        elsewhere: The names of other nodes.
        crowd: How many ranks there are to a core, where they are most.
        abort: Ends the job with an exit code.

    Attributes:
        patience: Seconds that this rank waits for a late one.
        crowded: Whether ranks outnumber cores.
    """

    def __init__(
        self,
        table: Table,
        own: int,
        ranks: Sequence[int],
        elsewhere: Sequence[str],
        crowd: float,
        abort: Callable[[int], None],
    ) -> None:
        self._table, self._own, self._ranks = table, own, list(ranks)
        self._elsewhere, self._abort = list(elsewhere), abort
        self._period = PERIOD * max(1.0, crowd / 4)
        self.patience, self.crowded = PATIENCE, crowd > 1
        self._over = threading.Event()
        now = time.monotonic()
        self._say(process=os.getpid(), namespace=host.namespace(), since=now, beat=now)
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin, when all ranks of the node have said who they are."""
        self._thread.start()

    def stop(self, code: int = 0) -> None:
        """End; the others learn that this rank ends with an exit code, and is not to be missed."""
        self._say(code=code + 1)
        self._over.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def working(self, phase: str) -> Iterator[None]:
        """Work, for which the other ranks may have to wait; every rank does the same works."""
        self._say(phase=PHASES.index(phase), since=time.monotonic())
        yield
        works = self._table[self._own, FIELDS.index("works")]
        self._say(works=works + 1, phase=0, since=time.monotonic())

    def _say(self, **fields: float) -> None:
        for key, value in fields.items():
            self._table[self._own, FIELDS.index(key)] = value

    def _heard(self, key: str) -> Table:
        found: Table = self._table[:, FIELDS.index(key)]
        return found

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
            if self._heard("phase")[self._own] == 0 and waited > self.patience:
                self._give_up(now, waited)

    def _ended(self) -> list[int]:
        """The rows of ranks that have ended, except those that came to a good end."""
        here = self._heard("namespace") == host.namespace()
        missed = np.flatnonzero(here & (self._heard("code") != 1)).tolist()
        return [row for row in missed if not host.lives(int(self._heard("process")[row]))]

    def _end_with(self, ended: Sequence[int]) -> None:
        """End the job, which its launcher did not end: with the word of who ended, or for it."""
        codes = [int(self._heard("code")[row]) - 1 for row in ended]
        told = [code for code in codes if code > 0]
        alive = [row for row in range(len(self._table)) if row not in ended]
        if not told and self._own == alive[0]:
            self._tell(f"{self._named(ended)} ended without a word; the job ends")
        self._finish(told[0] if told else 1)

    def _give_up(self, now: float, waited: float) -> None:
        """End the job, as some rank is late; the first of those that wait says which."""
        works, frozen = self._heard("works"), now - self._heard("beat") > self.patience
        late = np.flatnonzero((works < works[self._own]) | frozen).tolist()
        waiting = [row for row in range(len(works)) if row not in late]
        if self._own != waiting[0]:
            self._over.wait(2 * GRACE)
        elif late:
            doing = "; ".join(self._doing(row, now) for row in late)
            self._tell(f"{doing}: {self._named(waiting)} waited {waited:.0f} s; the job ends")
        else:
            # Where the late one is, somebody knows better and says so first.
            self._over.wait(GRACE if self._elsewhere else 0.0)
            where = f"one of {', '.join(self._elsewhere[:8])}" if self._elsewhere else "nobody else"
            self._tell(
                f"{self._named(waiting)} waited {waited:.0f} s, and no rank of this node is late, "
                f"so {where} is; the job ends"
            )
        self._finish(1)

    def _doing(self, row: int, now: float) -> str:
        process, phase = int(self._heard("process")[row]), int(self._heard("phase")[row])
        stopped = ", stopped by a signal" if host.state(process) in ("T", "t") else ""
        late = f"{now - self._heard('since')[row]:.0f} s in {PHASES[phase]}"
        silent = f"nothing heard for {now - self._heard('beat')[row]:.0f} s"
        told = late if phase else silent
        return f"{self._named([row])} (process {process}{stopped}) is late, {told}"

    def _named(self, rows: Sequence[int]) -> str:
        ranks = [str(self._ranks[row]) for row in rows]
        shown = ", ".join(ranks[:8]) + (f" and {len(ranks) - 8} more" if len(ranks) > 8 else "")
        return f"rank{'s' if len(ranks) > 1 else ''} {shown}"

    def _tell(self, told: str) -> None:
        print(f"mpidl: {told}.", file=sys.stderr, flush=True)

    def _finish(self, code: int) -> None:
        # Where this rank is stuck, MPI may not be able to abort either.
        last = threading.Timer(GRACE, os._exit, [code])
        last.daemon = True
        last.start()
        self._abort(code)


on_duty: Watchdog | None = None
"""The watchdog of this process; none where it is no rank of a job."""


@contextmanager
def working(phase: str) -> Iterator[None]:
    """Work in one of ``PHASES``; see :meth:`Watchdog.working`."""
    with on_duty.working(phase) if on_duty is not None else nullcontext():
        yield
