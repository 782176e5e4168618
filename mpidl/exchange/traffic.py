"""Traffic of a round: bytes of vectors that each rank sends and receives, computed beforehand."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.exchange.trips import trips

Hosts = npt.NDArray[np.int64]
Bytes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Bytes that each rank sends, and those that it receives, ``(ranks,)`` each."""


@dataclass(frozen=True)
class Load:
    """Load of a round: the vectors that travel.

    Attributes:
        graph: An edge j -> i if i reads the vector of j.
        hosts: Device to rank, ``(N,)``.
        ranks: Number of ranks.
        vector: Bytes of a vector.
        uniform: Whether every device takes the mean of all.
    """

    graph: nx.DiGraph
    hosts: Hosts
    ranks: int
    vector: int
    uniform: bool = False

    @property
    def held(self) -> Hosts:
        """Number of devices of each rank, ``(ranks,)``."""
        return np.bincount(self.hosts, minlength=self.ranks)


def along_links(load: Load) -> Bytes:
    """Traffic of sending each vector once to each other rank that reads it."""
    device, reader = trips(load.graph, load.hosts).T
    sent = np.bincount(load.hosts[device], minlength=load.ranks)
    return sent * load.vector, np.bincount(reader, minlength=load.ranks) * load.vector


def to_every_rank(load: Load) -> Bytes:
    """Traffic of sending every vector to every other rank."""
    sent = load.held * (load.ranks - 1) * load.vector
    return sent, (len(load.hosts) - load.held) * load.vector


def by_density(load: Load) -> Bytes:
    """Traffic to every rank if the graph is dense, else along its links."""
    gathers = dense(load.graph, load.hosts, load.ranks)
    return to_every_rank(load) if gathers else along_links(load)


def of_the_mean(load: Load) -> Bytes:
    """Traffic of an all-reduce: other ranks' columns of own vectors, own columns of the mean."""
    away = load.vector * (load.ranks - 1) // load.ranks
    sent = (load.held + 1) * away
    return sent, sent.copy()


def mean_or_links(load: Load) -> Bytes:
    """Traffic of an all-reduce if every device takes the mean, else along the links."""
    return of_the_mean(load) if load.uniform else along_links(load)


def dense(graph: nx.DiGraph, hosts: Hosts, ranks: int) -> bool:
    """Whether ranks need more than half of what they get if every vector goes to every rank.

    With one device per rank: whether the mean in-degree is above half of the other ranks.
    """
    needed = trips(graph, hosts)
    height = int(np.bincount(hosts, minlength=ranks).max())
    return 2 * len(needed) > height * ranks * (ranks - 1)
