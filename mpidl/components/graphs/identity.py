"""Identity of a graph by content, whatever its file is called: a hash of what it is."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.arrays import chances, ends
from mpidl.components.graphs.topology import Topology


def digest(topology: Topology, link_probability: float = 1.0) -> str:
    """SHA-256 of a topology: its devices, its links and the chance of each.

    Of a topology that changes that of :meth:`mpidl.components.graphs.Sequence.distinct`, so that
    the rounds of the run do not count.

    Args:
        topology: As :func:`mpidl.components.graphs.build` makes it.
        link_probability: What the run file says beside it; no part of the graph.
    """
    graph, sequence = topology.graph, topology.sequence
    if sequence is None:
        return digest_of(len(graph), ends(graph), chances(graph), link_probability)
    found = hashlib.sha256(f"{len(graph)} devices, changing".encode())
    for rows in replace(sequence, probability=1.0).distinct():
        found.update(np.ascontiguousarray(rows, "<f8").data)
    return found.hexdigest()


def digest_of(
    devices: int, links: npt.ArrayLike, chances: npt.ArrayLike = 1.0, link_probability: float = 1.0
) -> str:
    """The same of a graph that does not change, from what a results file holds of it.

    Args:
        devices: N.
        links: Source and destination of each, ascending, ``(L, 2)``.
        chances: That a link works in a round, ``(L,)``.
        link_probability: A chance that counts as none, as the run file and not the graph says it.
    """
    ends: npt.NDArray[Any] = np.asarray(links, "<i8").reshape(-1, 2)
    told = np.broadcast_to(np.asarray(chances, "<f8"), len(ends))
    own = np.where(told == link_probability, 1.0, told).astype("<f8")
    found = hashlib.sha256(f"{devices} devices".encode())
    found.update(np.ascontiguousarray(ends).data)
    found.update(np.ascontiguousarray(own).data)
    return found.hexdigest()
