"""Numbers, links and devices that a graph file names: checked, counted, and made a graph."""

import re
from collections.abc import Sequence
from pathlib import Path

import networkx as nx

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.limits import LINKS
from mpidl.components.graphs.link_weights import Carried
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault

DEVICES = 100_000
"""Devices that a graph may have."""

MOST = 10**15
"""A whole number of which it is told what is wrong with it."""

Link = tuple[int, int]

Chances = dict[Link, float]
"""Directed links and their probabilities."""

NO_WEIGHTS = Carried()


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


def weight(path: Path, entry: str, where: str) -> float:
    """A finite number.

    Raises:
        Fault: If it is none; ``where`` says in which line of the file.
    """
    value = link_weights.number(entry)
    if not isinstance(value, float):
        raise Fault(
            f"Graph file {path}: {where} has {entry[:40]!r} where a weight, a number, is needed."
        )
    return value


class Links:
    """The links of a file, added one by one; of parallel ones one is kept.

    It works where any of them does: its probability is 1 minus the product of 1 - p.

    Args:
        path: The file.
        hint: What more to tell of a link from a device to itself, as the end of a sentence.

    Attributes:
        chances: The directed links and their probabilities.
        parallel: How many links were there already.
        weights: ``W[i, j]`` by link ``(j, i)``, where the file gives it.
        own: ``W[i, i]`` by device, where the file gives it.
    """

    def __init__(self, path: Path, hint: str = "") -> None:
        self._path, self._hint = path, hint
        self.chances: Chances = {}
        self.parallel = 0
        self.weights: dict[Link, float | str] = {}
        self.own: dict[int, float | str] = {}
        self._first = ""

    def add(
        self, link: Link, chance: float, where: str, both: bool = False, weight: object = None
    ) -> None:
        """Add a link, or one in each direction; the weight of a device itself, if both ends are it.

        Args:
            link: Source and target.
            chance: That it works.
            where: What of the file says so.
            both: Whether it is one in each direction.
            weight: That the file gives it, if it does, as it is written.

        Raises:
            Fault: If it leads from a device to itself without a weight or not always, if it never
                works, or if a parallel one has another weight.
        """
        i, j = link
        counts = link_weights.number(weight)
        if i == j:
            self._take_own(i, chance, where, counts)
            return
        if chance == 0:
            raise Fault(f"Graph file {self._path}: {where} has probability 0; leave the link out.")
        again = False
        for one in (link, (j, i)) if both else (link,):
            if one in self.chances:
                again = True
                self._merge(one, chance, where, counts)
                continue
            self.chances[one] = chance
            if counts is not None:
                self.weights[one] = counts
        if again:
            self.parallel += 1
            self._first = self._first or where

    def _take_own(self, device: int, chance: float, where: str, weight: float | str | None) -> None:
        if weight is None or chance != 1:
            which = "" if weight is None else f" with probability {chance:g}"
            raise Fault(
                f"Graph file {self._path}: {where} links device {device} to itself{which}; leave "
                f"that out, as a device hears itself anyway{self._hint}."
            )
        if self.own.setdefault(device, weight) != weight:
            raise Fault(
                f"Graph file {self._path}: {where} gives device {device} the weight {weight}, and "
                f"an earlier one {self.own[device]}; leave out all but one."
            )

    def _merge(self, link: Link, chance: float, where: str, weight: float | str | None) -> None:
        before = self.weights.get(link)
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
        return lines

    @property
    def carried(self) -> Carried:
        """The weights of links and devices."""
        return Carried(self.weights, self.own)


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


def topology(
    devices: int, links: Chances, notes: Sequence[str] = (), carried: Carried = NO_WEIGHTS
) -> Topology:
    """These links on devices 0..N-1, their weights, and what to know of them."""
    found = nx.empty_graph(devices, create_using=nx.DiGraph)
    found.add_edges_from((i, j, {"probability": chance}) for (i, j), chance in links.items())
    return link_weights.attached(Topology(found, notes=tuple(notes)), carried)
