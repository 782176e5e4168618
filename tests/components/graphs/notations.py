"""Graphs in notations that networkx writes otherwise from version to version."""

import json

import networkx as nx


def node_link(graph: nx.Graph, links: str = "links") -> str:
    """A graph as JSON of nodes and links; what networkx takes for their name changed in 3.4."""
    ends = [{"source": i, "target": j, **about} for i, j, about in graph.edges(data=True)]
    nodes = [{"id": i, **about} for i, about in graph.nodes(data=True)]
    kind = {"directed": graph.is_directed(), "multigraph": False, "graph": graph.graph}
    return json.dumps({**kind, "nodes": nodes, links: ends})
