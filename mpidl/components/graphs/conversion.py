"""Topologies from graphs of networkx and from mixing matrices."""

from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.files import named
from mpidl.components.graphs.files.entries import DEVICES
from mpidl.components.graphs.limits import LINKS
from mpidl.components.graphs.link_weights import Carried
from mpidl.components.graphs.sequences import Sequence
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

Attributes = dict[str, Any]


def from_networkx(
    graph: nx.Graph, link_probability: float = 1.0, subject: str = "topology"
) -> Topology:
    """The topology of a graph of networkx, each link of an undirected one in both directions.

    Nodes 0..N-1 are devices by their numbers; other nodes become devices in their order, and the
    topology has their names. Attribute ``probability`` of a link is the chance that it works,
    ``weight`` is ``W[i, j]`` of the link from j to i, and that of an edge from a node to itself is
    ``W[i, i]``. Weights that make no stochastic W, by rows or by columns, are left out, and
    :attr:`Topology.amiss` says why.

    Args:
        graph: A ``Graph`` or ``DiGraph``.
        link_probability: The chance of links that have none of their own below 1.
        subject: What the graph is called in a message.

    Raises:
        Fault: If it is none, has no node or too many, or has a link that never works or leads from
            a node to itself without a weight.
    """
    if not isinstance(graph, nx.Graph) or graph.is_multigraph():
        kind = type(graph).__name__
        raise Fault(f"{subject}: is a {kind}, must be a Graph or DiGraph of networkx.")
    if not 1 <= len(graph) <= DEVICES or graph.number_of_edges() > LINKS:
        raise Fault(
            f"{subject}: has {len(graph):,} nodes and {graph.number_of_edges():,} links; must have "
            f"1 to {DEVICES:,} nodes and at most {LINKS:,} links."
        )
    names = None
    if set(graph) != set(range(len(graph))):
        names = [str(node) for node in graph]
        graph = nx.convert_node_labels_to_integers(graph)
    own = _check(graph, subject)
    made = directed(graph, link_probability)
    links = {
        (i, j): link_weights.number(weight)
        for i, j, weight in made.edges(data="weight")
        if weight is not None
    }
    for i, j in links:
        del made[i][j]["weight"]
    carried = Carried(_told(links), _told(own))
    found = link_weights.attached(Topology(made), carried)
    return found if names is None else named.called(found, names)


def from_matrix(matrix: npt.ArrayLike, subject: str = "topology") -> Topology:
    """The topology over which a matrix W mixes, with its weights.

    Args:
        matrix: W, ``(N, N)``: ``W[i, j]`` is the weight by which device i counts device j, and
            there is a link from j to i where it is not 0. Rows sum to 1, or columns do.
        subject: What the matrix is called in a message.

    Raises:
        Fault: If it is no such matrix; a sum may be off by :data:`link_weights.TOLERANCE`.
    """
    try:
        found = np.asarray(matrix)
    except (TypeError, ValueError):
        raise Fault(f"{subject}: {shown(matrix)} is no matrix of numbers.") from None
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not 1 <= len(found) <= DEVICES:
        raise Fault(
            f"{subject}: has the shape {found.shape}; a mixing matrix is square, of 1 to "
            f"{DEVICES:,} devices."
        )
    if found.dtype.kind not in "biuf":
        raise Fault(f"{subject}: is a matrix of {found.dtype}, must be one of real numbers.")
    rows, columns = np.nonzero(found)
    if len(rows) > LINKS:
        raise Fault(f"{subject}: has more links than the {LINKS:,} that are allowed.")
    return link_weights.mixing(subject, len(found), (rows, columns, found[rows, columns]))


def drawn(subject: str, found: Any, devices: int) -> nx.Graph | Sequence:
    """What the builder of a topology returned, checked.

    Args:
        subject: The builder, as a message begins.
        found: What it returned.
        devices: N.

    Raises:
        Fault: If it is neither a graph on nodes 0..N-1 nor a sequence of graphs on N devices.
    """
    needed = f"must be a Graph or DiGraph of networkx on nodes 0 to {devices - 1}, or a Sequence"
    if isinstance(found, Sequence):
        if found.devices != devices:
            raise Fault(f"{subject}: gives a Sequence of {shown(found.devices)} devices: {needed}.")
        return found.guarded(subject)
    if not isinstance(found, nx.Graph) or found.is_multigraph():
        what = f"a {type(found).__name__}" if isinstance(found, nx.Graph) else shown(found)
        raise Fault(f"{subject}: gives {what}: {needed}.")
    if len(found) != devices:
        raise Fault(
            f"{subject}: gives a graph of {len(found)} nodes: {needed}; topology.devices = "
            f"{len(found)} asks for that many."
        )
    if others := [node for node in found if node not in range(devices)]:
        raise Fault(
            f"{subject}: gives a node {shown(others[0])}: {needed}; "
            "networkx.convert_node_labels_to_integers makes such nodes."
        )
    return found


def directed(graph: nx.Graph, link_probability: float) -> nx.DiGraph:
    """The links of a graph on nodes 0..N-1 in each of their directions, with what they carry.

    Args:
        graph: A graph with attributes ``probability``, by default 1, and ``weight`` of links.
        link_probability: The chance of links that have none of their own below 1.
    """
    made = nx.DiGraph()
    made.add_nodes_from((device, graph.nodes[device]) for device in range(len(graph)))
    made.add_edges_from(_each_way(graph, link_probability))
    return made


def _each_way(graph: nx.Graph, otherwise: float) -> Iterator[tuple[int, int, Attributes]]:
    both = not graph.is_directed()
    for i, j, given in graph.edges(data=True):
        if i == j:
            continue
        chance = given.get("probability", 1.0)
        kept = {"probability": chance if chance < 1 else otherwise}
        if given.get("weight") is not None:
            kept["weight"] = given["weight"]
        yield i, j, kept
        if both:
            yield j, i, kept


def _check(graph: nx.Graph, subject: str) -> dict[int, float | str | None]:
    """See that links may be links; the weights of edges from a node to itself."""
    own: dict[int, float | str | None] = {}
    for i, j, given in graph.edges(data=True):
        chance = given.get("probability", 1.0)
        if not isinstance(chance, int | float | np.number) or not 0 < chance <= 1:
            raise Fault(
                f"{subject}: the link from {i} to {j} has the probability {shown(chance)}; must be "
                "above 0, at most 1."
            )
        if i == j and given.get("weight") is None:
            raise Fault(
                f"{subject}: links device {i} to itself without a weight; leave that out, as a "
                "device hears itself anyway."
            )
        if i == j:
            own[i] = link_weights.number(given["weight"])
    return own


def _told(weights: dict[Any, float | str | None]) -> dict[Any, float | str]:
    return {key: weight for key, weight in weights.items() if weight is not None}
