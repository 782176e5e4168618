"""Numbers, links and devices that a graph file names: checked, counted, and made a graph."""

import re
from collections.abc import Iterable
from pathlib import Path

import networkx as nx

from mpidl.faults import Fault
from mpidl.graphs.families import LINKS

DEVICES = 100_000
"""Devices that a graph may have."""

Chances = dict[tuple[int, int], float]
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


def add(path: Path, links: Chances, link: tuple[int, int], chance: float, where: str) -> None:
    """Add a link to those that were named before.

    Raises:
        Fault: If it is there already, leads nowhere or never works.
    """
    i, j = link
    if i == j:
        raise Fault(f"Graph file {path}: {where} links device {i} to itself.")
    if chance == 0:
        raise Fault(f"Graph file {path}: {where} has probability 0; leave the link out.")
    if link in links:
        raise Fault(
            f"Graph file {path}: {where} repeats the link of {i} and {j}; a list in which each "
            "line is one direction needs a line '# directed'."
        )
    links[link] = chance


def affordable(path: Path, links: int) -> None:
    """See whether so many links are allowed.

    Raises:
        Fault: If they are too many.
    """
    if links > LINKS:
        raise Fault(f"Graph file {path}: has more links than the {LINKS:,} that are allowed.")


def size(path: Path, devices: int | None, links: Iterable[tuple[int, int]]) -> int:
    """How many devices there are: where no header says so, one more than the largest number.

    Raises:
        Fault: If there are none.
    """
    if devices is None:
        devices = 1 + max((max(link) for link in links), default=-1)
    if not devices:
        raise Fault(f"Graph file {path}: holds no graph.")
    return devices


def graph(devices: int, links: Chances) -> nx.DiGraph:
    """The graph of these links on devices 0..N-1."""
    found = nx.empty_graph(devices, create_using=nx.DiGraph)
    found.add_edges_from((i, j, {"probability": chance}) for (i, j), chance in links.items())
    return found
