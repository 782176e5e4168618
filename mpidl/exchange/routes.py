"""Routes of vectors in a group of torch.distributed: batches of messages, or all to all."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from mpidl.exchange.trips import ranks_served, trips

OPERATIONS = 256
"""Messages of a rank in one batch. With more, NCCL's ranks may plan a batch differently, and hang
(pytorch 174288)."""

# Since torch 2.13 under another name.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor

Hosts = npt.NDArray[np.int64]


class Route(Protocol):
    """Route on which the vectors of all ranks travel."""

    def arrived(self, chunk: int) -> Mapping[int, Tensor]:
        """For each device of another rank that is read here, the memory of its columns."""

    def post(self, phase: int, chunk: int) -> list[dist.Work]:
        """Collective. Let the columns of a chunk travel, and return the works to wait for."""


class Parcel:
    """Several own vectors in one piece, for ranks that need exactly these.

    A single vector leaves without a copy; several are first copied together, as many small messages
    cost more than a copy.

    Args:
        buffers: Own vectors by phase, ``(D, stride)``.
        rows: The places of the parcel's vectors in a buffer.
        chunks: The columns that travel together.
        height: Number of vectors for which there is room; the rest of the room is zero.
    """

    def __init__(
        self, buffers: Sequence[Tensor], rows: Sequence[int], chunks: Sequence[slice], height: int
    ) -> None:
        self._buffers, self._rows, self._chunks = buffers, rows, chunks
        self._memory: list[Tensor] = []
        if height > 1:
            widths = [part.stop - part.start for part in chunks]
            self._memory = [buffers[0].new_zeros(height, width) for width in widths]
            self._index = torch.tensor(rows, device=buffers[0].device)

    def flat(self, phase: int, chunk: int) -> Tensor:
        """The memory that is sent for a chunk, as bytes in one piece."""
        if self._memory:
            return _bytes(self._memory[chunk])
        return _bytes(self._buffers[phase][self._rows[0], self._chunks[chunk]])

    def pack(self, phase: int, chunk: int) -> None:
        """Copy the columns of a chunk into the memory that is sent."""
        if self._memory:
            columns = self._buffers[phase][:, self._chunks[chunk]]
            out = self._memory[chunk][: len(self._rows)]
            torch.index_select(columns, 0, self._index, out=out)


class Landing:
    """Memory in which vectors of other ranks arrive, as many as one round has brought so far.

    Args:
        like: Own vectors, ``(D, stride)``.
        chunks: The columns that travel together.
    """

    def __init__(self, like: Tensor, chunks: Sequence[slice]) -> None:
        self._rooms = [like.new_zeros(0, part.stop - part.start) for part in chunks]

    def parts(self, counts: Mapping[int, int]) -> list[dict[int, Tensor]]:
        """For each chunk and other rank, room for a number of its vectors, ``(count, width)``."""
        rows = sum(counts.values())
        if rows > len(self._rooms[0]):
            self._rooms = [room.new_zeros(rows, room.shape[1]) for room in self._rooms]
        ends = np.cumsum([0, *counts.values()]).tolist()
        places = [slice(*pair) for pair in pairwise(ends)]
        return [
            dict(zip(counts, map(room.__getitem__, places), strict=True)) for room in self._rooms
        ]


class Batches:
    """One flat message to each rank that needs vectors, and for each chunk one batch of messages.

    Sends come first, then receives, each by ascending rank: oneCCL replays a batch in order, and a
    receive waits for the other side's send. Empty messages are not sent, as they are an error in
    some versions of oneCCL.

    Args:
        graph: An edge j -> i if i may read the vector of j.
        hosts: Device to rank, ``(N,)``.
        rank: This rank.
        ranks: Number of ranks.
        buffers: Own vectors by phase, ``(D, stride)``.
        chunks: The columns that travel together.
        landing: The memory in which vectors arrive.
        limit: The most messages of a rank in one batch.
    """

    def __init__(
        self,
        graph: nx.DiGraph,
        hosts: Hosts,
        rank: int,
        ranks: int,
        buffers: Sequence[Tensor],
        chunks: Sequence[slice],
        landing: Landing,
        limit: int = OPERATIONS,
    ) -> None:
        receive, send = ranks_served(graph, hosts, rank)
        place = {int(i): row for row, i in enumerate(np.flatnonzero(hosts == rank))}
        needed = {other: tuple(place[i] for i in devices) for other, devices in send.items()}
        # Ranks that need the same vectors are sent the same copy.
        self._parcels = {rows: Parcel(buffers, rows, chunks, len(rows)) for rows in needed.values()}
        counts = {other: len(devices) for other, devices in receive.items()}
        self._receive, self._inbox = receive, landing.parts(counts)

        busiest = busy(graph, hosts)
        distances = {other: (other - rank) % ranks for other in needed}
        sends = {other: turn(distance, busiest, limit) for other, distance in distances.items()}
        distances = {other: (rank - other) % ranks for other in receive}
        receives = {other: turn(distance, busiest, limit) for other, distance in distances.items()}
        turns = sorted({*sends.values(), *receives.values()})

        def batch(phase: int, chunk: int, now: int) -> list[dist.P2POp]:
            out = [
                dist.P2POp(dist.isend, self._parcels[rows].flat(phase, chunk), other, tag=chunk)
                for other, rows in needed.items()
                if sends[other] == now
            ]
            into = [
                dist.P2POp(dist.irecv, _bytes(memory), other, tag=chunk)
                for other, memory in self._inbox[chunk].items()
                if receives[other] == now
            ]
            return out + into

        self._batches = [
            [[batch(phase, chunk, now) for now in turns] for chunk in range(len(chunks))]
            for phase in range(len(buffers))
        ]

    def arrived(self, chunk: int) -> Mapping[int, Tensor]:
        """For each device of another rank that is read here, where its columns arrive."""
        inbox = self._inbox[chunk]
        return {
            device: inbox[other][row]
            for other, devices in self._receive.items()
            for row, device in enumerate(devices)
        }

    def post(self, phase: int, chunk: int) -> list[dist.Work]:
        """Collective. Let the columns of a chunk travel; a rank without neighbors does nothing."""
        for parcel in self._parcels.values():
            parcel.pack(phase, chunk)
        batches = self._batches[phase][chunk]
        return [work for batch in batches for work in dist.batch_isend_irecv(batch)]


class Gathered:
    """All-gather of every vector to every rank, in equal blocks, for a dense graph.

    What is given to torch.distributed is kept: a thread of gloo's that lets go of a tensor last
    takes Python's lock, and the end of a group, which waits for it, holds that in a torch before
    2.8 (pytorch 154976).

    Args:
        hosts: Device to rank, ``(N,)``.
        rank: This rank.
        ranks: Number of ranks.
        buffers: Own vectors by phase, ``(D, stride)``.
        chunks: The columns that travel together.
    """

    def __init__(
        self,
        hosts: Hosts,
        rank: int,
        ranks: int,
        buffers: Sequence[Tensor],
        chunks: Sequence[slice],
    ) -> None:
        hosted = [np.flatnonzero(hosts == other).tolist() for other in range(ranks)]
        height = max(map(len, hosted))
        self._parcel = Parcel(buffers, range(len(hosted[rank])), chunks, height)
        shapes = [(ranks, height, part.stop - part.start) for part in chunks]
        self._inbox = [buffers[0].new_zeros(shape) for shape in shapes]
        self._into = [_bytes(inbox) for inbox in self._inbox]
        self._out = [
            [self._parcel.flat(phase, chunk) for chunk in range(len(chunks))]
            for phase in range(len(buffers))
        ]
        self._place = {
            device: (other, row)
            for other, devices in enumerate(hosted)
            for row, device in enumerate(devices)
            if other != rank
        }

    def arrived(self, chunk: int) -> Mapping[int, Tensor]:
        """For each device of another rank, the memory in which its columns arrive."""
        return {device: self._inbox[chunk][place] for device, place in self._place.items()}

    def post(self, phase: int, chunk: int) -> list[dist.Work]:
        """Collective. Let the columns of a chunk travel to all ranks."""
        self._parcel.pack(phase, chunk)
        return [_all_gather(self._into[chunk], self._out[phase][chunk], async_op=True)]


def busy(graph: nx.DiGraph, hosts: Hosts) -> int:
    """The most messages that one rank sends and receives."""
    device, reader = trips(graph, hosts).T
    pairs = np.unique(np.stack([hosts[device], reader], axis=1), axis=0)
    return int(np.bincount(pairs.ravel()).max(initial=0))


def turn(distance: int, busiest: int, limit: int) -> int:
    """The number of the batch, of several, for the message to the rank at a distance.

    Both sides put the message into the same batch, so that no batch waits for a later one of
    another rank. For each distance a rank has at most one message to send and one to receive.
    """
    return 0 if busiest <= limit else (distance - 1) // (limit // 2)


def _bytes(tensor: Tensor) -> Tensor:
    """Memory as bytes, for messages of any type of number."""
    return tensor.view(-1).view(torch.uint8)
