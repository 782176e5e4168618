"""The links of a graph as arrays, and what is asked of all of them at once.

A loop over the links of a networkx graph takes microseconds for each; arrays take a few hundredths.
Shapes: N devices, L links.
"""

import itertools
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

Ends = npt.NDArray[np.int64]

_known: WeakKeyDictionary[nx.DiGraph, Ends] = WeakKeyDictionary()


def ends(graph: nx.DiGraph) -> Ends:
    """Source and target of each link, ascending, ``(L, 2)``; made once per graph, read-only."""
    if graph not in _known:
        codes = np.sort(_codes(graph))
        found = np.stack(np.divmod(codes, max(1, len(graph))), axis=1)
        found.flags.writeable = False
        _known[graph] = found
    return _known[graph]


def chances(graph: nx.DiGraph) -> npt.NDArray[np.float64]:
    """The chance that each link of :func:`ends` works in a round, ``(L,)``."""
    return _values(graph, "probability", 1.0)


def weights(graph: nx.DiGraph) -> npt.NDArray[np.float64]:
    """The weight of each link of :func:`ends`, ``W[target, source]``, ``(L,)``; NaN without one."""
    return _values(graph, "weight", np.nan)


def _values(graph: nx.DiGraph, attribute: str, otherwise: float) -> npt.NDArray[np.float64]:
    data = (data for _, links in graph.adjacency() for data in links.values())
    found = np.fromiter((one.get(attribute, otherwise) for one in data), np.float64)
    return found[np.argsort(_codes(graph))]


def _codes(graph: nx.DiGraph) -> Ends:
    """A number for each link from i to j, ``i N + j``, in the order of the graph, ``(L,)``."""
    links = dict(graph.adjacency())
    counts = np.fromiter(map(len, links.values()), np.int64, len(links))
    sources = np.repeat(np.fromiter(links, np.int64, len(links)), counts)
    targets = itertools.chain.from_iterable(links.values())
    return sources * len(links) + np.fromiter(targets, np.int64, len(sources))


def symmetric(graph: nx.DiGraph) -> bool:
    """Whether every link goes both ways."""
    source, target = ends(graph).T
    return bool(np.array_equal(np.sort(target * len(graph) + source), source * len(graph) + target))


def components(graph: nx.DiGraph) -> int:
    """The number of strongly connected components: groups in which each device reaches each."""
    import rustworkx as rx

    return len(rx.strongly_connected_components(_plain(graph)))


def diameter(graph: nx.DiGraph) -> int:
    """The most links from one device to another, where each reaches each."""
    import rustworkx as rx

    # On one thread, as each rank has a core of its own.
    return int(rx.distance_matrix(_plain(graph), parallel_threshold=len(graph) + 1).max())


def _plain(graph: nx.DiGraph) -> Any:
    """The same as a graph of rustworkx."""
    import rustworkx as rx

    plain = rx.PyDiGraph()
    plain.add_nodes_from(range(len(graph)))
    plain.add_edges_from_no_data(list(map(tuple, ends(graph).tolist())))
    return plain


def hops(graph: nx.DiGraph, sources: Iterable[int]) -> npt.NDArray[np.int64]:
    """Links from the nearest source to each device, ``(N,)``; -1 where none leads."""
    found = np.full(len(graph), -1)
    for distance, layer in enumerate(nx.bfs_layers(graph, list(sources))):
        found[layer] = distance
    return found
