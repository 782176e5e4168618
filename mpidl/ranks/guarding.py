"""Guards of ranks: a watchdog on each rank of a communicator, and the memory that they share."""

from typing import TYPE_CHECKING

import numpy as np

from mpidl.ranks import host, watchdog
from mpidl.ranks.departures import Reports
from mpidl.ranks.watchdog import Watchdog

if TYPE_CHECKING:
    from mpi4py import MPI


def guarded(
    comm: "MPI.Intracomm", inner: "MPI.Intracomm", reports: Reports | None = None
) -> tuple[Watchdog, "MPI.Win"]:
    """Collective. Start watching among ranks that share memory; the watchdog and its memory.

    Args:
        comm: All ranks.
        inner: The ranks of this node.
        reports: What is told of departures, and to whom; None if all ranks leave together.
    """
    from mpi4py import MPI

    size = 8 * len(watchdog.FIELDS)
    window = MPI.Win.Allocate_shared(size * inner.size if inner.rank == 0 else 0, comm=inner)
    memory, _ = window.Shared_query(0)
    notes = np.asarray(memory).view(np.float64).reshape(-1, len(watchdog.FIELDS))
    if inner.rank == 0:
        notes[:] = 0
    inner.Barrier()
    hosts: list[str] = comm.allgather(host.name())
    guard = Watchdog(
        notes,
        inner.rank,
        inner.allgather(comm.rank),
        sorted({*hosts} - {host.name()}),
        host.crowd(inner.allgather(host.affinity())),
        comm.Abort,
        reports,
    )
    inner.Barrier()
    if comm.size > 1:
        guard.start()
    return guard, window
