"""Neighborhood of a device in the graph of one round."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import networkx as nx


@dataclass(frozen=True)
class Neighborhood:
    """The closed neighborhood of one device in the directed graph of one round.

    Attributes:
        graph: The links that work in the round: an edge ``j -> i`` means that the parameters of
            device j arrive at device i.
        device: The device whose neighborhood this is.
        round: The round; rounds count from 0.
        seed: The seed of the run, for strategies that draw random numbers.
        whole: The graph of the round with the links that fail; by default ``graph``.
        measured: The graph from which centralities of the round follow; by default ``whole``.
        samples: Training samples of each device, ``(N,)``; None where no data are placed.
    """

    graph: nx.DiGraph
    device: int
    round: int = 0
    seed: int = 0
    whole: nx.DiGraph = None
    measured: nx.DiGraph = None
    samples: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        whole = self.graph if self.whole is None else self.whole
        object.__setattr__(self, "whole", whole)
        object.__setattr__(self, "measured", whole if self.measured is None else self.measured)

    @property
    def in_neighbors(self) -> list[int]:
        """Devices whose messages arrive at this one, in ascending order."""
        return sorted(self.graph.predecessors(self.device))

    @property
    def out_neighbors(self) -> list[int]:
        """Devices at which messages of this one arrive, in ascending order."""
        return sorted(self.graph.successors(self.device))

    @property
    def members(self) -> list[int]:
        """The order of all mixing weights and inboxes: self first, then the in-neighbors."""
        return [self.device, *self.in_neighbors]


_turned: WeakKeyDictionary[nx.DiGraph, nx.DiGraph] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class RoundGraph:
    """The graph of one round, with the graphs from which it follows.

    Attributes:
        graph: The links that work.
        whole: The graph of the round with the links that fail.
        measured: The graph from which centralities follow.
    """

    graph: nx.DiGraph
    whole: nx.DiGraph
    measured: nx.DiGraph

    def among(self, devices: set[int]) -> "RoundGraph":
        """The graph with only the links between some devices."""
        part = nx.DiGraph()
        part.add_nodes_from(self.graph.nodes(data=True))
        part.add_edges_from(e for e in self.graph.edges(data=True) if {e[0], e[1]} <= devices)
        return RoundGraph(part, self.whole, self.measured)

    @property
    def turned(self) -> "RoundGraph":
        """The graph with every link reversed: members are then a device's out-neighbors."""
        return RoundGraph(_facing(self.graph), _facing(self.whole), _facing(self.measured))

    def around(
        self, device: int, round: int = 0, seed: int = 0, samples: tuple[int, ...] | None = None
    ) -> Neighborhood:
        """The neighborhood of a device; arguments as in :class:`Neighborhood`."""
        return Neighborhood(self.graph, device, round, seed, self.whole, self.measured, samples)


def _facing(graph: nx.DiGraph) -> nx.DiGraph:
    if graph not in _turned:
        _turned[graph] = graph.reverse()
    return _turned[graph]
