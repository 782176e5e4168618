"""The obvious ways to gossip, with which the backends are compared; one device per rank."""

from collections.abc import Callable
from dataclasses import dataclass

from mpi4py import MPI

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from mpidl.exchange import BACKENDS, Wiring
from mpidl.node import Node


@dataclass(frozen=True)
class Way:
    """One way to gossip: a round, what gives memory back, and this rank's vector ``(P,)``."""

    turn: Callable[[], None]
    close: Callable[[], None]
    vector: Callable[[], Tensor]


Build = Callable[[Node, nx.DiGraph, int], Way]
"""Collective. A way to gossip on a graph with a device per rank and vectors of so many numbers."""


def backend(name: str) -> Build:
    """Collective. A backend of mpidl in a round of arriving, sharing and mixing."""

    def build(node: Node, graph: nx.DiGraph, size: int) -> Way:
        device = torch.device("cpu")
        hosts = np.arange(node.comm.size)
        exchange = BACKENDS[name](Wiring(node, hosts, graph, size, device, torch.float32))
        own = node.comm.rank
        exchange.vectors[own].fill_(own + 1)
        members = [own, *sorted(graph.predecessors(own))]
        rows = {own: (members, np.full(len(members), 1 / len(members)))}

        def turn() -> None:
            exchange.arrive(rows)
            exchange.share()
            exchange.mix()

        return Way(turn, exchange.close, lambda: exchange.vectors[own])

    return build


def allgather(node: Node, graph: nx.DiGraph, size: int) -> Way:
    """Collective. ``MPI_Neighbor_allgather``, a copy of each neighbor, then the sum by torch."""
    own, sources, inbox, out = _memory(node, graph, size)
    targets = sorted(graph.successors(node.comm.rank))
    comm = node.comm.Create_dist_graph_adjacent(sources, targets, reorder=False)

    def turn() -> None:
        comm.Neighbor_allgather([own, size, MPI.FLOAT], [inbox, size, MPI.FLOAT])
        _sum(own, inbox[: len(sources)], out)
        own.copy_(out)

    return Way(turn, comm.Free, lambda: own)


def point_to_point(node: Node, graph: nx.DiGraph, size: int) -> Way:
    """Collective. ``MPI_Irecv`` and ``MPI_Isend`` for each neighbor, then the sum by torch."""
    own, sources, inbox, out = _memory(node, graph, size)
    targets = sorted(graph.successors(node.comm.rank))
    comm = node.comm.Dup()

    def turn() -> None:
        requests = [comm.Irecv([inbox[i], size, MPI.FLOAT], j) for i, j in enumerate(sources)]
        requests += [comm.Isend([own, size, MPI.FLOAT], j) for j in targets]
        MPI.Request.Waitall(requests)
        _sum(own, inbox[: len(sources)], out)
        own.copy_(out)

    return Way(turn, comm.Free, lambda: own)


def copy(node: Node, graph: nx.DiGraph, size: int) -> Way:
    """Collective. The limit: each rank reads its vector once and writes it once."""
    own, out = np.full(size, node.comm.rank + 1, np.float32), np.zeros(size, np.float32)

    def turn() -> None:
        np.copyto(out, own)

    return Way(turn, lambda: None, lambda: torch.from_numpy(out))


def _memory(node: Node, graph: nx.DiGraph, size: int) -> tuple[Tensor, list[int], Tensor, Tensor]:
    sources = sorted(graph.predecessors(node.comm.rank))
    own = torch.full((size,), float(node.comm.rank + 1))
    # MPI takes no empty memory, even from nobody.
    return own, sources, torch.zeros(max(1, len(sources)), size), torch.zeros(size)


def _sum(own: Tensor, inbox: Tensor, out: Tensor) -> None:
    weight = 1 / (len(inbox) + 1)
    torch.mul(own, weight, out=out)
    for vector in inbox:
        out.add_(vector, alpha=weight)


WAYS: dict[str, Build] = {
    "copy limit": copy,
    "Neighbor_allgather + sum": allgather,
    "point-to-point + sum": point_to_point,
}
"""By the name that is printed."""
