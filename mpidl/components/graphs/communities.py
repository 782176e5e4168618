"""Narrow places of a graph: the links that hold it together, and the communities between them."""

from collections.abc import Sequence

import networkx as nx


def undirected(graph: nx.Graph) -> nx.Graph:
    """The graph on devices 0..N-1 in which devices are linked if either hears the other."""
    plain = nx.empty_graph(len(graph))
    plain.add_edges_from(graph.edges)
    return plain


def bridges(graph: nx.Graph) -> list[tuple[int, int]]:
    """Links without which the undirected graph falls apart further, ascending."""
    return sorted((min(link), max(link)) for link in nx.bridges(undirected(graph)))


def communities(graph: nx.Graph) -> list[list[int]]:
    """Groups of devices with many links within and few between them, large ones first.

    By greedy merging in the undirected graph, without a draw; a graph without links has each
    device by itself. Source: Clauset, Newman and Moore, Phys. Rev. E 70, 066111, 2004; networkx's.
    """
    if not graph.number_of_edges():
        return [[device] for device in graph]
    found = nx.community.greedy_modularity_communities(undirected(graph))
    return sorted(map(sorted, found), key=lambda group: (-len(group), group))


def modularity(graph: nx.Graph, groups: Sequence[Sequence[int]]) -> float:
    """The modularity of :func:`communities`: near 1 if few links leave them; NaN without links."""
    if not graph.number_of_edges():
        return float("nan")
    return float(nx.community.modularity(undirected(graph), groups))
