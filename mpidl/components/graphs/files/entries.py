"""Numbers, links and devices that a graph file names: checked, counted, and made a graph."""

import re
from collections.abc import Sequence
from pathlib import Path

import networkx as nx

from mpidl.components.graphs.families import LINKS
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault

DEVICES = 100_000
"""Devices that a graph may have."""

MOST = 10**15
"""A whole number of which it is told what is wrong with it."""

Link = tuple[int, int]

Chances = dict[Link, float]
"""Directed links and their probabilities."""


def whole(path: Path, entry: str, where: str, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        Fault: If it is none; ``where`` says in which line of the file.
    """
    if not re.fullmatch(r"[0-9]{1,18}", entry) or not least <= int(entry) <= most:
        raise Fault(
            f"Graph file {path}: {where} has {entry[:40]!r} where a whole number from {least} "
            f"to {most} is needed."
        )
    return int(entry)


def probability(path: Path, entry: str, where: str) -> float:
    """A number from 0 to 1.

    Raises:
        Fault: If it is none; ``where`` says in which line of the file.
    """
    try:
        value = float(entry)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise Fault(
            f"Graph file {path}: {where} has {entry[:40]!r} where a probability from 0 to 1 "
            "is needed."
        )
    return value


class Links:
    """The links of a file, added one by one; of parallel ones one is kept.

    It works where any of them does: its probability is 1 minus the product of 1 - p.

    Attributes:
        chances: The directed links and their probabilities.
        parallel: How many links were there already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._weights: dict[Link, object] = {}
        self.chances: Chances = {}
        self.parallel = 0
        self._first = ""

    def add(
        self, link: Link, chance: float, where: str, both: bool = False, weight: object = None
    ) -> None:
        """Add a link, or one in each direction.

        Args:
            link: Source and target.
            chance: That it works.
            where: What of the file says so.
            both: Whether it is one in each direction.
            weight: That the file gives it, if it does.

        Raises:
            Fault: If it leads nowhere or never works, or if a parallel one has another weight.
        """
        i, j = link
        if i == j:
            raise Fault(
                f"Graph file {self._path}: {where} links device {i} to itself; leave that out, as "
                "a device hears itself anyway."
            )
        if chance == 0:
            raise Fault(f"Graph file {self._path}: {where} has probability 0; leave the link out.")
        again = False
        for one in (link, (j, i)) if both else (link,):
            if one in self.chances:
                again = True
                self._merge(one, chance, where, weight)
                continue
            self.chances[one] = chance
            if weight is not None:
                self._weights[one] = weight
        if again:
            self.parallel += 1
            self._first = self._first or where

    def _merge(self, link: Link, chance: float, where: str, weight: object) -> None:
        before = self._weights.get(link)
        if before != weight:
            one, other = ("none" if one is None else one for one in (before, weight))
            raise Fault(
                f"Graph file {self._path}: {where} is parallel to another link, and their weights "
                f"differ: {one} and {other}; only where they are equal do parallel links become "
                "one, so leave out all but one."
            )
        self.chances[link] = 1 - (1 - self.chances[link]) * (1 - chance)

    def notes(self) -> list[str]:
        """Notes about the links for a reader of the graph, a line each."""
        lines = []
        if self.parallel:
            links = "a link is" if self.parallel == 1 else f"{self.parallel} links are"
            first = "" if self.parallel == 1 else "first "
            lines.append(
                f"{links} parallel to another ({first}{self._first}): parallel links count as one "
                "that works where any of them does, with probability 1 - product of (1 - p)"
            )
        if len(set(self._weights.values())) > 1:
            lines.append("the weights of its links are not read; strategy.name says how they count")
        return lines


def affordable(path: Path, links: int) -> None:
    """See whether so many links are allowed.

    Raises:
        Fault: If they are too many.
    """
    if links > LINKS:
        raise Fault(f"Graph file {path}: has more links than the {LINKS:,} that are allowed.")


def populated(path: Path, devices: int) -> None:
    """See whether there are devices, and not too many.

    Raises:
        Fault: If there are none, or too many.
    """
    if devices > DEVICES:
        raise Fault(f"Graph file {path}: has {devices:,} devices; at most {DEVICES:,} may be.")
    if not devices:
        raise Fault(f"Graph file {path}: holds no graph.")


def topology(devices: int, links: Chances, notes: Sequence[str] = ()) -> Topology:
    """These links on devices 0..N-1, and what to know of them."""
    found = nx.empty_graph(devices, create_using=nx.DiGraph)
    found.add_edges_from((i, j, {"probability": chance}) for (i, j), chance in links.items())
    return Topology(found, notes=tuple(notes))
