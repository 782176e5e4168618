"""The ranks of one node: memory that they share, and a gate at which they wait asleep."""

import os
import sys
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.ranks import host, world
from mpidl.ranks.world import Comm

try:
    from mpidl.ranks import _native  # type: ignore[attr-defined]
except ImportError:
    _native = None

LINE = 64
"""Bytes. What different ranks write lies on different cache lines."""

SPINS = 2000
"""How often a rank looks at the gate before it sleeps, where no other rank needs its core."""

PATIENCE = 1.0
"""Seconds after which a rank that sleeps wakes up for a moment, to see signals."""

Table = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class Node:
    """Collective. The ranks that share memory with this one.

    MPI's own waiting takes a core from a rank that still works; here waiting ranks sleep on a
    futex in shared memory. Without the native kernel they sleep between looks at a barrier of MPI.

    Args:
        comm: All ranks.
        inner: The ranks of this node; None lets MPI tell which share memory.

    Attributes:
        comm: All ranks.
        inner: The ranks of this node.
        leaders: The first rank of each node, on those ranks; elsewhere None.
        ranks: For each rank of ``comm`` the number of its node.
        share: How many cores each rank of the node has to itself, at least one.
    """

    def __init__(self, comm: Comm, inner: "Comm | None" = None) -> None:
        from mpi4py import MPI

        self.comm = comm
        self.inner = world.node(comm) if inner is None else MPI.Intracomm(inner.Dup())
        leads = self.inner.rank == 0
        split = comm.Split(0 if leads else MPI.UNDEFINED, comm.rank)
        self.leaders: Comm | None = MPI.Intracomm(split) if leads else None
        number = self.inner.bcast(self.leaders.rank if self.leaders is not None else None)
        self.ranks = np.array(comm.allgather(number))
        self._windows: list[MPI.Win] = []
        self._gate = self.allocate(LINE)
        if leads:
            self._gate[:] = 0
        self._address = self._gate.ctypes.data
        cores = self.inner.allgather(host.affinity())
        used = {core for own in cores for core in own}
        self.share = max(1, min(host.cores(), len(used) // self.inner.size))
        self._spins = 0 if host.crowd(cores) > 1 else SPINS
        self.inner.Barrier()

    @property
    def alone(self) -> bool:
        """Whether all ranks are on this node."""
        return self.inner.size == self.comm.size

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return int(self.ranks.max()) + 1

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """Collective on the node. So many bytes, on a cache line, that all its ranks share."""
        from mpi4py import MPI

        leads = self.inner.rank == 0
        window = MPI.Win.Allocate_shared(max(size, 1) + LINE if leads else 0, 1, comm=self.inner)
        memory, _ = window.Shared_query(0)
        start = -memory.address % LINE
        array: npt.NDArray[np.uint8] = np.asarray(memory)[start : start + size]
        self._windows.append(window)
        self.inner.Barrier()
        return array

    def wait(self) -> None:
        """Collective on the node. Sleep until all its ranks are here, under the watchdog."""
        if self.inner.size == 1:
            return
        if _native is None or not hasattr(_native, "wait"):
            world.gathered(self.inner)
            return
        ticket = _native.arrive(self._address, self.inner.size)
        while not _native.wait(self._address, ticket, self._spins, PATIENCE):
            pass

    def meet(self) -> None:
        """Collective. Sleep until all ranks of all nodes are here."""
        self.wait()
        if not self.alone:
            if self.leaders is not None:
                world.gathered(self.leaders)
            self.wait()

    def close(self) -> None:
        """Collective. Give the memory back; arrays in it must not be used any more."""
        self.inner.Barrier()
        while self._windows:
            self._windows.pop().Free()
        if self.leaders is not None:
            self.leaders.Free()
        self.inner.Free()


SHARED = "/dev/shm"
"""Where Linux keeps what processes share. Containers may give it little, and who writes more is
killed without a word."""


def room() -> int:
    """Bytes that are free for memory that ranks of this node share."""
    if not os.path.isdir(SHARED):
        return sys.maxsize
    disk = os.statvfs(SHARED)
    return disk.f_bavail * disk.f_frsize


class Shared:
    """Collective. Arrays that exist once per node, in a window of shared memory.

    Args:
        comm: The ranks of one node.
        arrays: What rank 0 of ``comm`` has, by name; the other ranks give None.

    Raises:
        Fault: If the node has no room for them; every rank of ``comm`` raises it.
    """

    def __init__(self, comm: Comm, arrays: Mapping[str, Array] | None) -> None:
        from mpi4py import MPI

        shapes = {k: (a.shape, a.dtype) for k, a in arrays.items()} if arrays is not None else None
        told, free = comm.bcast((shapes, room()))
        counts = {key: int(np.prod(shape)) for key, (shape, _) in told.items()}
        lengths = [counts[key] * dtype.itemsize for key, (_, dtype) in told.items()]
        *starts, end = accumulate((-(-length // LINE) * LINE for length in lengths), initial=0)
        if comm.size > 1 and end > free:
            raise Fault(
                f"The data set takes {end / 1e6:,.0f} MB of memory that the ranks of a node share, "
                f"and {SHARED} of {host.name()} has {free / 1e6:,.0f} MB; enlarge it, or set "
                "data.train_samples and data.test_samples."
            )
        own = max(end, LINE) if comm.rank == 0 else 0
        self._window = MPI.Win.Allocate_shared(own, comm=comm)
        memory, _ = self._window.Shared_query(0)
        self.arrays: dict[str, Array] = {}
        for start, (key, (shape, dtype)) in zip(starts, told.items(), strict=True):
            flat: Array = np.frombuffer(memory, dtype, counts[key], start)  # type: ignore[call-overload]
            self.arrays[key] = flat.reshape(shape)
            if arrays is not None:
                self.arrays[key][...] = arrays[key]
        world.gathered(comm)
        self._window.Fence()

    def free(self) -> None:
        """Collective. Give the memory back; the arrays must not be used any more."""
        self.arrays.clear()
        if self._window:
            self._window.Free()


class Board:
    """Collective. A table of numbers, a row per device, that every rank reads after each gathering.

    Args:
        node: The ranks of this node.
        hosts: Device to rank, ``(N,)``.
        columns: S.
    """

    def __init__(self, node: Node, hosts: npt.NDArray[np.int64], columns: int) -> None:
        self._node = node
        shape = 2, len(hosts), columns
        self._tables: Table = node.allocate(8 * int(np.prod(shape))).view(np.float64).reshape(shape)
        self._own = np.flatnonzero(hosts == node.comm.rank)
        nodes = node.ranks[hosts]
        self._here = np.flatnonzero(nodes == node.ranks[node.comm.rank])
        self._order = np.argsort(nodes, kind="stable")
        self._counts = np.bincount(nodes, minlength=node.count) * columns
        self._turn = 0

    def gather(self, own: Table) -> Table:
        """Collective. The rows of all devices, ``(N, S)``, from those of each rank.

        Two tables take turns, so that a fast rank never writes what a slow one still reads.

        Args:
            own: The rows of this rank's devices, ascending, ``(D, S)``.
        """
        node, table = self._node, self._tables[self._turn]
        self._turn = 1 - self._turn
        table[self._own] = own
        node.wait()
        if not node.alone:
            if node.leaders is not None:
                everyone = np.empty_like(table)
                node.leaders.Allgatherv(table[self._here], [everyone, self._counts])
                table[self._order] = everyone
            node.wait()
        return np.array(table)
