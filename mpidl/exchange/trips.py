"""Trips of vectors: which travel from where to where."""

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs

Places = npt.NDArray[np.int64]
Trips = npt.NDArray[np.int64]


def trips(graph: nx.DiGraph, place: Places) -> Trips:
    """A device and another place that reads its vector, ascending, ``(V, 2)``.

    Each vector travels once to a place, however many devices there want it.

    Args:
        graph: An edge j -> i wherever i reads the vector of j.
        place: Of each device: its rank, or the node of that, ``(N,)``.
    """
    source, target = graphs.ends(graph).T
    count, away = int(place.max()) + 1, place[source] != place[target]
    codes = np.unique(source[away] * count + place[target[away]])
    return np.stack(np.divmod(codes, count), axis=1)


def few(graph: nx.DiGraph, place: Places) -> nx.DiGraph:
    """Of all links a few over which vectors travel: to each place one from each of two others.

    Args:
        graph: An edge j -> i wherever i reads the vector of j.
        place: Of each device: its rank, or the node of that, ``(N,)``.
    """
    ends = graphs.ends(graph)
    here, there = place[ends[:, 1]], place[ends[:, 0]]
    ends, here, there = (array[here != there] for array in (ends, here, there))
    # By distance, as the numbers of places go round: the next one and the farthest.
    far = (there - here) % (int(place.max()) + 1)
    order = np.lexsort((far, here))
    first = np.diff(here[order], prepend=-1) != 0
    last = np.diff(here[order], append=-1) != 0
    found = nx.DiGraph()
    found.add_nodes_from(graph)
    found.add_edges_from(ends[order[first | last]].tolist())
    return found


def ranks_served(
    graph: nx.DiGraph, hosts: Places, rank: int
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What this rank receives and sends: by other rank, the devices whose vectors travel.

    Each vector travels once to a rank, however many devices there want it. Both ends list the
    devices in ascending order, so no names need to travel.
    """
    device, reader = trips(graph, hosts).T
    comes, goes = reader == rank, hosts[device] == rank
    return _grouped(hosts[device[comes]], device[comes]), _grouped(reader[goes], device[goes])


def _grouped(place: Places, devices: Places) -> dict[int, list[int]]:
    """Devices by place; both in their order, places ascending."""
    found: dict[int, list[int]] = {other: [] for other in np.unique(place).tolist()}
    for other, device in zip(place.tolist(), devices.tolist(), strict=True):
        found[other].append(device)
    return found


def wants(graph: nx.DiGraph, place: Places, count: int) -> dict[int, set[int]]:
    """For each of so many nodes the devices of others whose vectors it reads.

    Args:
        graph: An edge j -> i wherever i reads the vector of j.
        place: Device to node, ``(N,)``.
        count: How many nodes there are.
    """
    wanted: dict[int, set[int]] = {number: set() for number in range(count)}
    for device, node in trips(graph, place).tolist():
        wanted[node].add(device)
    return wanted
