"""Topologies by name or from a file, neighborhoods of devices, and predictions from the graph."""

from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.components.graphs import changing, finite, matcha  # noqa: F401
from mpidl.components.graphs.arrays import (
    chances,
    components,
    diameter,
    ends,
    hops,
    symmetric,
    weights,
)
from mpidl.components.graphs.centralities import CENTRALITIES, OVER_PATHS, centrality, ranking
from mpidl.components.graphs.communities import bridges, communities, modularity, undirected
from mpidl.components.graphs.conversion import (
    directed,
    drawn,
    from_matrix,
    from_networkx,
)
from mpidl.components.graphs.drawing import picture
from mpidl.components.graphs.families import TOPOLOGIES
from mpidl.components.graphs.files import DEVICES, read
from mpidl.components.graphs.identity import digest, digest_of
from mpidl.components.graphs.limits import LINKS
from mpidl.components.graphs.neighborhood import Neighborhood, RoundGraph
from mpidl.components.graphs.passage import first_passage, first_passages, rounded
from mpidl.components.graphs.sequences import Sequence
from mpidl.components.graphs.spectra import (
    Unknown,
    effective_neighbors,
    gap,
    long_run,
    moduli,
    stationary,
)
from mpidl.components.graphs.topology import Topology
from mpidl.config import shipped
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import TopologySettings

__all__ = [
    "CENTRALITIES",
    "LINKS",
    "OVER_PATHS",
    "TOPOLOGIES",
    "Neighborhood",
    "RoundGraph",
    "Sequence",
    "Topology",
    "Unknown",
    "bridges",
    "build",
    "centrality",
    "chances",
    "communities",
    "components",
    "diameter",
    "digest",
    "digest_of",
    "effective_neighbors",
    "ends",
    "first_passage",
    "first_passages",
    "from_matrix",
    "from_networkx",
    "gap",
    "given",
    "hops",
    "long_run",
    "modularity",
    "moduli",
    "picture",
    "ranking",
    "read",
    "rounded",
    "stationary",
    "symmetric",
    "tree",
    "undirected",
    "weights",
]


def build(section: TopologySettings, ranks: int, rounds: int = 1) -> Topology:
    """Build the topology of a run file, on devices 0..N-1 in order.

    An undirected link becomes an edge in each direction. The chance that a link works in a round is
    the graph file's if that is less than 1, else ``link_probability``. Centralities of a topology
    that changes are those of :attr:`Topology.typical`, so they do not depend on the number of
    rounds, which may grow when a run is resumed.

    Args:
        section: The settings, with those of the named family.
        ranks: N, if neither the settings nor a file have the number of devices.
        rounds: R, the rounds of the run.

    Raises:
        Fault: If the family has no such graph, the file is bad or of another size than
            ``devices``, or some device cannot reach another and ``allow_disconnected`` is false.
    """
    stored = None if section.file is None else _stored(section, section.file)
    found = _named(section, ranks) if stored is None else stored.sequence or stored.graph
    chance, made = section.link_probability, stored
    if isinstance(found, Sequence):
        sequence = replace(found, probability=chance, refresh=section.refresh)
        union, typical = sequence.union(rounds), found.typical()
        made = replace(made or Topology(union), graph=union, sequence=sequence, typical=typical)
    elif made is not None:
        made = replace(made, graph=directed(found, chance))
    else:
        made = from_networkx(found, chance, f"topology.name = {section.name!r}")
    if not section.allow_disconnected:
        _check_connected(made, section)
    return made


def given(graph: object, section: TopologySettings) -> Topology:
    """The topology of a graph of networkx, or of a matrix W, that a program gives.

    Args:
        graph: The graph or the matrix; see :func:`from_networkx` and :func:`from_matrix`.
        section: The settings beside it.

    Raises:
        Fault: If it is none, has another size than ``devices``, or some device cannot reach another
            and ``allow_disconnected`` is false.
    """
    if isinstance(graph, nx.Graph):
        made = from_networkx(graph, section.link_probability)
    else:
        made = from_matrix(np.asarray(graph))
    if section.devices not in (None, len(made)):
        raise Fault(
            f"topology.devices = {shown(section.devices)}: the graph that is given has {len(made)} "
            "devices."
        )
    if not section.allow_disconnected:
        _check_connected(made, section)
    return made


def tree(graph: nx.DiGraph) -> bool:
    """Whether all links go both ways and there is one path between any two devices."""
    return symmetric(graph) and nx.is_tree(graph.to_undirected(as_view=True))


def _named(section: TopologySettings, ranks: int) -> nx.Graph | Sequence:
    devices = ranks if section.devices is None else section.devices
    if not 1 <= devices <= DEVICES:
        raise Fault(f"topology.devices = {shown(devices)}: must be from 1 to {DEVICES:,}.")
    found = TOPOLOGIES.build(section, devices, section.seed)
    return drawn(f"topology.name = {section.name!r}", found, devices)


def _stored(section: TopologySettings, file: str) -> Topology:
    found = read(shipped.find(Path(file)))
    if section.devices not in (None, len(found)):
        raise Fault(
            f"topology.devices = {shown(section.devices)}: the graph file {file} has "
            f"{len(found)} devices."
        )
    return found


def _check_connected(made: Topology, section: TopologySettings) -> None:
    count = components(made.graph)
    if count == 1:
        return
    if made.unlinked:
        raise Fault(
            f"The graph of {section.file} is not connected, as {made.unlinked}; else "
            "link them, or set topology.allow_disconnected = true."
        )
    if section.file is not None:
        source, remedy = f"The graph of {section.file}", "link them"
    elif section.name not in TOPOLOGIES:
        source, remedy = "The graph that is given", "link them"
    else:
        source = f"The {section.name} graph with topology.seed = {section.seed}"
        if made.sequence is not None:
            source += ", over the training.rounds of the run,"
        remedy = TOPOLOGIES.properties(section.name).remedy
    raise Fault(
        f"{source} falls apart into {count} components that cannot all reach each other: "
        f"{remedy}, or set topology.allow_disconnected = true."
    )
