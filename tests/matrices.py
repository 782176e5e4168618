"""The mixing matrix of a graph, stacked from the rows of its devices, and its spectral gap."""

from mpidl.components import graphs, strategies
from mpidl.components.graphs import RoundGraph


def mixing_matrix(graph, strategy, schedule, round=0, seed=0, look=None, samples=None):
    """W, ``(N, N)``; ``graph`` is that of the round, of a complete strategy the completed one."""
    links = graph if isinstance(graph, RoundGraph) else RoundGraph(graph, graph, graph)
    views = [links.around(device, round, seed, samples) for device in range(len(links.graph))]
    return strategies.stacked(
        {v.device: (v.members, strategies.row(strategy, schedule, v, look)) for v in views}
    )


def spectral_gap(matrix):
    return graphs.gap(graphs.moduli(matrix))
