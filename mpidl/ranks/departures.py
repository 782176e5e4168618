"""Departures: ranks that have left while others wait for them, on any node.

The first rank of each node reports to rank 0 what its ranks did. Whatever it reports is so for
good, so it does not matter how late a report comes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from mpidl.ranks import mpi_library

if TYPE_CHECKING:
    from mpi4py import MPI

COLUMNS = ("left", "ended", "stuck")
"""What a rank did, in numbers of calls: how many it had made when it left its loop, plus 1, and
when its program ended, plus 1; and the one in which it has waited long, infinite if that is the end
of its loop. Each is 0 before."""

WAYS = ("left {} loop", "ended {} program")
"""The first two of ``COLUMNS`` in words; the gap is whose."""

Table = npt.NDArray[np.float64]


class Departure(NamedTuple):
    """Ranks that have left, in one of ``WAYS``, and those that wait for them in vain."""

    gone: list[int]
    waiting: list[int]
    way: str

    def __str__(self) -> str:
        one = len(self.gone) == 1
        how = self.way.format("its" if one else "their")
        waiting = f"{named(self.waiting)} wait{'s' if len(self.waiting) == 1 else ''}"
        return f"{named(self.gone)} {how} while {waiting} for {'it' if one else 'them'}"


def named(ranks: Sequence[int]) -> str:
    """Ranks in words, such as "ranks 0, 3"."""
    numbers = [str(rank) for rank in ranks]
    shown = ", ".join(numbers[:8]) + (f" and {len(ranks) - 8} more" if len(ranks) > 8 else "")
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}"


def missed(table: Table) -> Departure | None:
    """Ranks whose departure others miss; None if nobody waits in vain.

    Args:
        table: ``COLUMNS`` of each rank, ``(P, 3)``.
    """
    stuck = table[:, 2]
    for way in (1, 0):
        left = table[:, way]
        stays = ~table[:, way:2].any(axis=1)
        waits = stays & (stuck > 0) & (stuck >= np.min(left, where=left > 0, initial=np.inf))
        gone = (left > 0) & (left <= np.max(stuck, where=waits, initial=0))
        if gone.any():
            return Departure(
                np.flatnonzero(gone).tolist(), np.flatnonzero(waits).tolist(), WAYS[way]
            )
    return None


class Reports:
    """Collective. Reports to rank 0, by the watchdog's thread of the first rank of each node.

    Args:
        comm: All ranks; messages of nobody else may travel on it.
        leads: Whether this is the first rank of its node.
        advice: How a user may avoid that ranks wait for those that have left.

    Attributes:
        active: Whether rank 0 hears of other nodes: there are some, and MPI takes calls of threads.
        collects: Whether this rank hears of them.
    """

    def __init__(self, comm: "MPI.Intracomm", leads: bool, advice: str) -> None:
        from mpi4py import MPI

        self._comm, self.advice = comm, advice
        nodes = comm.allreduce(int(leads))
        self.active = nodes > 1 and comm.allreduce(mpi_library.threaded(), MPI.LAND)
        self.collects = self.active and comm.rank == 0
        self._reports = self.active and leads and comm.rank > 0
        self._table = np.zeros((comm.size, len(COLUMNS)))
        self._open = nodes - 1 if self.collects else 0
        self._told, self._sent = np.zeros((0, 1 + len(COLUMNS))), MPI.REQUEST_NULL

    def exchange(self, ranks: Sequence[int], table: Table) -> Table:
        """Report what is new, or hear it; never waits for another rank.

        Args:
            ranks: The number of each rank of this node, n of them.
            table: ``COLUMNS`` of each, ``(n, 3)``.

        Returns:
            ``COLUMNS`` of all ranks, as far as they are known here, ``(P, 3)``.
        """
        here = list(ranks)
        self._table[here] = np.maximum(self._table[here], table)
        if self._reports:
            self._report()
        while self._open and self._comm.Iprobe():
            self._hear()
        return self._table

    def _report(self) -> None:
        some = np.flatnonzero(self._table.any(axis=1))
        told = np.column_stack([some, self._table[some]])
        if not np.array_equal(told, self._told) and self._sent.Test():
            self._told, self._sent = told, self._comm.Isend(told, 0)

    def _hear(self) -> None:
        from mpi4py import MPI

        status = MPI.Status()
        self._comm.Probe(status=status)
        told = np.empty((status.Get_count(MPI.DOUBLE) // 4, 1 + len(COLUMNS)))
        self._comm.Recv(told, status.Get_source())
        ranks = told[:, 0].astype(int)
        self._table[ranks] = np.maximum(self._table[ranks], told[:, 1:])
        # An empty one is the last of its node.
        self._open -= not len(told)

    def close(self) -> None:
        """Collective. Let no report stay under way; the thread must not run any more."""
        if self._reports:
            self._sent.Wait()
            self._comm.Send(np.zeros(0), 0)
        while self._open:
            self._hear()
