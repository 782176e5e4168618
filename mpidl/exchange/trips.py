"""Trips of vectors between ranks or nodes."""

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs

Places = npt.NDArray[np.int64]
Trips = npt.NDArray[np.int64]


def trips(graph: nx.DiGraph, place: Places) -> Trips:
    """Pairs of a device and another place that reads its vector, in ascending order, ``(V, 2)``.

    Each vector travels once to a place, however many devices there read it.

    Args:
        graph: An edge j -> i if i reads the vector of j.
        place: The place of each device, its rank or its node, ``(N,)``.
    """
    source, target = graphs.ends(graph).T
    count, away = int(place.max()) + 1, place[source] != place[target]
    codes = np.unique(source[away] * count + place[target[away]])
    return np.stack(np.divmod(codes, count), axis=1)


def few(graph: nx.DiGraph, place: Places) -> nx.DiGraph:
    """A few of the links between places: to each place one from each of two others.

    Args:
        graph: An edge j -> i if i reads the vector of j.
        place: The place of each device, its rank or its node, ``(N,)``.
    """
    ends = graphs.ends(graph)
    here, there = place[ends[:, 1]], place[ends[:, 0]]
    ends, here, there = (array[here != there] for array in (ends, here, there))
    # By distance, as the numbers of places go round: the next one and the farthest.
    far = (there - here) % (int(place.max()) + 1)
    order = np.lexsort((far, here))
    first = np.diff(here[order], prepend=-1) != 0
    last = np.diff(here[order], append=-1) != 0
    chosen = nx.DiGraph()
    chosen.add_nodes_from(graph)
    chosen.add_edges_from(ends[order[first | last]].tolist())
    return chosen


def ranks_served(
    graph: nx.DiGraph, hosts: Places, rank: int
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """The vectors that this rank receives and sends: by other rank, their devices.

    Each vector travels once to a rank, however many devices there read it. Both sides list the
    devices in ascending order, so messages need no tags.
    """
    device, reader = trips(graph, hosts).T
    comes, goes = reader == rank, hosts[device] == rank
    return _grouped(hosts[device[comes]], device[comes]), _grouped(reader[goes], device[goes])


def _grouped(place: Places, devices: Places) -> dict[int, list[int]]:
    """Devices by place, with places in ascending order."""
    by_place: dict[int, list[int]] = {other: [] for other in np.unique(place).tolist()}
    for other, device in zip(place.tolist(), devices.tolist(), strict=True):
        by_place[other].append(device)
    return by_place


def wants(graph: nx.DiGraph, place: Places, count: int) -> dict[int, set[int]]:
    """For each node the devices of other nodes whose vectors it reads.

    Args:
        graph: An edge j -> i if i reads the vector of j.
        place: Device to node, ``(N,)``.
        count: Number of nodes.
    """
    needed: dict[int, set[int]] = {number: set() for number in range(count)}
    for device, node in trips(graph, place).tolist():
        needed[node].add(device)
    return needed
