"""Pairs of ranks that exchange point-to-point messages, for links that change in each round."""

import itertools

from mpi4py import MPI

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from mpidl.exchange import Wiring
from mpidl.exchange.aware import connect
from mpidl.exchange.kernels import Mixture
from mpidl.exchange.memory import Buffers
from mpidl.exchange.neighborhoods import WORDS, as_bytes, pinned
from mpidl.exchange.slots import Slots, members_of
from mpidl.exchange.trips import few, ranks_served
from mpidl.ranks.accelerators import settle


class Pairs(Buffers):
    """Collective. One message for each vector and each rank that reads it in the round.

    Every rank knows all links, so no rank has to ask what comes. Both sides list the vectors in the
    same order, so messages need no tags. Memory grows with the vectors that one round brings, not
    with all that may come in some round: if pairs are drawn anew each round, those are the vectors
    of all devices. So messages are not persistent, as these belong to one place in memory; new ones
    take microseconds. Without the links of a round, all vectors travel that are read in any round.
    If MPI does not take accelerator memory, only the vectors that leave go through host memory.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._comm = wiring.comm.Dup()
        self._every = wiring.graph
        self._vector = WORDS[self.dtype.itemsize].Create_contiguous(self.size).Commit()
        connect(wiring, self, self._link, self._moved)

    def _link(self, direct: bool) -> None:
        """Let messages go directly from the vectors, or through host memory."""
        self._direct = direct
        self._inbox: list[Tensor] = []
        self._landing: list[Tensor] = []
        self._staged: list[Tensor] = []

    def _moved(self) -> dict[int, Tensor]:
        """Collective. Move a few of the vectors that may travel, and return those that arrive."""
        self._follow(few(self._every, self._hosts))
        self.share()
        return {j: self._inbox[place][: self.size] for j, place in self._place.items()}

    def _follow(self, links: nx.DiGraph | None) -> None:
        links = self._every if links is None else links
        self._count(links)
        self._receive, self._send = ranks_served(links, self._hosts, self._comm.rank)
        sources = [source for devices in self._receive.values() for source in devices]
        for _ in range(len(self._inbox), len(sources)):
            self._inbox.append(torch.zeros_like(self.buffers[0][0]))
            self._landing.append(self._inbox[-1] if self._direct else pinned(self._inbox[-1]))
        self._place = {source: place for place, source in enumerate(sources)}

        self._slots = Slots(members_of(links, self.own))
        self._weights = np.zeros(self._slots.size)
        readable = {j: self._inbox[place][: self.size] for j, place in self._place.items()}
        readable |= self.vectors
        members = [[readable[j] for j in row] for row in self._slots.members.values()]
        self._mixture = Mixture(members, list(self._vectors[1 - self.phase].values()))

    @property
    def _current(self) -> Mixture:
        return self._mixture

    def share(self) -> None:
        """Collective. Move every vector that another rank reads in this round."""
        vectors = self._departing()
        requests = [
            self._comm.Irecv(self._message(self._landing[self._place[source]]), other)
            for other, sources in self._receive.items()
            for source in sources
        ]
        requests += [
            self._comm.Isend(self._message(vectors[source]), other)
            for other, sources in self._send.items()
            for source in sources
        ]
        MPI.Request.Waitall(requests)
        if not self._direct:
            for place in self._place.values():
                self._inbox[place].copy_(self._landing[place])

    def _departing(self) -> dict[int, Tensor]:
        """The own vectors that another rank reads in this round, in memory for MPI."""
        rows = self.buffers[self.phase]
        leaving = sorted({*itertools.chain.from_iterable(self._send.values())})
        leaving_vectors = {device: rows[self._row[device]] for device in leaving}
        if self._direct or not leaving:
            return leaving_vectors
        for _ in range(len(self._staged), len(leaving)):
            self._staged.append(pinned(rows[0]))
        staged = dict(zip(leaving, self._staged, strict=False))
        for device, vector in leaving_vectors.items():
            staged[device].copy_(vector, non_blocking=True)
        settle(self.device)
        return staged

    def _message(self, vector: Tensor) -> list[object]:
        return [as_bytes(vector), 1, self._vector]

    def close(self) -> None:
        """Collective. Free the datatype and the communicator."""
        self._vector.Free()
        self._comm.Free()
