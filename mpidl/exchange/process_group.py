"""Process group of torch.distributed, over which vectors travel: NCCL, oneCCL and gloo."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mpidl.config.faults import Fault
from mpidl.exchange import Wiring, marks
from mpidl.exchange.kernels import Mixture
from mpidl.exchange.memory import Buffers
from mpidl.exchange.rendezvous import Group
from mpidl.exchange.routes import OPERATIONS, Batches, Gathered, Landing, Route
from mpidl.exchange.slots import Slots, members_of
from mpidl.exchange.survey import sends_arrive
from mpidl.exchange.traffic import dense

DIRECT = ("CCL_SEND", "CCL_RECV")
"""Variables that must be ``direct`` for messages of oneCCL to arrive in a torch before 2.9; they
are read when a group is made, and a user's own setting is kept."""


class ProcessGroup(Buffers):
    """Collective. A batch of messages for each chunk of columns, mixed while the next ones travel.

    If the graph is dense, an all-gather replaces the messages. If the graph changes, this is
    decided in each round, and only vectors that are read in the round travel; without the links of
    a round, all vectors that are read in any round travel.

    Args:
        wiring: The wiring of the exchange.
        chunk: Bytes of a vector that travel together; None takes the backend's default.
        limit: The most messages of a rank in one batch.

    Attributes:
        CHUNK: The default of ``chunk``.
        BATCHES: Whether the backend takes many messages at once.
        BOUND: Whether the group belongs to an accelerator.
    """

    CHUNK = 64 << 20
    BATCHES = True
    BOUND = True

    def __init__(self, wiring: Wiring, chunk: int | None = None, limit: int = OPERATIONS) -> None:
        super().__init__(wiring)
        comm = wiring.comm
        # Chunks begin on cache lines, as vectors do, and the last one has their padding.
        lines = max(1, (self.CHUNK if chunk is None else chunk) // 64)
        step = lines * 64 // self.dtype.itemsize
        starts = range(0, self.stride, step)
        chunks = [slice(start, min(start + step, self.stride)) for start in starts]
        self._group = Group(wiring, type(self).__name__.lower(), self.BOUND)
        self._parts, self._limit = chunks, limit
        self._shape = self._hosts, comm.rank, comm.size, self.buffers, chunks
        self._landing = Landing(self.buffers[0], chunks)
        self._every = wiring.graph
        self._lay(self._every)
        self._lane = Lane(self.device, len(chunks))
        if not marks.arrive(self, self._moved):
            self.close()
            raise Fault(
                f"exchange.backend = {type(self).__name__.lower()!r}: changes what it carries "
                f"between {self.device.type} memories; 'mpi' works."
            )

    def _moved(self) -> Mapping[int, Tensor]:
        self.share()
        return self._joined()

    def _lay(self, links: nx.DiGraph) -> None:
        """Prepare for vectors that travel along some links and are mixed by them."""
        self._laid, self._route = links, self._routed(links)
        self._chunks = [
            [self._mixture(phase, number, part) for phase in range(2)]
            for number, part in enumerate(self._parts)
        ]

    def _routed(self, links: nx.DiGraph) -> Route:
        if dense(links, self._hosts, self.node.comm.size) or not self.BATCHES:
            self._count_all()
            return self._gathered
        self._count(links)
        return Batches(links, *self._shape, self._landing, self._limit)

    @cached_property
    def _gathered(self) -> Gathered:
        return Gathered(*self._shape)

    def _follow(self, links: nx.DiGraph | None) -> None:
        links = self._every if links is None else links
        if links is not self._laid:
            self._slots = Slots(members_of(links, self.own))
            self._weights = np.zeros(self._slots.size)
            self._lay(links)

    def _mixture(self, phase: int, number: int, part: slice) -> Mixture:
        part = slice(part.start, min(part.stop, self.size))
        arrived = self._route.arrived(number)
        readable = {j: vector[: part.stop - part.start] for j, vector in arrived.items()}
        readable |= {j: vector[part] for j, vector in self._vectors[phase].items()}
        members = [[readable[j] for j in row] for row in self._slots.members.values()]
        return Mixture(members, [out[part] for out in self._vectors[1 - phase].values()])

    def _count_all(self) -> None:
        """Count the bytes that travel if every rank gets every vector."""
        devices, ranks = len(self._hosts), self.node.comm.size
        vector = self.size * self.dtype.itemsize
        self.bytes_sent = dict.fromkeys(self.own, vector * (ranks - 1))
        self.bytes_received = dict.fromkeys(self.own, 0)
        self.bytes_received[self.own[0]] = vector * (devices - len(self.own))

    def share(self) -> None:
        """Collective. Let all chunks travel, and wait for the first."""
        with self._lane.open():
            for chunk in range(len(self._chunks)):
                self._lane.load(chunk, self._route.post(self.phase, chunk))
        self._lane.wait(0)

    def inboxes(self) -> dict[int, dict[int, Tensor]]:
        """For each own device the vectors ``(P,)`` that it may mix, by device.

        Vectors that arrived in several chunks are copied into one piece.
        """
        return self._picked({**self._joined(), **self.vectors})

    def _joined(self) -> dict[int, Tensor]:
        first, *others = (self._arrived(chunk) for chunk in range(len(self._chunks)))
        joined = {
            j: torch.cat([part, *(other[j] for other in others)]) if others else part
            for j, part in first.items()
        }
        return {j: vector[: self.size] for j, vector in joined.items()}

    def _arrived(self, chunk: int) -> Mapping[int, Tensor]:
        self._lane.wait(chunk)
        return self._route.arrived(chunk)

    def mix(self, measure: bool = False) -> None:
        """Replace each own vector by the weighted sum over its members, as chunks arrive."""
        for chunk, mixtures in enumerate(self._chunks):
            if chunk > 0:
                self._lane.wait(chunk)
            mixtures[self.phase](self._weights)
        self._turn()

    def _turn(self) -> None:
        # MPI, which reads vectors next, does not wait for streams.
        self._lane.rest()
        super()._turn()

    def close(self) -> None:
        """Collective. End the group."""
        self._group.close()


class Lane:
    """Lane of messages, which on accelerators is a stream of their own.

    On accelerators ``wait()`` of a message blocks a stream, not the host. The lane collects all
    messages, and the mixing, on the usual stream, waits for the chunk that it needs.

    Args:
        device: The hardware whose memory holds the vectors.
        chunks: Number of chunks.
    """

    def __init__(self, device: torch.device, chunks: int) -> None:
        self._works: list[list[dist.Work]] = [[] for _ in range(chunks)]
        self._module: Any = None if device.type == "cpu" else getattr(torch, device.type)
        if self._module is not None:
            self._stream = self._module.Stream()
            self._loaded = [self._module.Event() for _ in range(chunks)]

    @contextmanager
    def open(self) -> Iterator[None]:
        """Post messages on the lane within the context, after all work of the usual stream."""
        if self._module is None:
            yield
            return
        self._stream.wait_stream(self._module.current_stream())
        with self._module.stream(self._stream):
            yield

    def load(self, chunk: int, works: list[dist.Work]) -> None:
        """Record the messages of a chunk, also sends, so that no vector changes while it leaves."""
        self._works[chunk] = works
        if self._module is not None:
            for work in works:
                work.wait()
            self._loaded[chunk].record(self._stream)

    def wait(self, chunk: int) -> None:
        """Let later work wait for a chunk."""
        if self._module is None:
            for work in self._works[chunk]:
                work.wait()
        else:
            self._module.current_stream().wait_event(self._loaded[chunk])
            if chunk == 0:
                # The host waits too, so that the exchange's time does not count as mixing.
                self._loaded[chunk].synchronize()
        self._works[chunk] = []

    def rest(self) -> None:
        """Wait until the accelerator has finished its work."""
        if self._module is not None:
            self._module.current_stream().synchronize()


class Gloo(ProcessGroup):
    """Collective. Over host memory, by TCP."""

    CHUNK = 4 << 20
    # With an accelerator a composite backend, such as xpu:xccl,cpu:gloo, would lose one half.
    BOUND = False


class Nccl(ProcessGroup):
    """Collective. Over the memory of CUDA GPUs, one rank on each."""


class Xccl(ProcessGroup):
    """Collective. Over the memory of XPUs, by oneCCL inside torch."""

    def __init__(self, wiring: Wiring, chunk: int | None = None, limit: int = OPERATIONS) -> None:
        if not sends_arrive():
            for way in DIRECT:
                os.environ.setdefault(way, "direct")
        super().__init__(wiring, chunk, limit)


class Ccl(ProcessGroup):
    """Collective. Over the memory of XPUs or hosts, by oneCCL's old bindings to torch.

    They have no batches, and single messages can wait for each other in a circle.
    """

    BATCHES = False
    # Their version of torch binds groups to CUDA accelerators only.
    BOUND = False
