"""MATCHA: the links of a graph in matchings, of which a round has those that it draws."""

from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.components.graphs.exact import leading, square
from mpidl.components.graphs.families import TOPOLOGIES, Positive
from mpidl.components.graphs.files import read
from mpidl.components.graphs.sequences import Array, Ends, Links, Sequence, both
from mpidl.config import parameters, seeds, shipped
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.registry import Builder

LARGEST = 500
"""Devices for which the probabilities are sought: of more they take minutes."""

CLOSE = 1e-4
"""The share of the largest connectivity that may be missing to it."""

STEPS = 400
"""Far more than any graph has taken to be so close."""


@TOPOLOGIES.add(remedy="take another topology.base, or more training.rounds")
def matcha(
    devices: int, seed: int, /, base: str = "barabasi_albert", budget: Positive = 0.5
) -> Sequence:
    """Changes: each round some matchings of a base graph, on average a share ``budget`` of them.

    The base is a family, with its own defaults, or a graph file. Its links are colored, so that
    each color is a matching; a matching is there with a probability of its own, by which the mean
    graph is connected as well as the budget allows. Links come with the weight that makes the
    expected disagreement fall fastest (``strategy.name = "given"``); where several matchings meet
    a device may count itself negatively. Source: Wang et al., 2019, arXiv 1905.09435.

    Raises:
        Fault: If the base is unknown, changes, does not fit as it is by default, has one-way links
            or other devices, or is too large.
    """
    colors = matchings(_base(devices, seed, base))
    laplacians = [_laplacian(devices, color) for color in colors]
    chances = probabilities(laplacians, budget)
    weight = best_weight(laplacians, chances)[0]

    def draw(round: int) -> Links:
        there = seeds.stream(seed, "matcha", round).random(len(colors)) < chances
        ends = [color for color, on in zip(colors, there, strict=True) if on]
        links = both(np.concatenate([np.empty((0, 2), np.int64), *ends]))
        return Links(links, np.full(len(links), weight))

    return Sequence(devices, draw)


def _base(devices: int, seed: int, base: str) -> nx.Graph:
    if devices > LARGEST:
        raise Fault(f"topology.devices = {devices}: matcha takes up to {LARGEST} devices.")
    steady = {name for name, builder in TOPOLOGIES.items() if _stays(builder)}
    changes = Fault(f"topology.base = {shown(base)}: changes itself; take one that does not.")
    if base in steady:
        found = _by_default(devices, seed, base)
    elif base in TOPOLOGIES:
        raise changes
    elif (path := shipped.find(Path(base))).is_file():
        topology = read(path)
        if topology.sequence is not None:
            raise changes
        found = topology.graph
    else:
        raise Fault(
            f"topology.base = {shown(base)}: must be a topology or a graph file; "
            f"{nearest(base, steady)}"
        )
    if len(found) != devices:
        raise Fault(f"topology.base = {shown(base)}: has {len(found)} devices, not {devices}.")
    if any(not found.has_edge(j, i) for i, j in found.edges):
        raise Fault(f"topology.base = {shown(base)}: has links in one direction; take another.")
    graph = nx.empty_graph(devices)
    graph.add_edges_from(found.edges)
    return graph


def _stays(builder: Builder) -> bool:
    return parameters.signature(builder).return_annotation is not Sequence


def _by_default(devices: int, seed: int, base: str) -> nx.Graph:
    try:
        found: nx.Graph = TOPOLOGIES[base](devices, seed)
    except Fault as fault:
        raise Fault(
            f"topology.base = {shown(base)}: has no graph of {devices} devices with its own "
            f"defaults ({str(fault).rstrip('.')}); take another, or the file of a graph."
        ) from None
    return found


def matchings(graph: nx.Graph) -> list[Ends]:
    """The links of an undirected graph by color, ``(E, 2)`` each, of which no two meet.

    They have at most one color more than the largest degree. Source: Misra and Gries, 1992.
    """
    import rustworkx as rx

    links = sorted(tuple(sorted(edge)) for edge in graph.edges)
    plain = rx.PyGraph()
    plain.add_nodes_from(range(len(graph)))
    plain.add_edges_from_no_data(links)
    colors: dict[int, list[tuple[int, ...]]] = {}
    for place, color in sorted(rx.graph_misra_gries_edge_color(plain).items()):
        colors.setdefault(color, []).append(links[place])
    return [np.array(colors[color], np.int64) for color in sorted(colors)]


def _laplacian(devices: int, links: Ends) -> Array:
    laplacian = np.zeros((devices, devices))
    for i, j in links.tolist():
        laplacian[[i, j], [i, j]] += 1
        laplacian[[i, j], [j, i]] -= 1
    return laplacian


def probabilities(laplacians: list[Array], budget: float) -> Array:
    """The chance of each of M matchings, ``(M,)``, on average ``budget``: problem (4) of MATCHA.

    They make the algebraic connectivity of the mean Laplacian largest, up to a share ``CLOSE``; of
    a graph that falls apart, that of the part which is connected worst. It is the least of
    ``v' L v`` over all unit v that sum to 0, linear in the chances: each step adds directions v by
    which the last ones fall short, and solves a linear program over those found (Kelley's cuts,
    taken a quarter of the way from the best so far), whose value no chances exceed. They are the
    same on every machine, bit for bit, as ranks on different ones have to draw the same links.
    """
    from scipy.optimize import linprog

    count = len(laplacians)
    best = tried = np.full(count, budget)
    if count < 2 or budget == 1:
        return best
    apart = _apart(laplacians)
    highest = 2 * np.diag(_sum(laplacians, np.ones(count))).max()
    most, cuts = -1.0, []
    for _ in range(STEPS):
        # What an eigenvalue still lacks is about the root of what a squaring changes.
        directions = leading(apart - _sum(laplacians, tried) / highest, CLOSE**2)[1]
        slopes = np.array(
            [[float((v * (L * v).sum(1)).sum()) for L in laplacians] for v in directions]
        )
        least = (slopes * tried).sum(1).min()
        if least > most:
            best, most = tried, least
        cuts += [[*-slope, 1.0] for slope in slopes]
        found = linprog(
            [*[0.0] * count, -1.0],
            A_ub=[*cuts, [*[1.0] * count, 0.0]],
            b_ub=[*[0.0] * len(cuts), budget * count],
            bounds=[*[(0, 1)] * count, (None, None)],
        )
        # Half of it is left to rounding.
        if -found.fun - most < CLOSE / 2 * most:
            break
        tried = best + (found.x[:-1] - best) / 4
    kept: Array = np.round(best, 6)
    return kept


def best_weight(laplacians: list[Array], chances: Array) -> tuple[float, float]:
    """The weight a of every link by which disagreement falls fastest, and by how much a round.

    With ``W = I - a L``, L the Laplacian of the matchings of a round, ``E ||x - mean||^2`` shrinks
    at least by the spectral norm of ``E[W'W] - J = I - 2 a M + a^2 (M^2 + 2 V) - J``: M the mean of
    L, V the sum of ``p (1 - p) L_j``, as ``L_j^2 = 2 L_j`` for a matching. It is convex in a. In a
    graph that falls apart J is the mean within each part.
    """
    from scipy.optimize import minimize_scalar

    if not laplacians:
        return 0.0, 1.0
    apart, mean = _apart(laplacians), _sum(laplacians, chances)
    bent = square(mean) + 2 * _sum(laplacians, chances * (1 - chances))

    def left(weight: float) -> float:
        return leading(apart - 2 * weight * mean + weight**2 * bent, 0)[0]

    found = minimize_scalar(left, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
    weight = round(float(found.x), 9)
    return weight, left(weight)


def _sum(laplacians: list[Array], factors: Array) -> Array:
    total: Array = sum(
        (factor * one for factor, one in zip(factors.tolist(), laplacians, strict=True)),
        np.zeros_like(laplacians[0]),
    )
    return total


def _apart(laplacians: list[Array]) -> Array:
    """The matrix I - J: it subtracts from values ``(N,)`` their mean over each connected part."""
    from scipy.sparse.csgraph import connected_components

    parts = connected_components(_sum(laplacians, np.ones(len(laplacians))))[1]
    together = parts[:, None] == parts
    apart: Array = np.eye(len(parts)) - together / together.sum(1)
    return apart
