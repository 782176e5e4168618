"""Graphs written as rows of numbers: a matrix, a list of links, or such a list for each round."""

from itertools import chain, pairwise
from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.faults import Fault
from mpidl.graphs.files import entries
from mpidl.graphs.files.text import Rows, Text, numbers
from mpidl.graphs.sequences import Links, Sequence


def matrix(path: Path, rows: Rows) -> nx.DiGraph:
    """The graph of an adjacency matrix, a row for each device.

    Raises:
        Fault: If some entry is no probability, or there are too many links.
    """
    links: entries.Chances = {}
    for i, (number, row) in enumerate(rows):
        for j, entry in enumerate(numbers(row)):
            if entry in {"0", "1"}:
                chance = float(entry)
            else:
                chance = entries.probability(path, entry, f"line {number}, column {j + 1}")
            if chance == 0:
                continue
            if i == j:
                raise Fault(
                    f"Graph file {path}: line {number} links device {i} to itself; write 0."
                )
            links[j, i] = chance
        entries.affordable(path, len(links))
    return entries.graph(len(rows), links)


def ragged(path: Path, rows: Rows) -> Fault:
    """What is wrong with rows that are neither a matrix nor a list."""
    first = len(numbers(rows[0][1]))
    for number, row in rows:
        if (width := len(numbers(row))) != first:
            return Fault(
                f"Graph file {path}: line {number} has {width} numbers where the first has "
                f"{first}; an adjacency matrix is square, an edge list has rows of 2 or 3."
            )
    return Fault(
        f"Graph file {path}: {len(rows)} rows of {first} numbers; an adjacency matrix must be "
        "square, an edge list has rows of 2 or 3."
    )


def edges(text: Text) -> nx.DiGraph:
    """The graph of a list of links.

    Raises:
        Fault: If a row is no link, or there are no devices.
    """
    links = _listed(text, text.rows)
    return entries.graph(entries.size(text.path, text.devices, links), links)


def sequence(text: Text) -> nx.DiGraph:
    """All links of a list for each round; ``graph["sequence"]`` says when each is there.

    Raises:
        Fault: If a row is no link, or rounds do not fit.
    """
    path, rows = text.path, text.rows
    if min(text.starts.values(), default=1) > 0:
        raise Fault(f"Graph file {path}: has links before its first line '# round: 0'.")
    last = max(text.starts)
    if text.period is not None and text.period <= last:
        raise Fault(
            f"Graph file {path}: the line '# period: {text.period}' must be above its last round, "
            f"{last}."
        )
    begins = [*text.starts.values(), len(rows)]
    parts = [rows[begin:end] for begin, end in pairwise(begins)]
    listed = [_listed(text, part) for part in parts]
    entries.affordable(path, sum(map(len, listed)))
    size = entries.size(path, text.devices, chain.from_iterable(listed))
    graphs = {
        first: Links(np.array([*links], np.int64).reshape(-1, 2), None, np.array([*links.values()]))
        for first, links in zip(text.starts, listed, strict=True)
    }
    found = Sequence(size, graphs.__getitem__, text.period or last + 1, list(text.starts))
    return found.union(last + 1)


def _listed(text: Text, rows: Rows) -> entries.Chances:
    links: entries.Chances = {}
    most = (text.devices or entries.DEVICES) - 1
    for number, line in rows:
        where, row = f"line {number} of the edge list", numbers(line)
        if len(row) not in (2, 3):
            raise Fault(f"Graph file {text.path}: {where} must be 'i j' or 'i j probability'.")
        i, j = (entries.whole(text.path, entry, where, 0, most) for entry in row[:2])
        chance = entries.probability(text.path, row[2], where) if len(row) == 3 else 1.0
        entries.add(text.path, links, (i, j), chance, where)
        if not text.directed:
            links[j, i] = chance
    return links
