"""Neighborhood collectives of MPI on a distributed-graph communicator."""

import itertools

from mpi4py import MPI

import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.aware import connect
from mpidl.exchange.memory import Buffers
from mpidl.exchange.trips import ranks_served, trips
from mpidl.ranks.accelerators import settle

WORDS = {2: MPI.UINT16_T, 4: MPI.UINT32_T, 8: MPI.UINT64_T}
"""Integer types of MPI by bytes of a number: vectors travel as they are in memory."""


class Neighborhoods(Buffers):
    """Collective. Each round one ``MPI_Neighbor_alltoallw`` moves every vector that is needed.

    Datatypes select the vectors that a neighboring rank needs in the buffer, so nothing is packed,
    and a message may exceed 2^31 bytes, as its count is always one. If MPI does not take
    accelerator memory, only the vectors that leave go through host memory. If no rank needs any,
    nothing is done.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        receive, send = ranks_served(wiring.graph, wiring.hosts, wiring.comm.rank)
        self._comm = wiring.comm.Create_dist_graph_adjacent(
            list(receive), list(send), reorder=False
        )
        arrivals = [source for devices in receive.values() for source in devices]
        self._inbox = torch.zeros(len(arrivals), self.stride, dtype=self.dtype, device=self.device)
        self._arrived = {source: self._inbox[i, : self.size] for i, source in enumerate(arrivals)}
        self._prepare([self._arrived, self._arrived])
        self._receive, self._send = receive, send
        self._travels = len(trips(wiring.graph, wiring.hosts)) > 0
        self._types: list[MPI.Datatype] = []
        self._requests: list[MPI.Prequest | None] = []
        connect(wiring, self, self._link, self._moved)

    def _link(self, direct: bool) -> None:
        """Collective. Prepare the messages: directly from the vectors, or through host memory."""
        self._unlink()
        self._direct = direct
        leaving = sorted({*itertools.chain.from_iterable(self._send.values())})
        self._leaving = [self._row[device] for device in leaving]
        place_of = self._row if direct else {d: i for i, d in enumerate(leaving)}
        out = self.buffers[0][: len(leaving)]
        self._staged = [] if direct else [pinned(out), pinned(self._inbox)]

        itemsize = self.dtype.itemsize
        row = WORDS[itemsize].Create_contiguous(self.size)
        padded = row.Create_resized(0, self.stride * itemsize)
        place = {source: i for i, source in enumerate(self._arrived)}
        self._types += [row, padded]
        incoming = [
            self._select(padded, [place[d] for d in devices]) for devices in self._receive.values()
        ]
        outgoing = [
            self._select(padded, [place_of[d] for d in devices]) for devices in self._send.values()
        ]
        self._incoming, self._outgoing = _counts(incoming), _counts(outgoing)
        count = len(self.buffers) if direct else 1
        self._requests += [self._persistent(phase) for phase in range(count * self._travels)]

    def _unlink(self) -> None:
        for request in self._requests:
            if request is not None:
                request.Free()
        for datatype in self._types:
            datatype.Free()
        self._requests.clear()
        self._types.clear()

    def _moved(self) -> dict[int, Tensor]:
        self._finish(self._start())
        return self._arrived

    def _select(self, row: MPI.Datatype, positions: list[int]) -> MPI.Datatype:
        chosen = row.Create_indexed_block(1, positions).Commit()
        self._types.append(chosen)
        return chosen

    def _persistent(self, phase: int) -> MPI.Prequest | None:
        try:
            return self._comm.Neighbor_alltoallw_init(*self._messages(phase))
        except NotImplementedError:
            return None

    def _messages(self, phase: int) -> tuple[list[object], list[object]]:
        out, into = (self.buffers[phase], self._inbox) if self._direct else self._staged
        return [as_bytes(out), *self._outgoing], [as_bytes(into), *self._incoming]

    def _start(self) -> MPI.Request:
        """Start the messages with the vectors of this phase."""
        if not self._travels:
            return MPI.REQUEST_NULL
        if not self._direct:
            for place, row in zip(self._staged[0], self._leaving, strict=True):
                place.copy_(self.buffers[self.phase][row], non_blocking=True)
        settle(self.device)
        phase = self.phase if self._direct else 0
        request = self._requests[phase]
        if request is None:
            return self._comm.Ineighbor_alltoallw(*self._messages(phase))
        request.Start()
        return request

    def _finish(self, request: MPI.Request) -> None:
        """Wait until the vectors of neighbors have arrived."""
        request.Wait()
        if not self._direct and len(self._inbox):
            self._inbox.copy_(self._staged[1])

    def share(self) -> None:
        """Collective. Move every vector that another rank needs."""
        self._finish(self._start())

    def close(self) -> None:
        """Collective. Free requests, datatypes and the communicator."""
        self._unlink()
        self._comm.Free()


def _counts(types: list[MPI.Datatype]) -> tuple[list[int], list[int], list[MPI.Datatype]]:
    return [1] * len(types), [0] * len(types), types


def as_bytes(tensor: Tensor) -> Tensor:
    """Memory as bytes, for MPI."""
    return tensor.view(torch.uint8)


def pinned(like: Tensor) -> Tensor:
    """Host memory of the same shape, to and from which accelerators copy quickly."""
    return torch.zeros(like.shape, dtype=like.dtype, pin_memory=True)
