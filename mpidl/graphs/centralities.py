"""How central a device is, by several published measures, computed once per graph."""

import math
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.faults import Fault
from mpidl.graphs.neighborhood import measured
from mpidl.registry import nearest

Vector = npt.NDArray[np.float64]

DENSE = 1000
"""Up to so many devices the eigenvector centrality comes from the dense adjacency matrix."""


def degree(graph: nx.Graph) -> Vector:
    """Links of a device over N-1; in a directed graph incoming and outgoing links add up."""
    return _vector(nx.degree_centrality(graph))


def betweenness(graph: nx.Graph) -> Vector:
    """Share of shortest paths through a device, its own included (endpoints count).

    Exact for any number of devices, no sample of sources. Rounded to twelve digits.
    """
    import rustworkx as rx

    return _of_paths(rx.betweenness_centrality, graph, normalized=True, endpoints=True)


def closeness(graph: nx.Graph) -> Vector:
    """Inverse mean distance to a device, scaled by the share of devices that reach it.

    Exact, and rounded to twelve digits.
    """
    import rustworkx as rx

    return _of_paths(rx.closeness_centrality, graph)


def eigenvector(graph: nx.Graph) -> Vector:
    """Perron vector of the adjacency matrix, of unit length: a device counts as those it hears.

    Where several components share the largest eigenvalue, the vector of all ones is projected
    on their eigenvectors, so that equal components count equally. Rounded to twelve digits,
    so that rounding does not tell equal devices apart.
    """
    nodes = range(len(graph))
    if graph.number_of_edges() == 0:
        return np.full(len(graph), 1.0 / math.sqrt(len(graph)))
    if len(graph) > DENSE:
        vector = _sparse_perron(
            nx.to_scipy_sparse_array(graph, nodes, dtype=float), graph.is_directed()
        )
    elif graph.is_directed():
        vector = _directed_perron(nx.to_numpy_array(graph, nodes))
    else:
        values, vectors = np.linalg.eigh(nx.to_numpy_array(graph, nodes))
        top = vectors[:, values > values[-1] - 1e-9]
        vector = top @ top.sum(axis=0)
    vector = np.abs(vector)
    return np.round(vector / float(np.linalg.norm(vector)), 12)


CENTRALITIES: dict[str, Callable[[nx.Graph], Vector]] = {
    function.__name__: function for function in (degree, betweenness, closeness, eigenvector)
}
"""The measures by name, as networkx defines them; undirected where all links go both ways."""

_known: WeakKeyDictionary[nx.DiGraph, dict[str, Vector]] = WeakKeyDictionary()
_undirected: WeakKeyDictionary[nx.DiGraph, nx.Graph] = WeakKeyDictionary()


def centrality(graph: nx.DiGraph, name: str) -> Vector:
    """Centrality of each device, ``(N,)``, by the measure of that name; read-only.

    It is computed once per graph; a graph of one round has the centralities of the whole graph,
    whichever links work, or where the topology changes, those of the last refresh. Link
    probabilities are ignored.

    Raises:
        Fault: If there is no measure of that name.
    """
    if name not in CENTRALITIES:
        raise Fault(f"Unknown centrality {name!r}; {nearest(name, CENTRALITIES)}")
    graph = measured(graph)
    known = _known.setdefault(graph, {})
    if name not in known:
        known[name] = CENTRALITIES[name](_simplest(graph))
        known[name].flags.writeable = False
    return known[name]


def ranking(graph: nx.DiGraph, name: str) -> list[int]:
    """Devices by descending centrality; equal ones (to ten digits) by ascending number."""
    values = centrality(graph, name)
    rounded = np.round(values / max(values.max(), np.finfo(float).tiny), 10)
    order: list[int] = np.argsort(-rounded, kind="stable").tolist()
    return order


def symmetric(graph: nx.DiGraph) -> bool:
    """Whether every link goes both ways."""
    return all(graph.has_edge(j, i) for i, j in graph.edges)


def _simplest(graph: nx.DiGraph) -> nx.Graph:
    """The graph without attributes, undirected where every link goes both ways."""
    if graph not in _undirected:
        kind = nx.Graph if symmetric(graph) else nx.DiGraph
        plain = nx.empty_graph(len(graph), create_using=kind)
        plain.add_edges_from(graph.edges)
        _undirected[graph] = plain
    return _undirected[graph]


def _of_paths(measure: Callable[..., Any], graph: nx.Graph, **options: bool) -> Vector:
    """A measure of rustworkx, which is 10 times as fast as networkx.

    It runs on one thread: with several its last bits would differ from rank to rank. Rounding
    keeps them from telling equal devices apart, or one version of the library from another.
    """
    import rustworkx as rx

    devices = len(graph)
    plain = (rx.PyDiGraph if graph.is_directed() else rx.PyGraph)()
    plain.add_nodes_from(range(devices))
    plain.add_edges_from_no_data(list(graph.edges))
    return np.round(_vector(measure(plain, parallel_threshold=devices + 1, **options)), 12)


def _directed_perron(adjacency: Vector) -> Vector:
    values, vectors = np.linalg.eig(adjacency.T)
    vector: Vector = vectors[:, np.argmax(values.real)].real
    return vector


def _sparse_perron(adjacency: Any, directed: bool) -> Vector:
    from scipy.sparse import linalg

    # A fixed start keeps the result the same on every rank.
    start = np.ones(adjacency.shape[0])
    try:
        if directed:
            _, vectors = linalg.eigs(adjacency.T, k=1, which="LR", v0=start)
        else:
            _, vectors = linalg.eigsh(adjacency, k=1, which="LA", v0=start)
    except linalg.ArpackNoConvergence:
        raise Fault(
            f"The eigenvector centrality of this graph of {len(start)} devices does not converge: "
            "take degree, betweenness or closeness."
        ) from None
    vector: Vector = vectors[:, 0].real
    return vector


def _vector(values: Mapping[int, float]) -> Vector:
    return np.array([values[device] for device in range(len(values))], dtype=np.float64)
