"""Identity of a graph: a hash of its content, whatever the name of its file."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.arrays import chances, ends, weights
from mpidl.components.graphs.topology import Topology


def digest(topology: Topology, link_probability: float = 1.0) -> str:
    """SHA-256 of a topology: of its devices, its links, the chance of each, and its weight if any.

    For a topology that changes it is made from :meth:`mpidl.components.graphs.Sequence.distinct`,
    so it does not depend on the rounds of the run.

    Args:
        topology: A topology from :func:`mpidl.components.graphs.build`.
        link_probability: The setting of the run file, which is no part of the graph.
    """
    graph, sequence = topology.graph, topology.sequence
    if sequence is None:
        own = weights(graph) if topology.weighted else ()
        return digest_of(len(graph), ends(graph), chances(graph), link_probability, own)
    found = hashlib.sha256(f"{len(graph)} devices, changing".encode())
    for rows in replace(sequence, probability=1.0).distinct():
        found.update(np.ascontiguousarray(rows, "<f8").data)
    return found.hexdigest()


def digest_of(
    devices: int,
    links: npt.ArrayLike,
    chances: npt.ArrayLike = 1.0,
    link_probability: float = 1.0,
    weights: npt.ArrayLike = (),
) -> str:
    """The digest of a graph that does not change, from its values in a results file.

    Args:
        devices: N.
        links: Source and destination of each link, in ascending order, ``(L, 2)``.
        chances: The chance that each link works in a round, ``(L,)``.
        link_probability: The run file's setting; a link with this chance counts as having chance 1.
        weights: The weight of each link, ``(L,)``; empty if they have none.
    """
    ends: npt.NDArray[Any] = np.asarray(links, "<i8").reshape(-1, 2)
    given = np.broadcast_to(np.asarray(chances, "<f8"), len(ends))
    own = np.where(given == link_probability, 1.0, given).astype("<f8")
    found = hashlib.sha256(f"{devices} devices".encode())
    found.update(np.ascontiguousarray(ends).data)
    found.update(np.ascontiguousarray(own).data)
    if len(carried := np.asarray(weights, "<f8")):
        found.update(b"weights")
        found.update(np.ascontiguousarray(carried).data)
    return found.hexdigest()
