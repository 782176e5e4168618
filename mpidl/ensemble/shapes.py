"""Shapes of runs on a site: the nodes and places that a run takes, and the place of each rank."""

from collections.abc import Sequence
from dataclasses import dataclass

from mpidl.ensemble.sites import Site, place_cpus
from mpidl.ranks import accelerators


@dataclass(frozen=True)
class Place:
    """Some cores of a node, and the accelerator that belongs to them, if any."""

    cpus: str
    accelerator: str | None


@dataclass(frozen=True)
class Shape:
    """Nodes and places that runs of one number of ranks take on a site.

    Attributes:
        ranks: Ranks of each run.
        nodes: Nodes of each run.
        per_node: Ranks on each of its nodes; the last one may have fewer.
        places: Places that a run takes on each of its nodes.
        slots: Runs on a node at a time.
    """

    ranks: int
    nodes: int
    per_node: int
    places: int
    slots: int

    @property
    def exclusive(self) -> bool:
        """Whether a run shares its nodes with no other."""
        return self.slots == 1

    def at_once(self, nodes: int) -> int:
        """Number of runs at a time on a number of nodes."""
        return nodes * self.slots if self.nodes == 1 else nodes // self.nodes


@dataclass(frozen=True)
class Binding:
    """The place of one rank of a run: its node, its number on this node, and its place."""

    rank: int
    node: int
    local: int
    place: Place


def places(site: Site) -> list[Place]:
    """The places of a node, in order."""
    cpus = place_cpus(site)
    named: Sequence[str | None] = site.node.accelerators or [None] * len(cpus)
    return [Place(*pair) for pair in zip(cpus, named, strict=True)]


def shape(site: Site, ranks: int) -> Shape:
    """The shape of runs of a number of ranks: as dense on the nodes as the site's places allow."""
    available, needed = len(places(site)), -(-ranks // site.node.ranks_per_place)
    if needed <= available:
        slots = available // needed
        return Shape(ranks, 1, ranks, needed, min(slots, site.node.runs or slots))
    nodes = -(-needed // available)
    return Shape(ranks, nodes, -(-ranks // nodes), available, 1)


def slot(site: Site, shape: Shape, number: int) -> list[Place]:
    """The places of one slot of a node."""
    first = number * shape.places
    return places(site)[first : first + shape.places]


def bindings(site: Site, shape: Shape, number: int = 0) -> list[Binding]:
    """The binding of each rank of a run in a slot."""
    mine, result = slot(site, shape, number), []
    for rank in range(shape.ranks):
        node, local = divmod(rank, shape.per_node)
        ranks_there = min(shape.per_node, shape.ranks - node * shape.per_node)
        place = mine[accelerators.index(local, ranks_there, len(mine))]
        result.append(Binding(rank, node, local, place))
    return result
