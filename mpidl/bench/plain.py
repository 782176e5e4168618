"""Plain ways to gossip, with which the backends are compared; one device per rank.

Plain ways send from host memory, so vectors in an accelerator's memory are copied there and back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mpi4py import MPI

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from mpidl.exchange import BACKENDS, Wiring
from mpidl.ranks.node import Node


@dataclass(frozen=True)
class Way:
    """One way to gossip: a round, a function that frees memory, and this rank's vector ``(P,)``."""

    turn: Callable[[], object]
    close: Callable[[], None]
    vector: Callable[[], Tensor]


Build = Callable[[Node, nx.DiGraph, int, torch.device], Way]
"""Collective. Builds a way to gossip from node, graph with a device per rank, P, and hardware."""


def backend(name: str) -> Build:
    """A way that gossips by a backend of mpidl: it arrives, shares and mixes."""

    def build(node: Node, graph: nx.DiGraph, size: int, hardware: torch.device) -> Way:
        hosts = np.arange(node.comm.size)
        exchange = BACKENDS.call(name, Wiring(node, hosts, graph, size, hardware, torch.float32))
        own = node.comm.rank
        exchange.vectors[own].fill_(own + 1)
        members = [own, *sorted(graph.predecessors(own))]
        weights = {own: (members, np.full(len(members), 1 / len(members)))}

        def turn() -> None:
            exchange.arrive(weights)
            exchange.share()
            exchange.mix()

        return Way(turn, exchange.close, lambda: exchange.vectors[own])

    return build


def allgather(node: Node, graph: nx.DiGraph, size: int, hardware: torch.device) -> Way:
    """Collective. ``MPI_Neighbor_allgather``, a copy of each neighbor, then the sum by torch."""
    memory = Memory(node, graph, size, hardware)
    sources, sent, inbox = memory.sources, memory.sent, memory.inbox
    targets = sorted(graph.successors(node.comm.rank))
    comm = node.comm.Create_dist_graph_adjacent(sources, targets, reorder=False)

    def turn() -> None:
        memory.lower()
        comm.Neighbor_allgather([sent, size, MPI.FLOAT], [inbox, size, MPI.FLOAT])
        memory.sum()

    return Way(turn, comm.Free, lambda: memory.own)


def point_to_point(node: Node, graph: nx.DiGraph, size: int, hardware: torch.device) -> Way:
    """Collective. ``MPI_Irecv`` and ``MPI_Isend`` for each neighbor, then the sum by torch."""
    memory = Memory(node, graph, size, hardware)
    sources, sent, inbox = memory.sources, memory.sent, memory.inbox
    targets = sorted(graph.successors(node.comm.rank))
    comm = node.comm.Dup()

    def turn() -> None:
        memory.lower()
        requests = [comm.Irecv([inbox[i], size, MPI.FLOAT], j) for i, j in enumerate(sources)]
        requests += [comm.Isend([sent, size, MPI.FLOAT], j) for j in targets]
        MPI.Request.Waitall(requests)
        memory.sum()

    return Way(turn, comm.Free, lambda: memory.own)


def copy(node: Node, graph: nx.DiGraph, size: int, hardware: torch.device) -> Way:
    """Collective. The limit: each rank reads its vector once and writes it once."""
    if hardware.type != "cpu":
        there = torch.full((size,), float(node.comm.rank + 1), device=hardware)
        beside = torch.zeros_like(there)
        return Way(lambda: beside.copy_(there), lambda: None, lambda: beside)
    own, out = np.full(size, node.comm.rank + 1, np.float32), np.zeros(size, np.float32)

    def turn() -> None:
        np.copyto(out, own)

    return Way(turn, lambda: None, lambda: torch.from_numpy(out))


class Memory:
    """Memory of the plain ways: vectors that are sent, received and summed.

    Args:
        node: The ranks of this node.
        graph: The graph of ranks.
        size: P.
        hardware: The hardware whose memory holds the vectors.

    Attributes:
        own: This rank's vector, ``(P,)``.
        sources: Its in-neighbors, in ascending order.
        sent: Its vector in host memory; the same memory as ``own`` on a processor.
        inbox: The messages that arrive, ``(K, P)``, K at least 1.
    """

    def __init__(self, node: Node, graph: nx.DiGraph, size: int, hardware: torch.device) -> None:
        self.sources = sorted(graph.predecessors(node.comm.rank))
        self.own = torch.full((size,), float(node.comm.rank + 1), device=hardware)
        # MPI refuses empty memory, even if nothing arrives.
        self.inbox = torch.zeros(max(1, len(self.sources)), size)
        self._here = hardware.type == "cpu"
        self.sent = self.own if self._here else torch.zeros(size)
        self._inbox = self.inbox if self._here else self.inbox.to(hardware)
        self._out = torch.zeros_like(self.own)

    def lower(self) -> None:
        """Copy the own vector to host memory for MPI."""
        if not self._here:
            self.sent.copy_(self.own)

    def sum(self) -> None:
        """Replace the own vector by the mean of itself and the messages."""
        if not self._here:
            self._inbox.copy_(self.inbox)
        weight = 1 / (len(self.sources) + 1)
        torch.mul(self.own, weight, out=self._out)
        for vector in self._inbox[: len(self.sources)]:
            self._out.add_(vector, alpha=weight)
        self.own.copy_(self._out)


WAYS: dict[str, Build] = {
    "copy limit": copy,
    "Neighbor_allgather + sum": allgather,
    "point-to-point + sum": point_to_point,
}
"""The plain ways, by the name that is printed."""
