"""Slab of memory that the ranks of a node share, where vectors are mixed without a copy."""

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from mpidl.exchange import Wiring, kernels
from mpidl.exchange.between import Traffic
from mpidl.exchange.memory import ALIGNMENT, Buffers
from mpidl.exchange.slots import MixingWeights, slots_of
from mpidl.exchange.trips import wants

CHUNK = 4 << 20
"""Bytes of a vector in one message to another node, mixed while the next messages travel."""

APART = 1 << 16
"""Distance in bytes of addresses that compete for the same places in a cache."""

SPREAD = 65 * 64
"""Bytes by which each vector begins further behind a multiple of ``APART`` than the one before."""

WHOLE = 2 << 20
"""Most bytes that a rank reads to mix whole vectors of its own, which takes one wait less."""


class Shared(Buffers):
    """Collective. One slab for all devices of a node; between nodes only needed vectors travel.

    The product X <- W X is cut by columns: each rank mixes the same columns of all devices of its
    node, in blocks that stay in the cache, so that every number is read once and written once
    however many neighbors a device has. On one node, each rank mixes small vectors of its own
    devices whole: nobody else writes to them, so ranks need not wait for each other's mixtures. The
    bits are the same. Between nodes a vector travels once to each node that needs it, in chunks,
    and a chunk is mixed while the next ones travel. There is room for all vectors that a node needs
    in any round; if the graph changes, only those needed in the round travel.

    Args:
        wiring: The wiring of the exchange.
        chunk: Bytes of a vector in one message.
    """

    def __init__(self, wiring: Wiring, chunk: int = CHUNK) -> None:
        node, hosts = wiring.node, wiring.hosts
        here = node.ranks[hosts] == node.ranks[node.comm.rank]
        self._here = [int(i) for i in np.flatnonzero(here)]
        self._changing, self._every = wiring.changing, wiring.graph
        self._traffic = Traffic(wiring)
        super().__init__(wiring)

        self._own_slots, self._own_weights = self._slots, self._weights
        self._slots = slots_of(wiring, self._here)
        self._whole = self._whole_vectors()
        self._weights = node.allocate(8 * self._slots.size).view(np.float64)
        if self._uniform:
            # All rows of W are the same; the kernel computes one mixture and copies it.
            self._weights[:] = 1 / len(hosts)
            if node.alone:
                self._count_as_allreduce()

        step = max(1, chunk // (self.dtype.itemsize * kernels.TILE)) * kernels.TILE
        if node.alone:
            step = max(self.size, 1)
        chunks = [slice(at, min(at + step, self.size)) for at in range(0, self.size, step)]
        self._parts = [self._own_columns(columns) for columns in chunks]
        self._chunks = [self._prepared(part) for part in self._parts]
        self._traffic.open(chunks, self._inbox, self._vectors)
        tiles = -(-self.size // kernels.TILE)
        self._squares = (
            node.allocate(8 * tiles * len(hosts)).view(np.float64).reshape(tiles, len(hosts))
            if node.alone
            else None
        )
        self._measured = False
        node.meet()

    @property
    def stride(self) -> int:
        """Numbers from the begin of a vector to that of the next one in the same buffer."""
        return spaced(self.size * self.dtype.itemsize) // self.dtype.itemsize

    def _allocate(self) -> list[Tensor]:
        """The slab: two vectors of each device of this node, then those that arrive."""
        foreign = self._traffic.foreign
        rows = 2 * len(self._here) + len(foreign)
        self._memory = self.node.allocate(rows * self.stride * self.dtype.itemsize)
        slab = torch.frombuffer(self._memory, dtype=self.dtype).view(rows, self.stride)
        count = len(self._here)
        self._slab = [slab[:count], slab[count : 2 * count]]
        self._inbox = {j: slab[2 * count + i, : self.size] for i, j in enumerate(foreign)}
        self._row = {device: i for i, device in enumerate(self._here)}
        own = [self._row[device] for device in self.own]
        # The rank that first writes a page decides which memory of a node holds it.
        for buffer in self._slab:
            for i in own:
                buffer[i].zero_()
        return self._slab

    def _whole_vectors(self) -> list[kernels.Mixture]:
        """For each phase the mixing of own vectors as a whole; empty if columns are better."""
        read = sum(map(len, self._own_slots.members.values())) * self.size * self.dtype.itemsize
        if not self.node.alone or max(self.node.comm.allgather(read)) > WHOLE:
            return []
        mixtures = []
        for now, own in zip(self._slab, reversed(self._vectors), strict=True):
            readable = {j: now[i, : self.size] for j, i in self._row.items()}
            members = [[readable[j] for j in row] for row in self._own_slots.members.values()]
            mixtures.append(kernels.Mixture(members, list(own.values())))
        return mixtures

    def _own_columns(self, columns: slice) -> slice:
        inner, size = self.node.inner, columns.stop - columns.start
        part = kernels.cut(size, inner.size, inner.rank)
        return slice(columns.start + part.start, columns.start + part.stop)

    def _prepared(self, part: slice) -> list[kernels.Mixture]:
        """For each phase the mixing of this rank's columns of one chunk."""
        mixtures = []
        slab_bytes = 2 * len(self._here) * self.size * self.dtype.itemsize
        for phase in range(2):
            now, then = self._slab[phase], self._slab[1 - phase]
            readable = {j: vector[part] for j, vector in self._inbox.items()}
            readable |= {j: now[i, part] for j, i in self._row.items()}
            members = [[readable[j] for j in row] for row in self._slots.members.values()]
            outs = [then[self._row[device], part] for device in self._slots.members]
            mixtures.append(kernels.Mixture(members, outs, stream=slab_bytes > kernels.CACHE))
        return mixtures

    def _follow(self, links: nx.DiGraph | None) -> None:
        if self._changing:
            links = self._every if links is None else links
            self._count(links)
            self._traffic.follow(links)

    def _take(self, weights: MixingWeights) -> None:
        if self._whole and weights is not self._given and not self._uniform:
            self._own_slots.fill(weights, self._own_weights)
        super()._take(weights)

    def arrive(self, weights: MixingWeights, links: nx.DiGraph | None = None) -> None:
        """Collective. Hand in own mixing weights, and wait until the node's ranks have trained."""
        self._follow(links)
        self._take(weights)
        self._traffic.leave(self.phase)
        self.node.wait()

    def share(self) -> None:
        """Collective. Wait for the first chunk from other nodes."""
        if self._chunks:
            self._arrived(0)

    def _arrived(self, chunk: int) -> None:
        # A rank must not sleep at the gate while another node waits for its messages.
        self._traffic.finish(self.phase, chunk)
        if not self.node.alone:
            self.node.wait()

    def inboxes(self) -> dict[int, dict[int, Tensor]]:
        """Collective. For each own device the vectors ``(P,)`` that it may mix, by device."""
        for chunk in range(1, len(self._chunks)):
            self._arrived(chunk)
        now = self._slab[self.phase]
        here = {j: now[i, : self.size] for j, i in self._row.items()}
        return self._picked({**self._inbox, **here})

    def weigh(self, weights: MixingWeights) -> None:
        """Collective. Hand in own mixing weights, with which the node's ranks mix their columns."""
        super().weigh(weights)
        self.node.wait()

    def mix(self, measure: bool = False) -> None:
        """Collective. Mix this rank's columns of all vectors of the node, or own vectors whole."""
        if self._whole and not measure:
            self._whole[self.phase](self._own_weights)
            super()._turn()
            self._measured = False
            return
        measure = measure and self._squares is not None
        for chunk, mixtures in enumerate(self._chunks):
            if chunk > 0:
                self._arrived(chunk)
            part, squares = self._parts[chunk], None
            if measure and self._squares is not None:
                first = part.start // kernels.TILE
                squares = self._squares[
                    first : first + -(-(part.stop - part.start) // kernels.TILE)
                ]
            mixtures[self.phase](self._weights, squares)
        self._turn()
        self._measured = measure

    def _turn(self) -> None:
        super()._turn()
        self._measured = False
        self.node.wait()
        self._traffic.turn()

    def distances(self) -> list[float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of each own device."""
        if not self._measured or self._squares is None:
            return super().distances()
        squares = self._squares.T
        return [float(np.sqrt(squares[self._row[i]].copy().sum())) for i in self.own]

    def close(self) -> None:
        """Collective. Free requests and the communicator; the slab goes with the node."""
        self.node.meet()
        self._traffic.close()


def spaced(bytes_: int) -> int:
    """Bytes from the start of a vector of a size to that of the next one."""
    if bytes_ >= APART:
        return -(-bytes_ // APART) * APART + SPREAD
    return -(-bytes_ // ALIGNMENT) * ALIGNMENT


def demand(wiring: Wiring) -> int:
    """Bytes of the slab of this node."""
    place = wiring.node.ranks[wiring.hosts]
    mine = int(wiring.node.ranks[wiring.comm.rank])
    rows = 2 * int((place == mine).sum()) + len(wants(wiring.graph, place, wiring.node.count)[mine])
    return rows * spaced(wiring.size * wiring.dtype.itemsize)
