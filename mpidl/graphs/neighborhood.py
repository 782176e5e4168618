"""What one device sees of a graph, and which links work in a round."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl import seeds


@dataclass(frozen=True)
class Neighborhood:
    """The closed neighborhood of one device in the directed graph of one round.

    An edge ``j -> i`` means that the parameters of device j arrive at device i. ``seed`` is that
    of the run, for strategies that draw.
    """

    graph: nx.DiGraph
    device: int
    round: int = 0
    seed: int = 0

    @property
    def in_neighbors(self) -> list[int]:
        """Devices whose parameters arrive here, ascending."""
        return sorted(self.graph.predecessors(self.device))

    @property
    def out_neighbors(self) -> list[int]:
        """Devices at which the parameters of this one arrive, ascending."""
        return sorted(self.graph.successors(self.device))

    @property
    def members(self) -> list[int]:
        """The order of every weight row and every inbox: self first, then the in-neighbors."""
        return [self.device, *self.in_neighbors]


@dataclass(frozen=True)
class _Flaky:
    """The F directed links that may fail, ascending, and which of the draws decides each."""

    links: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    draw: npt.NDArray[np.int64]


_turned: WeakKeyDictionary[nx.DiGraph, nx.DiGraph] = WeakKeyDictionary()
_flaky: WeakKeyDictionary[nx.DiGraph, _Flaky] = WeakKeyDictionary()


def links(graph: nx.DiGraph, seed: int, round: int) -> nx.DiGraph:
    """The graph of one round: each link works with its ``probability``, drawn anew each round.

    A pair of devices linked in both directions with the same probability is drawn once, so both
    directions work or neither does. Nodes and attributes are kept; :func:`whole` leads back to
    the graph itself, which is what is returned where every link always works.
    """
    failed = set(map(tuple, failures(graph, seed, round).tolist()))
    if not len(_flaky[graph].links):
        return graph
    working = nx.DiGraph()
    working.graph.update(graph.graph, whole=whole(graph))
    working.add_nodes_from(graph.nodes(data=True))
    working.add_edges_from(edge for edge in graph.edges(data=True) if edge[:2] not in failed)
    return working


def failures(graph: nx.DiGraph, seed: int, round: int) -> npt.NDArray[np.int64]:
    """The links that fail in a round, ascending, ``(F, 2)``; see :func:`links`."""
    if graph not in _flaky:
        _flaky[graph] = _find_flaky(graph)
    flaky = _flaky[graph]
    if not len(flaky.links):
        return flaky.links
    uniform = seeds.stream(seed, "links", round).random(int(flaky.draw.max()) + 1)
    failed: npt.NDArray[np.int64] = flaky.links[uniform[flaky.draw] >= flaky.probability]
    return failed


def turned(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with every link the other way round: members are then those whom a device tells."""
    origin = whole(graph)
    if origin not in _turned:
        _turned[origin] = origin.reverse()
    if origin is graph:
        return _turned[origin]
    found = graph.reverse()
    found.graph = {**graph.graph, "whole": _turned[origin]}
    return found


def whole(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with all its links that a graph of one round came from, or the graph itself."""
    return graph.graph.get("whole", graph)


def _find_flaky(graph: nx.DiGraph) -> _Flaky:
    chances = {(i, j): p for i, j, p in graph.edges(data="probability", default=1.0) if p < 1}
    found = sorted(chances)
    draws: dict[tuple[int, int, bool], int] = {}
    draw = []
    for i, j in found:
        shared = chances.get((j, i)) == chances[i, j]
        key = (min(i, j), max(i, j), True) if shared else (i, j, False)
        draw.append(draws.setdefault(key, len(draws)))
    return _Flaky(
        links=np.array(found, np.int64).reshape(len(found), 2),
        probability=np.array([chances[link] for link in found], dtype=np.float64),
        draw=np.array(draw, dtype=np.int64),
    )
