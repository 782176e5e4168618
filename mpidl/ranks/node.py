"""Node: its ranks, the memory that they share, and a gate at which they sleep until all come."""

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
"""Bytes of a cache line; different ranks write to different lines."""

SPINS = 2000
"""Times that a rank looks at the gate before it sleeps, if no other rank needs its core."""

PATIENCE = 1.0
"""Seconds after which a sleeping rank wakes up for a moment, to handle signals."""

Numbers = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class Node:
    """Collective. The ranks that share memory with this one.

    MPI's own waiting takes a core from a rank that still works, so waiting ranks sleep on a futex
    in shared memory. Without the native module they sleep between tests of an MPI barrier.

    Args:
        comm: All ranks.
        inner: The ranks of this node; None lets MPI find those that share memory.

    Attributes:
        comm: All ranks.
        inner: The ranks of this node.
        leaders: The first rank of each node, on those ranks; None on others.
        ranks: The number of the node of each rank of ``comm``.
        share: Number of cores that each rank of the node has, at least one.
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
        """Number of nodes."""
        return int(self.ranks.max()) + 1

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """Collective on the node. Shared bytes of all its ranks, which begin on a cache line."""
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
        """Collective. Free the memory; arrays in it must no longer be used."""
        self.inner.Barrier()
        while self._windows:
            self._windows.pop().Free()
        if self.leaders is not None:
            self.leaders.Free()
        self.inner.Free()


SHARED = "/dev/shm"
"""Folder of Linux for shared memory. Containers may give it little space, and a process that
writes more is killed without a message."""


def room() -> int:
    """Free bytes for memory that ranks of this node share."""
    if not os.path.isdir(SHARED):
        return sys.maxsize
    disk = os.statvfs(SHARED)
    return disk.f_bavail * disk.f_frsize


class Shared:
    """Collective. Arrays that exist once per node, in a window of shared memory.

    Args:
        comm: The ranks of one node.
        arrays: The arrays by name, on rank 0 of ``comm``; None on the other ranks.

    Raises:
        Fault: If the node has no room for them; every rank of ``comm`` raises it.
    """

    def __init__(self, comm: Comm, arrays: Mapping[str, Array] | None) -> None:
        from mpi4py import MPI

        shapes = {k: (a.shape, a.dtype) for k, a in arrays.items()} if arrays is not None else None
        layout, free = comm.bcast((shapes, room()))
        counts = {key: int(np.prod(shape)) for key, (shape, _) in layout.items()}
        lengths = [counts[key] * dtype.itemsize for key, (_, dtype) in layout.items()]
        *starts, end = accumulate((-(-length // LINE) * LINE for length in lengths), initial=0)
        if comm.size > 1 and end > free:
            raise Fault(
                f"The data set takes {end / 1e6:,.0f} MB of memory that the ranks of a node share, "
                f"and {SHARED} of {host.name()} has {free / 1e6:,.0f} MB; enlarge it, or set fewer "
                "data.train_samples and data.test_samples."
            )
        own = max(end, LINE) if comm.rank == 0 else 0
        self._window = MPI.Win.Allocate_shared(own, comm=comm)
        memory, _ = self._window.Shared_query(0)
        self.arrays: dict[str, Array] = {}
        for start, (key, (shape, dtype)) in zip(starts, layout.items(), strict=True):
            flat: Array = np.frombuffer(memory, dtype, counts[key], start)  # type: ignore[call-overload]
            self.arrays[key] = flat.reshape(shape)
            if arrays is not None:
                self.arrays[key][...] = arrays[key]
        world.gathered(comm)
        self._window.Fence()

    def free(self) -> None:
        """Collective. Free the memory; the arrays must no longer be used."""
        self.arrays.clear()
        if self._window:
            self._window.Free()


class Board:
    """Collective. Numbers of all devices, which every rank reads after each gathering.

    Args:
        node: The ranks of this node.
        hosts: Device to rank, ``(N,)``.
        columns: Numbers per device, S.
    """

    def __init__(self, node: Node, hosts: npt.NDArray[np.int64], columns: int) -> None:
        self._node = node
        shape = 2, len(hosts), columns
        self._arrays: Numbers = (
            node.allocate(8 * int(np.prod(shape))).view(np.float64).reshape(shape)
        )
        self._own = np.flatnonzero(hosts == node.comm.rank)
        nodes = node.ranks[hosts]
        self._here = np.flatnonzero(nodes == node.ranks[node.comm.rank])
        self._order = np.argsort(nodes, kind="stable")
        self._counts = np.bincount(nodes, minlength=node.count) * columns
        self._turn = 0

    def gather(self, own: Numbers) -> Numbers:
        """Collective. The numbers of all devices, ``(N, S)``, from those of each rank.

        Two arrays take turns, so that a fast rank never overwrites what a slow one still reads.

        Args:
            own: The numbers of this rank's devices, in ascending order, ``(D, S)``.
        """
        node, shared = self._node, self._arrays[self._turn]
        self._turn = 1 - self._turn
        shared[self._own] = own
        node.wait()
        if not node.alone:
            if node.leaders is not None:
                everyone = np.empty_like(shared)
                node.leaders.Allgatherv(shared[self._here], [everyone, self._counts])
                shared[self._order] = everyone
            node.wait()
        return np.array(shared)
