"""Traffic of a round: bytes of vectors that each rank sends and receives, known beforehand."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.exchange.trips import trips

Hosts = npt.NDArray[np.int64]
Bytes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Of each rank what it sends and what it receives, ``(ranks,)`` each."""


@dataclass(frozen=True)
class Load:
    """What travels in a round.

    Attributes:
        graph: An edge j -> i wherever i reads the vector of j.
        hosts: Device to rank, ``(N,)``.
        ranks: How many there are.
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
        """How many devices each rank has, ``(ranks,)``."""
        return np.bincount(self.hosts, minlength=self.ranks)


def along_links(load: Load) -> Bytes:
    """Each vector once to each other rank that reads it."""
    device, reader = trips(load.graph, load.hosts).T
    sent = np.bincount(load.hosts[device], minlength=load.ranks)
    return sent * load.vector, np.bincount(reader, minlength=load.ranks) * load.vector


def to_every_rank(load: Load) -> Bytes:
    """Every vector to every other rank."""
    sent = load.held * (load.ranks - 1) * load.vector
    return sent, (len(load.hosts) - load.held) * load.vector


def by_density(load: Load) -> Bytes:
    """To every rank where the graph is dense, else along its links."""
    gathers = dense(load.graph, load.hosts, load.ranks)
    return to_every_rank(load) if gathers else along_links(load)


def of_the_mean(load: Load) -> Bytes:
    """Of each own vector all but this rank's columns, and this rank's columns of the mean."""
    away = load.vector * (load.ranks - 1) // load.ranks
    sent = (load.held + 1) * away
    return sent, sent.copy()


def mean_or_links(load: Load) -> Bytes:
    """The mean where every device takes it, else along the links."""
    return of_the_mean(load) if load.uniform else along_links(load)


def dense(graph: nx.DiGraph, hosts: Hosts, ranks: int) -> bool:
    """Whether ranks want more than half of what they get if every vector goes to every rank.

    With one device per rank: whether the mean in-degree is above half of the other ranks.
    """
    wanted = trips(graph, hosts)
    height = int(np.bincount(hosts, minlength=ranks).max())
    return 2 * len(wanted) > height * ranks * (ranks - 1)
