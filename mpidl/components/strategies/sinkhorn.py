"""Strategy whose mixing matrix is doubly stochastic: all devices count the same in consensus."""

from typing import Any
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from mpidl.components import graphs
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.weights import STRATEGIES, Array
from mpidl.config.faults import Fault

TOLERANCE = 1e-13
"""Most by which a sum of weights may differ from 1."""

TURNS = 100_000
"""Most turns of scaling, before the weights of a graph are refused."""

_known: WeakKeyDictionary[nx.DiGraph, Any] = WeakKeyDictionary()


@STRATEGIES.add(color="#53a159", marker="X", order=60)
def sinkhorn(view: Neighborhood, /) -> Array:
    """Weights by which all devices count the same in the long run: W is doubly stochastic.

    W is the doubly stochastic matrix on the links of the round that is nearest, by relative
    entropy, to W of ``unweighted``. It is also nearest to W of any centrality at any temperature:
    that W has the weights ``exp(c_j / temperature)`` over the sum of the row, and the projection
    scales such factors of columns and rows away. A link without a path back to its device (in
    directed graphs) has weight 0 in every doubly stochastic matrix. Source: Sinkhorn and Knopp,
    Pacific Journal of Mathematics 21, 1967.
    """
    if view.graph not in _known:
        _known[view.graph] = doubly_stochastic(view.graph)
    members = view.members
    weights: Array = _known[view.graph][[view.device] * len(members), members]
    weights /= weights.sum()
    return weights


def doubly_stochastic(graph: nx.DiGraph) -> Any:
    """Scale rows and columns of the closed neighborhoods to sums of 1, ``(N, N)``, sparse.

    Rows and columns are scaled at the same time, so that the matrix of a graph whose links all go
    both ways stays symmetric. Source: Knight, Ruiz and Ucar, SIAM Journal on Matrix Analysis and
    Applications 35, 2014.

    Raises:
        Fault: If it takes too many turns.
    """
    scaled = _pattern(graph)
    own = np.repeat(np.arange(len(graph)), np.diff(scaled.indptr))
    for _ in range(TURNS):
        rows, columns = scaled.sum(axis=1), scaled.sum(axis=0)
        if max(np.abs(rows - 1).max(), np.abs(columns - 1).max()) <= TOLERANCE:
            return scaled
        scaled.data /= np.sqrt(rows[own] * columns[scaled.indices])
    raise Fault(
        f"strategy.name = 'sinkhorn': the weights of this graph of {len(graph)} devices do not "
        "converge; 'metropolis_hastings' is doubly stochastic too where links go both ways."
    )


def _pattern(graph: nx.DiGraph) -> Any:
    """1 for each device itself and for each link on a cycle, ``(N, N)``, sparse.

    Such a pattern has a doubly stochastic matrix that is positive everywhere on it: each cycle,
    with the other devices by themselves, is a permutation.
    """
    from scipy.sparse import csgraph, csr_array

    devices = len(graph)
    heard, hears = graphs.ends(graph).T
    everyone = np.arange(devices)
    ends = np.append(hears, everyone), np.append(heard, everyone)
    whole = csr_array((np.ones(len(ends[0])), ends), shape=(devices, devices))
    _, group = csgraph.connected_components(whole, connection="strong")
    inside = group[ends[0]] == group[ends[1]]
    pattern = csr_array((inside.astype(float), ends), shape=(devices, devices))
    pattern.eliminate_zeros()
    pattern.sort_indices()
    return pattern
