"""A small graph drawn with letters."""

from mpidl.components.graphs.topology import Topology

LARGEST = 40
"""Devices that fit on a line; a larger graph has no picture."""

LEGEND = r"row i: whom device i hears; # always, + not in every round, . never, \ the device itself"


def picture(topology: Topology) -> str:
    """The adjacency matrix drawn in ASCII, with a legend; empty for more than 40 devices."""
    if len(topology) > LARGEST:
        return ""
    width, devices = len(str(len(topology) - 1)), range(len(topology))
    header = " " * width + "  " + " ".join(str(j % 10) for j in devices)
    return "\n".join([header, *(f"{i:{width}d}  {_row(topology, i)}" for i in devices), LEGEND])


def _row(topology: Topology, device: int) -> str:
    return " ".join(_letter(topology, device, other) for other in range(len(topology)))


def _letter(topology: Topology, device: int, other: int) -> str:
    graph = topology.graph
    if device == other:
        return "\\"
    if not graph.has_edge(other, device):
        return "."
    fails = graph.edges[other, device].get("probability", 1.0) < 1
    return "+" if fails or topology.sequence is not None else "#"
