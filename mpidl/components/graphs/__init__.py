"""Topologies by name or from a file, what one device sees of them, and what they let expect."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import networkx as nx

from mpidl.components.graphs import changing, finite, matcha  # noqa: F401
from mpidl.components.graphs.arrays import chances, components, diameter, ends, hops, symmetric
from mpidl.components.graphs.centralities import CENTRALITIES, OVER_PATHS, centrality, ranking
from mpidl.components.graphs.communities import bridges, communities, modularity, undirected
from mpidl.components.graphs.drawing import picture
from mpidl.components.graphs.families import LINKS, TOPOLOGIES
from mpidl.components.graphs.files import DEVICES, names, notes, read
from mpidl.components.graphs.identity import digest, digest_of
from mpidl.components.graphs.neighborhood import (
    Neighborhood,
    failures,
    links,
    sequence,
    turned,
    whole,
)
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
from mpidl.config import shipped
from mpidl.config.faults import Fault, shown
from mpidl.config.runfile import TopologySettings

__all__ = [
    "CENTRALITIES",
    "LINKS",
    "OVER_PATHS",
    "TOPOLOGIES",
    "Neighborhood",
    "Sequence",
    "Unknown",
    "bridges",
    "build",
    "centrality",
    "chances",
    "communities",
    "completed",
    "components",
    "diameter",
    "digest",
    "digest_of",
    "effective_neighbors",
    "ends",
    "failures",
    "first_passage",
    "first_passages",
    "gap",
    "hops",
    "links",
    "long_run",
    "modularity",
    "moduli",
    "names",
    "notes",
    "picture",
    "ranking",
    "read",
    "rounded",
    "sequence",
    "stationary",
    "symmetric",
    "tree",
    "turned",
    "undirected",
    "whole",
]

TOLD = ("published", "names", "notes", "unlinked")
"""What a file says of a graph beside its links."""


def build(section: TopologySettings, ranks: int, rounds: int = 1) -> nx.DiGraph:
    """The graph that a run file asks for, on devices 0..N-1 in order.

    An edge ``j -> i`` means that the parameters of device j arrive at device i; undirected links
    become one edge each way. Edge attribute ``probability`` is the chance that the link works in
    a round: the file's where it says less than 1, else ``link_probability``. A stored graph of
    the paper has ``graph.graph["published"]``, the devices that held the published OOD data; of
    one from a file :func:`names` and :func:`notes` say more.

    Of a topology that changes it has all links that are there in some round of the run;
    :func:`sequence` says when, :func:`links` which of them work in a round. Its centralities do not
    depend on the rounds of the run, which may go on for more: they are those of all links of a
    period, or of the first 16 rounds where none repeats.

    Args:
        section: The settings; those of the named family are part of it.
        ranks: N, where neither the settings nor a file say how many devices there are.
        rounds: R, those of the run.

    Raises:
        Fault: If the family has no such graph, the file is bad or of another size than
            ``devices``, or some device cannot reach another and ``allow_disconnected`` is false.
    """
    found = _named(section, ranks) if section.file is None else _stored(section, section.file)
    moving = found if isinstance(found, Sequence) else sequence(found)
    if moving is None:
        graph = _whole(found, section)
    else:
        chance, refresh = section.link_probability, section.refresh
        graph = replace(moving, probability=chance, refresh=refresh).union(rounds)
        graph.graph["measured"] = moving.typical()
    if isinstance(found, nx.Graph):
        graph.graph.update((key, found.graph[key]) for key in TOLD if key in found.graph)
    if not section.allow_disconnected:
        _check_connected(graph, section)
    return graph


def _whole(found: nx.Graph, section: TopologySettings) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from((device, found.nodes[device]) for device in range(len(found)))
    graph.add_weighted_edges_from(_each_way(found, section.link_probability), "probability")
    return graph


def _each_way(found: nx.Graph, otherwise: float) -> Iterator[tuple[int, int, float]]:
    for i, j, chance in found.edges(data="probability", default=1.0):
        chance = chance if chance < 1 else otherwise
        yield i, j, chance
        if not found.is_directed():
            yield j, i, chance


def tree(graph: nx.DiGraph) -> bool:
    """Whether all links go both ways and there is one path between any two devices."""
    return symmetric(graph) and nx.is_tree(graph.to_undirected(as_view=True))


def completed(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with a link from each device to each other, all of which always work."""
    full = nx.DiGraph()
    full.add_nodes_from((device, graph.nodes[device]) for device in range(len(graph)))
    full.add_edges_from(permutations(range(len(graph)), 2), probability=1.0)
    full.graph.update(graph.graph)
    for key in ("whole", "measured", "sequence"):
        full.graph.pop(key, None)
    return full


def _named(section: TopologySettings, ranks: int) -> nx.Graph | Sequence:
    devices = ranks if section.devices is None else section.devices
    if not 1 <= devices <= DEVICES:
        raise Fault(f"topology.devices = {shown(devices)}: must be from 1 to {DEVICES:,}.")
    return TOPOLOGIES.build(section, devices, section.seed)


def _stored(section: TopologySettings, file: str) -> nx.DiGraph:
    graph = read(shipped.find(Path(file)))
    if section.devices not in (None, len(graph)):
        raise Fault(
            f"topology.devices = {shown(section.devices)}: the graph file {file} has "
            f"{len(graph)} devices."
        )
    return graph


def _check_connected(graph: nx.DiGraph, section: TopologySettings) -> None:
    count = components(graph)
    if count == 1:
        return
    if "unlinked" in graph.graph:
        raise Fault(
            f"The graph of {section.file} is not connected, as {graph.graph['unlinked']}; else "
            "link them, or set topology.allow_disconnected = true."
        )
    if section.file is not None:
        source, remedy = f"The graph of {section.file}", "link them"
    else:
        source = f"The {section.name} graph with topology.seed = {section.seed}"
        if sequence(graph) is not None:
            source += ", over the training.rounds of the run,"
        remedy = TOPOLOGIES.properties(section.name).remedy
    raise Fault(
        f"{source} falls apart into {count} components that cannot all reach each other: "
        f"{remedy}, or set topology.allow_disconnected = true."
    )
