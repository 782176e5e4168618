"""Centralities of devices, by several published measures, computed once per graph."""

import math
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.arrays import Ends, ends, symmetric
from mpidl.config.faults import Fault, nearest

Vector = npt.NDArray[np.float64]

DENSE = 1000
"""Up to so many devices the eigenvector centrality comes from the dense adjacency matrix."""


def degree(graph: nx.DiGraph) -> Vector:
    """Links of a device over N-1; in a directed graph incoming and outgoing links add up."""
    if len(graph) == 1:
        return np.ones(1)
    counts = np.bincount(ends(graph).ravel(), minlength=len(graph))
    counts = counts // 2 if symmetric(graph) else counts
    # In this order, as networkx multiplies.
    return counts.astype(np.float64) * (1.0 / (len(graph) - 1.0))


def betweenness(graph: nx.DiGraph) -> Vector:
    """Share of shortest paths through a device, its own included (endpoints count).

    Exact for any number of devices, no sample of sources. Rounded to twelve digits.
    """
    import rustworkx as rx

    return _of_paths(rx.betweenness_centrality, graph, normalized=True, endpoints=True)


def closeness(graph: nx.DiGraph) -> Vector:
    """Inverse mean distance to a device, scaled by the share of devices that reach it.

    Exact, and rounded to twelve digits.
    """
    import rustworkx as rx

    return _of_paths(rx.closeness_centrality, graph)


def eigenvector(graph: nx.DiGraph) -> Vector:
    """Perron vector of the adjacency matrix, of unit length: a device counts as those it hears.

    Where several components share the largest eigenvalue, the vector of all ones is projected
    on their eigenvectors, so that equal components count equally. Rounded to twelve digits,
    so that rounding does not tell equal devices apart.
    """
    links, directed = ends(graph), not symmetric(graph)
    if not len(links):
        return np.full(len(graph), 1.0 / math.sqrt(len(graph)))
    if len(graph) > DENSE:
        vector = _sparse_perron(links, len(graph), directed)
    elif directed:
        vector = _directed_perron(_adjacency(links, len(graph)))
    else:
        values, vectors = np.linalg.eigh(_adjacency(links, len(graph)))
        top = vectors[:, values > values[-1] - 1e-9]
        vector = top @ top.sum(axis=0)
    vector = np.abs(vector)
    return np.round(vector / float(np.linalg.norm(vector)), 12)


CENTRALITIES: dict[str, Callable[[nx.DiGraph], Vector]] = {
    function.__name__: function for function in (degree, betweenness, closeness, eigenvector)
}
"""The measures by name, as networkx defines them; undirected where all links go both ways."""

OVER_PATHS = {betweenness.__name__, closeness.__name__}
"""Those that count shortest paths between all devices."""

_known: WeakKeyDictionary[nx.DiGraph, dict[str, Vector]] = WeakKeyDictionary()


def centrality(graph: nx.DiGraph, name: str) -> Vector:
    """Centrality of each device, ``(N,)``, by the measure of that name; read-only.

    It is computed once per graph, and link probabilities are ignored. In a round devices have those
    of :attr:`.neighborhood.Neighborhood.measured`, whichever links work.

    Raises:
        Fault: If there is no measure of that name.
    """
    if name not in CENTRALITIES:
        raise Fault(f"Unknown centrality {name!r}; {nearest(name, CENTRALITIES)}")
    known = _known.setdefault(graph, {})
    if name not in known:
        known[name] = CENTRALITIES[name](graph)
        known[name].flags.writeable = False
    return known[name]


def ranking(graph: nx.DiGraph, name: str) -> list[int]:
    """Devices by descending centrality; equal ones (to ten digits) by ascending number."""
    values = centrality(graph, name)
    rounded = np.round(values / max(values.max(), np.finfo(float).tiny), 10)
    order: list[int] = np.argsort(-rounded, kind="stable").tolist()
    return order


def _of_paths(measure: Callable[..., Any], graph: nx.DiGraph, **options: bool) -> Vector:
    """A measure of rustworkx, which is 10 times as fast as networkx.

    It runs on one thread: with several its last bits would differ from rank to rank. Rounding
    keeps them from telling equal devices apart, or one version of the library from another.
    """
    import rustworkx as rx

    devices, both = len(graph), symmetric(graph)
    links: nx.Graph = nx.empty_graph(devices, create_using=nx.Graph if both else nx.DiGraph)
    links.add_edges_from(graph.edges)
    plain = (rx.PyGraph if both else rx.PyDiGraph)()
    plain.add_nodes_from(range(devices))
    plain.add_edges_from_no_data(list(links.edges))
    return np.round(_vector(measure(plain, parallel_threshold=devices + 1, **options)), 12)


def _adjacency(links: Ends, devices: int) -> Vector:
    matrix = np.zeros((devices, devices))
    matrix[tuple(links.T)] = 1.0
    return matrix


def _directed_perron(adjacency: Vector) -> Vector:
    values, vectors = np.linalg.eig(adjacency.T)
    vector: Vector = vectors[:, np.argmax(values.real)].real
    return vector


def _sparse_perron(links: Ends, devices: int, directed: bool) -> Vector:
    from scipy.sparse import csr_array, linalg

    adjacency = csr_array((np.ones(len(links)), tuple(links.T)), shape=(devices, devices))
    # A fixed start keeps the result the same on every rank.
    start = np.ones(devices)
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
