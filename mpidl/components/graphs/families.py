"""Families of graphs by name; a random one gives the graph that networkx gives for that seed."""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, combinations_with_replacement, product
from typing import Annotated

import networkx as nx
from pydantic import Field

from mpidl.components.graphs.limits import affordable, below, even, within
from mpidl.config.faults import Fault
from mpidl.config.registry import Properties, Registry


class TopologyProperties(Properties):
    """Properties that a family of graphs declares.

    Attributes:
        remedy: What to do where such a graph falls apart, as a part of a sentence.
    """

    remedy: str = "take another topology.seed"


TOPOLOGIES = Registry("topology", TopologyProperties, gives=2)
"""``builder(devices, seed, /, ...)``: a graph on the nodes 0..N-1, without self-loops.

One that changes from round to round is a :class:`mpidl.components.graphs.sequences.Sequence`.
"""

Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Radius = Annotated[float, Field(gt=0, le=1.5, allow_inf_nan=False)]


@TOPOLOGIES.add
def ring(devices: int, seed: int, /) -> nx.Graph:
    """Each device talks to the one before it and the one after it, around a circle."""
    return _graph(devices, ((i, (i + 1) % devices) for i in range(devices)))


@TOPOLOGIES.add
def chain(devices: int, seed: int, /) -> nx.Graph:
    """A ring with one link cut: two ends of degree 1."""
    return _graph(devices, ((i, i + 1) for i in range(devices - 1)))


@TOPOLOGIES.add
def star(devices: int, seed: int, /) -> nx.Graph:
    """Device 0 talks to all others, which talk to device 0 only."""
    return _graph(devices, ((0, i) for i in range(1, devices)))


@TOPOLOGIES.add
def complete(devices: int, seed: int, /) -> nx.Graph:
    """Each device talks to all others."""
    affordable("complete", devices, devices * (devices - 1))
    return nx.complete_graph(devices)


@TOPOLOGIES.add
def hypercube(devices: int, seed: int, /) -> nx.Graph:
    """Devices whose numbers differ in one binary digit are linked; N is a power of two.

    Raises:
        Fault: If the number of devices is not a power of two.
    """
    if devices & (devices - 1):
        lower = 1 << (devices.bit_length() - 1)
        raise Fault(
            f"topology.devices = {devices}: a hypercube needs a power of two, "
            f"such as {lower} or {2 * lower}."
        )
    digits = [1 << digit for digit in range(devices.bit_length() - 1)]
    return _graph(devices, ((i, i ^ digit) for i in range(devices) for digit in digits))


@TOPOLOGIES.add
def torus(devices: int, seed: int, /, rows: Count | None = None) -> nx.Graph:
    """A grid of rows and columns that closes in both directions; as square as N allows.

    Device ``i`` sits in row ``i // columns``. A prime number of devices is a single row: a ring.

    Raises:
        Fault: If ``rows`` does not divide the number of devices.
    """
    if rows is None:
        rows = next(r for r in range(math.isqrt(devices), 0, -1) if devices % r == 0)
    if devices % rows:
        raise Fault(f"topology.rows = {rows}: must divide the number of devices, {devices}.")
    columns = devices // rows
    down = ((i, (i + columns) % devices) for i in range(devices))
    right = ((i, i - i % columns + (i + 1) % columns) for i in range(devices))
    return _graph(devices, (*down, *right))


@TOPOLOGIES.add
def binary_tree(devices: int, seed: int, /) -> nx.Graph:
    """Device 0 is the root, the children of i are 2i+1 and 2i+2; levels fill from the left."""
    return _graph(devices, ((i, (i - 1) // 2) for i in range(1, devices)))


@TOPOLOGIES.add
def exponential(devices: int, seed: int, /) -> nx.DiGraph:
    """Static exponential graph, directed: device i sends to i+1, i+2, i+4, ... around a circle.

    Each device hears ``ceil(log2(N))`` others. Source: Ying et al., 2021, arXiv 2110.13363.
    """
    hops = [1 << k for k in range((devices - 1).bit_length())]
    graph = nx.empty_graph(devices, create_using=nx.DiGraph)
    graph.add_edges_from((i, (i + hop) % devices) for i in range(devices) for hop in hops)
    return graph


@TOPOLOGIES.add(remedy="take a larger topology.probability or another topology.seed")
def erdos_renyi(devices: int, seed: int, /, probability: Positive | None = None) -> nx.Graph:
    """Each pair is linked with one probability, by default ``2 ln(N) / N``; may fall apart.

    Source: Gilbert, 1959; drawn by Batagelj and Brandes, 2005, in time linear in the links.
    """
    if probability is None:
        probability = min(1.0, 2 * math.log(devices) / devices)
    affordable("erdos_renyi", devices, probability * devices * (devices - 1))
    return nx.fast_gnp_random_graph(devices, probability, seed=seed)


@TOPOLOGIES.add
def watts_strogatz(
    devices: int,
    seed: int,
    /,
    k: Annotated[int, Field(ge=2, multiple_of=2)] = 4,
    rewiring: Probability = 0.5,
) -> nx.Graph:
    """Small world: a ring of k nearest neighbors, each link rewired with a probability; connected.

    Source: Watts and Strogatz, 1998; drawn up to 100 times until connected.

    Raises:
        Fault: If ``k`` is not below the number of devices, or no connected graph was drawn.
    """
    below("k", k, devices)
    affordable("watts_strogatz", devices, devices * k)
    try:
        return nx.connected_watts_strogatz_graph(devices, k, rewiring, seed=seed)
    except nx.NetworkXError:
        raise Fault(
            f"No connected watts_strogatz graph in 100 draws with topology.seed = {seed}: "
            f"take a larger topology.k than {k} or another seed."
        ) from None


@TOPOLOGIES.add
def barabasi_albert(devices: int, seed: int, /, m: Count = 2) -> nx.Graph:
    """Preferential attachment: each new device links to m others, the well-linked more often.

    Source: Barabasi and Albert, 1999.

    Raises:
        Fault: If ``m`` is not below the number of devices.
    """
    below("m", m, devices)
    affordable("barabasi_albert", devices, 2 * m * (devices - m))
    return nx.barabasi_albert_graph(devices, m, seed=seed)


@TOPOLOGIES.add(remedy="take a larger topology.between or another topology.seed")
def stochastic_block_model(
    devices: int,
    seed: int,
    /,
    blocks: Count = 3,
    inside: Probability = 0.5,
    between: Probability = 0.05,
) -> nx.Graph:
    """Blocks of equal size, well linked inside, thinly between; may fall apart.

    The graph is that of networkx before 3.7, which draws other ones, as the published testbed had
    it. Devices are numbered in the order in which networkx listed its nodes, so a block is not
    always a range of numbers. Source: Holland et al., 1983.

    Raises:
        Fault: If there are more blocks than devices.
    """
    if blocks > devices:
        raise Fault(
            f"topology.blocks = {blocks}: must be at most the number of devices, {devices}."
        )
    sizes = [devices // blocks + (block < devices % blocks) for block in range(blocks)]
    pairs_inside = sum(size * (size - 1) for size in sizes)
    pairs_between = devices * (devices - 1) - pairs_inside
    affordable("stochastic_block_model", devices, pairs_inside * inside + pairs_between * between)
    affordable("stochastic_block_model", devices, blocks**2)
    ends = [sum(sizes[: block + 1]) for block in range(blocks)]
    # The order in which a set lists numbers is that of networkx, too.
    parts = [[*{*range(end - size, end)}] for size, end in zip(sizes, ends, strict=True)]
    graph, rng = nx.Graph(), random.Random(seed)
    for part in parts:
        graph.add_nodes_from(part)
    for a, b in combinations_with_replacement(range(blocks), 2):
        if a != b:
            graph.add_edges_from(_between(parts[a], parts[b], between, rng))
            continue
        graph.add_edges_from(pair for pair in combinations(parts[a], 2) if rng.random() < inside)
        if 0 < inside < 1:
            rng.random()  # networkx drew one number more, to no effect
    return nx.convert_node_labels_to_integers(graph)


def _between(
    rows: Sequence[int], columns: Sequence[int], probability: float, rng: random.Random
) -> Iterator[tuple[int, int]]:
    """Each pair with a probability, row by row; what is drawn is how many are left out."""
    if probability == 1:
        yield from product(rows, columns)
    elif probability > 0:
        count, rate, at = len(rows) * len(columns), math.log(1 - probability) or -probability, 0
        while True:
            at += math.floor(min(math.log(rng.random()) / rate, count))
            if at >= count:
                return
            yield rows[at // len(columns)], columns[at % len(columns)]
            at += 1


@TOPOLOGIES.add(remedy="take a larger topology.degree or another topology.seed")
def random_regular(devices: int, seed: int, /, degree: Count = 3) -> nx.Graph:
    """Drawn at random from the graphs in which every device has the same degree.

    Source: Steger and Wormald, 1999; a dense one is the complement of a sparse one.

    Raises:
        Fault: If ``degree`` is not below the number of devices, or both are odd.
    """
    below("degree", degree, devices)
    even(degree, devices)
    affordable("random_regular", devices, devices * degree)
    sparse = min(degree, devices - 1 - degree)
    drawn = _graph(devices, nx.random_regular_graph(sparse, devices, seed=seed).edges)
    return drawn if sparse == degree else nx.complement(drawn)


@TOPOLOGIES.add(remedy="take a larger topology.radius or another topology.seed")
def random_geometric(devices: int, seed: int, /, radius: Radius | None = None) -> nx.Graph:
    """Points in the unit square, linked when no farther apart than a radius; may fall apart.

    The radius is by default ``sqrt(2 ln(N) / (pi N))``, above the threshold of connectivity
    (Penrose, 1997). Node attribute ``pos`` holds the coordinates.
    """
    radius = within("random_geometric", devices, radius)
    return nx.random_geometric_graph(devices, radius, seed=seed)


def _graph(devices: int, links: Iterable[tuple[int, int]]) -> nx.Graph:
    """The links on nodes 0..N-1; a circle of one device closes on itself, which is no link."""
    graph = nx.empty_graph(devices)
    graph.add_edges_from((i, j) for i, j in links if i != j)
    return graph
