"""The neighborhood of a device: what it sees of a graph, and which links work in a round."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs import arrays
from mpidl.components.graphs.sequences import Sequence
from mpidl.config import seeds


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
    """The graph of one round: of the links that the topology has then, those that do not fail.

    Each works with its ``probability``, drawn anew each round. A pair of devices linked in both
    directions with the same probability is drawn once, so both directions work or neither does.
    Nodes and attributes are kept; :func:`whole` leads back to the graph in which no link fails.
    That is what is returned where the topology stays and every link always works.
    """
    moving = sequence(graph)
    present = graph if moving is None else moving.at(round)
    if moving is None and not len(_fragile(graph).links):
        return graph
    failed = set(map(tuple, _failing(present, seed, round).tolist()))
    working = nx.DiGraph()
    working.graph.update(graph.graph, whole=whole(present))
    if moving is not None:
        working.graph["measured"] = moving.measured(round)
        del working.graph["sequence"]
    working.add_nodes_from(graph.nodes(data=True))
    working.add_edges_from(edge for edge in present.edges(data=True) if edge[:2] not in failed)
    return working


def failures(graph: nx.DiGraph, seed: int, round: int) -> npt.NDArray[np.int64]:
    """The links of a graph that do not work in a round, ascending, ``(F, 2)``.

    Those that fail, and those that the topology does not have then; see :func:`links`.
    """
    moving = sequence(graph)
    if moving is None:
        return _failing(graph, seed, round)
    present = moving.at(round)
    failed = set(map(tuple, _failing(present, seed, round).tolist()))
    works = {link for link in present.edges if link not in failed}
    found = sorted(link for link in graph.edges if link not in works)
    return np.array(found, np.int64).reshape(len(found), 2)


def sequence(graph: nx.DiGraph) -> Sequence | None:
    """What says which links of a topology are there in a round; None where it does not change."""
    found: Sequence | None = graph.graph.get("sequence")
    return found


def _fragile(graph: nx.DiGraph) -> _Flaky:
    if graph not in _flaky:
        _flaky[graph] = _find_flaky(graph)
    return _flaky[graph]


def _failing(graph: nx.DiGraph, seed: int, round: int) -> npt.NDArray[np.int64]:
    """The links of the graph of a round that fail in it, ascending, ``(F, 2)``."""
    flaky = _fragile(graph)
    if not len(flaky.links):
        return flaky.links
    uniform = seeds.stream(seed, "links", round).random(int(flaky.draw.max()) + 1)
    failed: npt.NDArray[np.int64] = flaky.links[uniform[flaky.draw] >= flaky.probability]
    return failed


def turned(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with every link the other way round: members are then those whom a device tells."""
    origin = whole(graph)
    if origin is graph:
        return _facing(graph)
    found = graph.reverse()
    found.graph = {
        **graph.graph,
        "whole": _facing(origin),
        "measured": _facing(measured(graph)),
    }
    return found


def _facing(origin: nx.DiGraph) -> nx.DiGraph:
    if origin not in _turned:
        _turned[origin] = origin.reverse()
    return _turned[origin]


def whole(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with all its links that a graph of one round came from, or the graph itself."""
    return graph.graph.get("whole", graph)


def measured(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph whose centralities the devices of a graph have in its round."""
    return graph.graph.get("measured", whole(graph))


def _find_flaky(graph: nx.DiGraph) -> _Flaky:
    chance = arrays.chances(graph)
    some = np.flatnonzero(chance < 1)
    links, chance = arrays.ends(graph)[some], chance[some]
    found = list(map(tuple, links.tolist()))
    chances = dict(zip(found, chance.tolist(), strict=True))
    draws: dict[tuple[int, int, bool], int] = {}
    draw = []
    for i, j in found:
        shared = chances.get((j, i)) == chances[i, j]
        key = (min(i, j), max(i, j), True) if shared else (i, j, False)
        draw.append(draws.setdefault(key, len(draws)))
    return _Flaky(links, chance, np.array(draw, dtype=np.int64))
