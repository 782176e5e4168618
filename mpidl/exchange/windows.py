"""Windows into the memory of other GPUs of a node, from which ranks mix without messages."""

import itertools
from collections import Counter
from collections.abc import Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.config.faults import Fault, first_line
from mpidl.exchange import Wiring, handles, marks
from mpidl.exchange.memory import Buffers
from mpidl.exchange.trips import ranks_served
from mpidl.ranks import sharing
from mpidl.ranks.accelerators import settle

PROBE = 1 << 20
"""Bytes that are mapped to test whether memory can be mapped."""


class Ipc(Buffers):
    """Collective. Neighbors' vectors are mapped by CUDA IPC, and read by the mixing itself.

    Nothing is sent, and only vectors are copied that several own devices read from another GPU:
    once, so that they cross the link once. One wait in a round is enough, that of :meth:`arrive`: a
    rank arrives when it has trained, after it mixed a round ago; the buffer from which others mixed
    then is written only afterwards.

    Raises:
        Fault: If mapped memory differs from what its owner wrote.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        comm, hosts = wiring.comm, wiring.hosts
        maps, mapped_by = neighbors(wiring.graph, hosts, comm.rank)
        # torch counts the readers of a handle, so each reader gets its own.
        received = comm.alltoall(
            [
                handles.export(self._memory) if other in mapped_by else None
                for other in range(comm.size)
            ]
        )
        self._foreign = {
            other: self._laid_out(handles.opened(received[other], self.device), len(devices))
            for other, devices in maps.items()
        }
        self._where = {
            device: (other, row)
            for other, devices in maps.items()
            for row, device in enumerate(devices)
        }
        if not marks.arrive(self, self._seen):
            raise Fault(
                "exchange.backend = 'ipc': the memory of other GPUs, mapped here, holds other "
                "numbers than they wrote; 'mpi' works."
            )
        self._copies = self._copied(wiring)
        self._prepare([{**self._others(phase), **self._copies} for phase in range(2)])

    def _copied(self, wiring: Wiring) -> dict[int, Tensor]:
        """Collective. Room ``(P,)`` for vectors on other GPUs that several own devices read.

        There is none if the graph changes, as a round may need few of them.
        """
        far = set() if wiring.changing else sharing.distant(wiring.comm, self.device)
        readers = Counter(itertools.chain.from_iterable(self._slots.members.values()))
        chosen = [j for j, (other, _) in self._where.items() if other in far and readers[j] > 1]
        room = torch.zeros(len(chosen), self.stride, dtype=self.dtype, device=self.device)
        return {j: row[: self.size] for j, row in zip(chosen, room, strict=True)}

    def _allocate(self) -> list[Tensor]:
        # Both buffers are in one allocation, so that one handle is enough.
        shape = 2, len(self.own), self.stride
        self._memory = torch.zeros(shape, dtype=self.dtype, device=self.device)
        return list(self._memory)

    def _laid_out(self, storage: torch.UntypedStorage, devices: int) -> Tensor:
        """The memory of another rank, ``(2, devices, stride)``."""
        shape = 2, devices, self.stride
        stride = devices * self.stride, self.stride, 1
        return torch.empty(0, dtype=self.dtype, device=self.device).set_(storage, 0, shape, stride)

    def _seen(self) -> dict[int, Tensor]:
        """Collective. Other ranks' vectors, after they have been written."""
        self._meet()
        return self._others(self.phase)

    def _others(self, phase: int) -> dict[int, Tensor]:
        places = self._where.items()
        return {j: self._foreign[other][phase, row, : self.size] for j, (other, row) in places}

    def _follow(self, links: nx.DiGraph | None) -> None:
        if links is not None:
            self._count(links)

    def share(self) -> None:
        """Copy vectors that several own devices read from another GPU; no other has to travel."""
        others = self._others(self.phase) if self._copies else {}
        for device, room in self._copies.items():
            room.copy_(others[device])

    def _meet(self) -> None:
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()
        self.node.meet()

    def close(self) -> None:
        """Collective. Release others' memory before they free it; own vectors are gone then."""
        self._mixtures.clear()
        self._foreign.clear()
        self._meet()
        handles.release(self._memory)


def hindrance(wiring: Wiring) -> str:
    """Collective. The reason why ranks cannot map each other's memory, from the first that fails.

    It is empty if they can: each rank exports a little memory to the ranks that would map its
    vectors, and they compare it. If it fails on some rank, all ranks go on together.
    """
    comm, device = wiring.comm, wiring.device
    maps, mapped_by = neighbors(wiring.graph, wiring.hosts, comm.rank)
    memory, reason = None, ""
    exported: list[handles.Handle | None] = [None] * comm.size
    try:
        memory = torch.full((PROBE,), _mark(comm.rank), dtype=torch.uint8, device=device)
        settle(device)
        for other in mapped_by:
            exported[other] = handles.export(memory)
    except Exception as error:  # torch, CUDA or the system may raise anything, here and below
        reason = first_line(error)
    received = comm.alltoall(exported)
    try:
        for other in maps:
            if received[other] is not None and not _shows(received[other], other, device):
                reason = reason or f"what rank {other} wrote is not what is seen of it"
    except Exception as error:
        reason = reason or first_line(error)
    # After this gathering no rank maps another's memory any more.
    reasons = comm.allgather(reason)
    if memory is not None:
        handles.release(memory)
    return next(filter(None, reasons), "")


def _shows(handle: handles.Handle, owner: int, device: torch.device) -> bool:
    """Whether the memory of a handle holds what its owner wrote for :func:`hindrance`."""
    storage = handles.opened(handle, device)
    memory = torch.empty(0, dtype=torch.uint8, device=device).set_(storage, 0, (PROBE,), (1,))
    return bool((memory == _mark(owner)).all())


def _mark(rank: int) -> int:
    return 1 + rank % 255


def neighbors(
    graph: nx.DiGraph, hosts: npt.NDArray[np.int64], rank: int
) -> tuple[dict[int, Sequence[int]], set[int]]:
    """Whose memory a rank maps, with all devices that lie in it, and who maps the rank's."""
    receive, send = ranks_served(graph, hosts, rank)
    return {other: np.flatnonzero(hosts == other).tolist() for other in receive}, set(send)
