"""Neighborhood collectives of MPI on a distributed-graph communicator."""

from collections.abc import Mapping

from mpi4py import MPI

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch

from mpidl.exchange import Wiring
from mpidl.exchange.memory import Buffers, Members, Row, ranks_served
from mpidl.world import takes


class Neighborhoods(Buffers):
    """Collective. Each round one ``MPI_Neighbor_alltoallw`` moves every vector that is wanted.

    Datatypes pick the rows that a neighboring rank wants out of the buffer, so nothing is packed,
    and a message may exceed 2^31 bytes because its count is always one.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        graph, hosts, rank = wiring.graph, wiring.hosts, wiring.comm.rank
        size, device = self.size, self.device
        receive, send = ranks_served(graph, hosts, rank)
        self._comm = wiring.comm.Create_dist_graph_adjacent(
            list(receive), list(send), reorder=False
        )
        stride = self.buffers[0].shape[1]
        arrivals = [source for devices in receive.values() for source in devices]
        self._inbox = torch.zeros(len(arrivals), stride, device=device)
        self._arrived = {source: self._inbox[i, :size] for i, source in enumerate(arrivals)}
        self._direct = device.type == "cpu" or _trusts(wiring)
        self._staged = [] if self._direct else [_pinned(t) for t in (self.buffers[0], self._inbox)]

        row = MPI.FLOAT.Create_contiguous(size)
        padded = row.Create_resized(0, stride * torch.float32.itemsize)
        place = {source: i for i, source in enumerate(arrivals)}
        position = {number: i for i, number in enumerate(self.own)}
        self._types = [row, padded]
        incoming = [
            self._select(padded, [place[d] for d in devices]) for devices in receive.values()
        ]
        outgoing = [
            self._select(padded, [position[d] for d in devices]) for devices in send.values()
        ]
        self._incoming, self._outgoing = _counts(incoming), _counts(outgoing)
        self._requests = [self._persistent(phase) for phase in range(2 if self._direct else 1)]
        for devices in send.values():
            for i in devices:
                self.bytes_sent[i] += size * torch.float32.itemsize
        self._count_received(graph, hosts, rank)

    def _count_received(self, graph: nx.DiGraph, hosts: npt.NDArray[np.int64], rank: int) -> None:
        """Charge each vector that arrives to the first device here that wants it."""
        seen: set[int] = set()
        for target in self.own:
            for source in sorted(graph.predecessors(target)):
                if hosts[source] != rank and source not in seen:
                    seen.add(source)
                    self.bytes_received[target] += self.size * torch.float32.itemsize

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
        return [out, *self._outgoing], [into, *self._incoming]

    def share(self) -> None:
        """Collective. Move every vector that another rank wants."""
        if not self._direct:
            self._staged[0].copy_(self.buffers[self.phase])
        if self.device.type != "cpu":
            getattr(torch, self.device.type).current_stream().synchronize()
        phase = self.phase if self._direct else 0
        request = self._requests[phase]
        if request is None:
            self._comm.Neighbor_alltoallw(*self._messages(phase))
        else:
            request.Start()
            request.Wait()
        if not self._direct:
            self._inbox.copy_(self._staged[1])

    def mix(self, rows: Mapping[int, tuple[Members, Row]]) -> None:
        """Replace each own vector by the weighted sum over its members."""
        self._mix(rows, {**self._arrived, **self.vectors})

    def close(self) -> None:
        """Collective. Free requests, datatypes and the communicator."""
        for request in self._requests:
            if request is not None:
                request.Free()
        for datatype in self._types:
            datatype.Free()
        self._comm.Free()


def _trusts(wiring: Wiring) -> bool:
    if wiring.accelerator_aware == "auto":
        return takes(wiring.device.type)
    return wiring.accelerator_aware == "yes"


def _counts(types: list[MPI.Datatype]) -> tuple[list[int], list[int], list[MPI.Datatype]]:
    return [1] * len(types), [0] * len(types), types


def _pinned(like: torch.Tensor) -> torch.Tensor:
    return torch.zeros(like.shape, dtype=like.dtype, pin_memory=True)
