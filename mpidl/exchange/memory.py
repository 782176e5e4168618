"""Memory of an exchange: two buffers of own vectors, so that no device sees a half-mixed one."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.exchange import metrics
from mpidl.exchange.average import Average
from mpidl.exchange.kernels import Mixture
from mpidl.exchange.slots import MixingWeights, slots_of
from mpidl.exchange.trips import ranks_served
from mpidl.exchange.wiring import Wiring
from mpidl.ranks.accelerators import settle

Array = npt.NDArray[np.float64]

ALIGNMENT = 64
"""Bytes of a cache line. Vectors begin on cache lines, so that hosting does not change rounding."""


class Exchange(Protocol):
    """Interface of every backend; :class:`Buffers` implements most of it.

    In every round ranks :meth:`arrive`, :meth:`share` and :meth:`mix`, in this order. If mixing
    weights follow from vectors, ranks arrive without them, and between sharing and mixing read the
    :meth:`inboxes` and pass the weights to :meth:`weigh`.

    Attributes:
        device: The hardware whose memory holds the vectors.
        bytes_sent: For each own device, bytes that other ranks get from it in the round of the last
            :meth:`arrive`: a vector counts once for each rank, whether copied or read in place.
        bytes_received: For each own device, bytes that it gets from other ranks in that round.
        reason: The reason for this backend, if ``auto`` chose it.
    """

    device: torch.device
    bytes_sent: dict[int, int]
    bytes_received: dict[int, int]
    reason: str

    @property
    def vectors(self) -> Mapping[int, Tensor]:
        """For each own device its parameters, ``(P,)``; other memory after each :meth:`mix`."""

    def arrive(self, weights: MixingWeights, links: nx.DiGraph | None = None) -> None:
        """Collective. Hand in own mixing weights, if known, and wait until every rank has trained.

        Args:
            weights: Mixing weights of own devices; empty if they follow from vectors.
            links: An edge j -> i if i reads the vector of j in this round; None for all links of
                the wiring. The same on every rank.
        """

    def share(self) -> None:
        """Collective. Make the vectors of every neighborhood readable."""

    def inboxes(self) -> dict[int, dict[int, Tensor]]:
        """Collective. For each own device the vectors ``(P,)`` that it may mix, by device.

        They must only be read, and are valid until the mixing, as they may be the exchange's own
        memory.
        """

    def weigh(self, weights: MixingWeights) -> None:
        """Collective. Hand in own mixing weights that follow from the inboxes."""

    def mix(self, measure: bool = False) -> None:
        """Collective. Replace each own vector by the weighted sum over its members.

        Args:
            measure: Whether :meth:`distances` will be asked for.
        """

    def replace(self, vectors: Mapping[int, Tensor]) -> None:
        """Collective. Replace own vectors ``(P,)``, instead of mixing.

        Every rank has read its inboxes before. Own vectors without a new one become undefined.
        """

    def distances(self) -> list[float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of each own device after a measured mixing."""

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """State beside own vectors that a round leaves to the next: vectors ``(P,)``, by name."""

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Restore what :meth:`memory` returned, after own vectors are restored."""

    def close(self) -> None:
        """Collective. Free communicators and memory."""


class Buffers:
    """Two buffers of own vectors: mixtures are written to the second, then the two are swapped."""

    def __init__(self, wiring: Wiring) -> None:
        own = [int(i) for i in np.flatnonzero(wiring.hosts == wiring.comm.rank)]
        self.own, self.size, self.device = own, wiring.size, wiring.device
        self.dtype, self.node, self.reason = wiring.dtype, wiring.node, ""
        self._row = {device: i for i, device in enumerate(own)}
        self.buffers = self._allocate()
        self.phase = 0
        self._vectors = [self._own(buffer) for buffer in self.buffers]
        kind = self.device.type
        self._average = Average(wiring.comm, wiring.hosts, self.size, self.dtype, kind)
        self._uniform = wiring.uniform
        self._slots = slots_of(wiring, own)
        self._weights: Array = np.full(self._slots.size, 1 / len(wiring.hosts))
        self._given: MixingWeights | None = None
        self._mixtures: list[Mixture] = []
        self._hosts = wiring.hosts
        self._count(wiring.graph)

    def _count(self, links: nx.DiGraph) -> None:
        """Count the bytes that travel along links; an edge j -> i: i reads the vector of j."""
        vector = self.size * self.dtype.itemsize
        receive, send = ranks_served(links, self._hosts, self.node.comm.rank)
        self.bytes_sent = dict.fromkeys(self.own, 0)
        for device in itertools.chain.from_iterable(send.values()):
            self.bytes_sent[device] += vector
        self.bytes_received = dict.fromkeys(self.own, 0)
        foreign = set(itertools.chain.from_iterable(receive.values()))
        for device in self.own:
            # A vector that arrives once for several devices is charged to the first of them.
            needed = foreign.intersection(links.predecessors(device))
            self.bytes_received[device] = vector * len(needed)
            foreign -= needed

    def _count_as_allreduce(self) -> None:
        """Count for each own vector the columns of other ranks, and own columns of the mean."""
        ranks = self.node.comm.size
        away = self.size * self.dtype.itemsize * (ranks - 1) // ranks
        self.bytes_sent = dict.fromkeys(self.own, away + away // len(self.own))
        self.bytes_received = dict(self.bytes_sent)

    @property
    def stride(self) -> int:
        """Numbers from the start of a vector to that of the next one in the same buffer."""
        per_line = ALIGNMENT // self.dtype.itemsize
        return -(-self.size // per_line) * per_line

    def _allocate(self) -> list[Tensor]:
        shape = len(self.own), self.stride
        return [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in range(2)]

    @property
    def vectors(self) -> Mapping[int, Tensor]:
        """For each own device its parameters, ``(P,)``."""
        return self._vectors[self.phase]

    def _own(self, buffer: Tensor) -> dict[int, Tensor]:
        """The vectors of own devices in a buffer, ``(P,)`` each."""
        return {device: buffer[self._row[device], : self.size] for device in self.own}

    def _prepare(self, foreign: Sequence[Mapping[int, Tensor]]) -> None:
        """Prepare the mixing of own vectors with those of other ranks, as each phase reads them."""
        for phase in range(2):
            readable = {**foreign[phase], **self._vectors[phase]}
            members = [[readable[j] for j in row] for row in self._slots.members.values()]
            self._mixtures.append(Mixture(members, list(self._vectors[1 - phase].values())))

    def arrive(self, weights: MixingWeights, links: nx.DiGraph | None = None) -> None:
        """Collective. Hand in own mixing weights, and wait until every rank has trained."""
        self._follow(links)
        self._take(weights)
        settle(self.device)
        self.node.meet()

    def _follow(self, links: nx.DiGraph | None) -> None:
        """Prepare for the links of a round; nothing to do if all vectors always travel."""

    def _take(self, weights: MixingWeights) -> None:
        if weights is not self._given and not self._uniform:
            self._slots.fill(weights, self._weights)
            self._given = weights

    @property
    def _current(self) -> Mixture:
        """The mixing of this round."""
        return self._mixtures[self.phase]

    def inboxes(self) -> dict[int, dict[int, Tensor]]:
        """For each own device the vectors ``(P,)`` that it may mix, by device."""
        members = self._slots.members.items()
        pairs = zip(members, self._current.members, strict=True)
        return {i: dict(zip(known, vectors, strict=True)) for (i, known), vectors in pairs}

    def _picked(self, readable: Mapping[int, Tensor]) -> dict[int, dict[int, Tensor]]:
        """The readable vectors that each own device may mix."""
        return {i: {j: readable[j] for j in self._slots.members[i]} for i in self.own}

    def weigh(self, weights: MixingWeights) -> None:
        """Hand in own mixing weights that follow from the inboxes."""
        self._take(weights)

    def mix(self, measure: bool = False) -> None:
        """Replace each own vector by the weighted sum over its members."""
        self._current(self._weights)
        self._turn()

    def replace(self, vectors: Mapping[int, Tensor]) -> None:
        """Replace own vectors ``(P,)``, instead of mixing."""
        then = self._vectors[(self.phase + 1) % len(self.buffers)]
        for device, vector in vectors.items():
            then[device].copy_(vector)
        self._turn()

    def _turn(self) -> None:
        """Make the written vectors the own ones."""
        self.phase = 1 - self.phase

    def distances(self) -> list[float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of each own device."""
        vectors = self.vectors
        return metrics.consensus_distance(vectors, self._average(vectors))

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """Return nothing, as a round leaves only own vectors to the next."""
        return {}

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Do nothing, as there is no further state."""
