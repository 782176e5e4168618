"""A small graph drawn with letters."""

import networkx as nx

LARGEST = 40
"""Devices that fit on a line; a larger graph has no picture."""


def picture(graph: nx.DiGraph) -> str:
    r"""The adjacency matrix drawn in ASCII, or an empty string for more than 40 devices.

    Row i shows whom device i hears: ``#`` a link that always works, ``+`` one that may fail,
    ``\`` the device itself.
    """
    if len(graph) > LARGEST:
        return ""
    width = len(str(len(graph) - 1))
    header = " " * width + "  " + " ".join(str(j % 10) for j in graph)
    return "\n".join([header, *(f"{i:{width}d}  {_row(graph, i)}" for i in graph)])


def _row(graph: nx.DiGraph, device: int) -> str:
    return " ".join(_letter(graph, device, other) for other in graph)


def _letter(graph: nx.DiGraph, device: int, other: int) -> str:
    if device == other:
        return "\\"
    if not graph.has_edge(other, device):
        return "."
    return "#" if graph.edges[other, device].get("probability", 1.0) == 1 else "+"
