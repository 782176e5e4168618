"""Topology of a run: all its links, their rounds, and the facts of its graph file."""

from dataclasses import dataclass, replace
from itertools import islice, permutations
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs import arrays
from mpidl.components.graphs.neighborhood import RoundGraph
from mpidl.components.graphs.sequences import Sequence
from mpidl.config import seeds

Ends = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Topology:
    """A directed graph on the devices 0..N-1, which may change from round to round.

    Attributes:
        graph: All links: an edge ``j -> i`` means that the parameters of device j arrive at i. Edge
            attribute ``probability`` is the chance that a link works in a round, by default 1;
            ``weight`` of ``j -> i`` is ``W[i, j]``, if links have weights.
        sequence: The links of each round, with their weights if they have weights; None if the
            graph does not change. If it changes, ``graph`` has the links of all rounds of the run.
        typical: If the graph changes, all links of a period, or of the first rounds if it never
            repeats, whatever the rounds of the run; else None.
        published: The devices that held the published OOD data, in the order of the file.
        names: Names of devices, ``(N,)``; empty if they have numbers only.
        notes: Notes about how a file was read, a line each.
        unlinked: A possible reason why devices have no link, for files that leave this open.
        amiss: The reasons why the weights that it came with make no W whose rows sum to 1, and none
            whose columns do; empty where there are none. With both, weights are left out.
    """

    graph: nx.DiGraph
    sequence: Sequence | None = None
    typical: nx.DiGraph | None = None
    published: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unlinked: str = ""
    amiss: tuple[str, str] = ("", "")

    def __len__(self) -> int:
        """N."""
        return len(self.graph)

    @property
    def measured(self) -> nx.DiGraph:
        """The graph by whose centralities devices are ranked before the run starts."""
        return self.graph if self.typical is None else self.typical

    @property
    def weighted(self) -> bool:
        """Whether links have weights: all, or there are no links."""
        if self.sequence is not None:
            return self.sequence.weighted
        return all("weight" in link for *_, link in islice(self.graph.edges(data=True), 1))

    @property
    def reliable(self) -> bool:
        """Whether every link works in every round."""
        return self.sequence is None and not len(_fragile(self.graph).links)

    def completed(self) -> "Topology":
        """The complete graph on the same devices, whose links always work."""
        full = nx.DiGraph()
        full.add_nodes_from((device, self.graph.nodes[device]) for device in range(len(self)))
        full.add_edges_from(permutations(range(len(self)), 2), probability=1.0)
        return replace(self, graph=full, sequence=None, typical=None)

    def at(self, round: int, seed: int) -> RoundGraph:
        """The graph of a round: its links, without those that fail.

        Each link works with its ``probability``, drawn again in each round. If two devices are
        linked in both directions with the same probability, both directions work or neither does.
        Nodes and attributes are kept.

        Args:
            round: The round; rounds count from 0.
            seed: The seed by which links fail.
        """
        present = self.graph if self.sequence is None else self.sequence.at(round)
        count = present if self.sequence is None else self.sequence.measured(round)
        if self.reliable:
            return RoundGraph(present, present, count)
        failed = set(map(tuple, _failing(present, seed, round).tolist()))
        working = nx.DiGraph()
        working.add_nodes_from(self.graph.nodes(data=True))
        working.add_edges_from(edge for edge in present.edges(data=True) if edge[:2] not in failed)
        return RoundGraph(working, present, count)

    def failures(self, round: int, seed: int) -> Ends:
        """The links that do not work in a round, in ascending order, ``(F, 2)``.

        They fail, or the round does not have them; see :meth:`at`.
        """
        if self.sequence is None:
            return _failing(self.graph, seed, round)
        present = self.sequence.at(round)
        failed = set(map(tuple, _failing(present, seed, round).tolist()))
        works = {link for link in present.edges if link not in failed}
        found = sorted(link for link in self.graph.edges if link not in works)
        return np.array(found, np.int64).reshape(len(found), 2)


@dataclass(frozen=True)
class _Flaky:
    """The F directed links that may fail, in ascending order, and the draw that decides each."""

    links: Ends
    probability: npt.NDArray[np.float64]
    draw: Ends


_flaky: WeakKeyDictionary[nx.DiGraph, _Flaky] = WeakKeyDictionary()


def _fragile(graph: nx.DiGraph) -> _Flaky:
    if graph not in _flaky:
        _flaky[graph] = _find_flaky(graph)
    return _flaky[graph]


def _failing(graph: nx.DiGraph, seed: int, round: int) -> Ends:
    """The links of a round's graph that fail, in ascending order, ``(F, 2)``."""
    flaky = _fragile(graph)
    if not len(flaky.links):
        return flaky.links
    uniform = seeds.stream(seed, "links", round).random(int(flaky.draw.max()) + 1)
    failed: Ends = flaky.links[uniform[flaky.draw] >= flaky.probability]
    return failed


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
