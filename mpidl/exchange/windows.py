"""A window of GPUs: ranks of one node mix from where their neighbors' vectors lie."""

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.memory import Buffers
from mpidl.exchange.trips import ranks_served
from mpidl.faults import Fault

Handle = tuple[Any, ...]
"""What another process needs to map memory of this one."""


class Ipc(Buffers):
    """Collective. Neighbors' vectors are mapped by CUDA IPC, and read by the mixing itself.

    Nothing is copied, nothing is sent. One wait in a round is enough, that of :meth:`arrive`: a
    rank is there when it has trained, and has mixed a round ago; the buffer from which the others
    mixed then is written only after it.

    Raises:
        Fault: If what is mapped is not what its owner wrote.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        comm, hosts = wiring.comm, wiring.hosts
        maps, mapped_by = neighbors(wiring.graph, hosts, comm.rank)
        # torch counts who has a handle, so each reader gets one of its own.
        given = comm.alltoall(
            [self._handle() if other in mapped_by else None for other in range(comm.size)]
        )
        self._foreign = {
            other: self._map(given[other], len(devices)) for other, devices in maps.items()
        }
        self._where = {
            device: (other, row)
            for other, devices in maps.items()
            for row, device in enumerate(devices)
        }
        self._check()
        self._prepare(
            [
                {j: self._foreign[o][phase, i, : self.size] for j, (o, i) in self._where.items()}
                for phase in range(2)
            ]
        )

    def _allocate(self) -> list[Tensor]:
        # Both buffers in one allocation, of which one handle tells.
        shape = 2, len(self.own), self.stride
        self._memory = torch.zeros(shape, dtype=self.dtype, device=self.device)
        return list(self._memory)

    def _handle(self) -> Handle:
        """A handle of own memory for one reader."""
        # The number of a GPU is another in each process, and nobody waits for the event: a rank
        # shares only what it has waited for itself.
        _, *handle, _ = self._memory.untyped_storage()._share_cuda_()  # type: ignore[no-untyped-call]
        return tuple(handle)

    def _map(self, handle: Handle, devices: int) -> Tensor:
        """The memory of another rank, ``(2, devices, stride)``.

        It is mapped for the own GPU, which then reads it over the link to the other one, and so
        counts as memory of the own GPU in all that torch and Triton do.
        """
        storage = torch.UntypedStorage._new_shared_cuda(self.device.index, *handle, False)
        return self._laid_out(storage, devices)

    def _laid_out(self, storage: torch.UntypedStorage, devices: int) -> Tensor:
        shape = 2, devices, self.stride
        stride = devices * self.stride, self.stride, 1
        return torch.empty(0, dtype=self.dtype, device=self.device).set_(storage, 0, shape, stride)

    def _check(self) -> None:
        """Collective. Read once what every neighbor has written, at both ends of each vector."""
        ends = [0, self.stride - 1]
        for phase in range(2):
            for row, device in enumerate(self.own):
                self._memory[phase, row, ends] = _mark(phase, device)
        self._meet()
        right = all(
            bool((self._foreign[other][phase, row, ends] == _mark(phase, device)).all())
            for device, (other, row) in self._where.items()
            for phase in range(2)
        )
        right = self.node.comm.allreduce(right, MPI.LAND)
        self._memory.zero_()
        self._meet()
        if not right:
            raise Fault(
                "exchange.backend = 'ipc': the memory of other GPUs, mapped here, holds other "
                "numbers than they wrote; 'mpi' works."
            )

    def _follow(self, links: nx.DiGraph | None) -> None:
        if links is not None:
            self._count(links)

    def share(self) -> None:
        """Nothing has to travel."""

    def _meet(self) -> None:
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()
        self.node.meet()

    def close(self) -> None:
        """Collective. Let go of others' memory before they free it."""
        self._mixtures.clear()
        self._foreign.clear()
        self._meet()


def neighbors(
    graph: nx.DiGraph, hosts: npt.NDArray[np.int64], rank: int
) -> tuple[dict[int, Sequence[int]], set[int]]:
    """Whose memory a rank maps, with all devices that lie in it, and who maps the rank's."""
    receive, send = ranks_served(graph, hosts, rank)
    return {other: np.flatnonzero(hosts == other).tolist() for other in receive}, set(send)


def _mark(phase: int, device: int) -> int:
    # Small enough to be exact in 16 bits.
    return 1 + (2 * device + phase) % 128
