"""A small graph drawn with letters."""

import networkx as nx

LARGEST = 40
"""Devices that fit on a line; a larger graph has no picture."""

LEGEND = r"row i: whom device i hears; # always, + not in every round, . never, \ the device itself"


def picture(graph: nx.DiGraph) -> str:
    """The adjacency matrix drawn in ASCII, with a legend; empty for more than 40 devices."""
    if len(graph) > LARGEST:
        return ""
    width = len(str(len(graph) - 1))
    header = " " * width + "  " + " ".join(str(j % 10) for j in graph)
    return "\n".join([header, *(f"{i:{width}d}  {_row(graph, i)}" for i in graph), LEGEND])


def _row(graph: nx.DiGraph, device: int) -> str:
    return " ".join(_letter(graph, device, other) for other in graph)


def _letter(graph: nx.DiGraph, device: int, other: int) -> str:
    if device == other:
        return "\\"
    if not graph.has_edge(other, device):
        return "."
    fails = graph.edges[other, device].get("probability", 1.0) < 1
    return "+" if fails or "sequence" in graph.graph else "#"
