"""Adjacency matrices as MatrixMarket writes them.

scipy reads them too, but over a damaged file it may end the process.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.files import entries, matrices
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

HEAD = (
    r"%%MatrixMarket\s+matrix\s+(coordinate|array)\s+(real|integer|pattern)\s+(general|symmetric)"
)
"""The first line of what is read."""

MIXING = r"matrix:\s*W"
"""The comment by which a matrix is a mixing matrix W."""

Lines = Iterator[tuple[int, list[str]]]
"""The entries of lines that are no comments, with their numbers."""

Entry = tuple[str, entries.Link, str]
"""Where an entry of the matrix is, its row and column from 0, and its value as written."""


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file, where ``A[i, j]`` is a link from i to j, and 1 is device 0.

    After a comment ``% matrix: W`` the matrix is W: ``W[i, j]`` is the weight by which i counts j.

    Raises:
        Fault: If that is no square matrix of probabilities, or has more than may be read.
    """
    head = file.readline(200).strip()
    form = re.fullmatch(HEAD, head, re.IGNORECASE)
    if form is None:
        raise Fault(
            f"Graph file {path}: line 1, {head[:60]!r}, is not of the form '%%MatrixMarket matrix "
            "coordinate (or array) real (or integer, pattern) general (or symmetric)'."
        )
    said: list[str] = []
    lines = _lines(file, said)
    listed, symmetric = form[1].lower() == "coordinate", form[3].lower() == "symmetric"
    number, size = next(lines, (1, []))
    if len(size) != (3 if listed else 2):
        raise Fault(f"Graph file {path}: line {number} must be the size of the matrix.")
    where = f"line {number}"
    rows, columns, *count = (entries.whole(path, one, where, 0, entries.MOST) for one in size)
    matrices.check_shape(path, (rows, columns))
    found = _array(path, rows, lines, symmetric)
    if listed:
        found = _coordinates(path, rows, lines, *count)
    if any(re.fullmatch(MIXING, comment, re.IGNORECASE) for comment in said):
        return _mixing(path, rows, found, symmetric)
    links = entries.Links(path, "; a mixing matrix W has a comment '% matrix: W'")
    for where, (i, j), value in found:
        chance = entries.probability(path, value, where)
        if chance:
            links.add((i, j), chance, where, both=symmetric and i != j)
        entries.affordable(path, len(links.chances))
    return entries.topology(
        rows, links.chances, [*links.notes(), *matrices.asymmetry(links.chances)]
    )


def _lines(file: TextIO, said: list[str]) -> Lines:
    """Lines with entries; the comments before them are added to those that are said."""
    for number, line in enumerate(file, start=2):
        if line.startswith("%"):
            said.append(line[1:].strip()[:20])
        elif line.strip():
            yield number, line.split(None, 3)


def _mixing(path: Path, size: int, found: Iterator[Entry], symmetric: bool) -> Topology:
    """The graph over which the matrix of these entries mixes."""
    ends: list[entries.Link] = []
    values: list[float] = []
    for where, (i, j), written in found:
        if value := entries.weight(path, written, where):
            both = [(i, j), (j, i)] if symmetric and i != j else [(i, j)]
            ends += both
            values += [value] * len(both)
            entries.affordable(path, len(values))
    places = np.array(ends, np.int64).reshape(-1, 2).T
    return link_weights.mixing(f"Graph file {path}", size, (*places, np.array(values)))


def _coordinates(path: Path, size: int, lines: Lines, count: int) -> Iterator[Entry]:
    """The entries that are listed, a line each: row, column and, but for a pattern, value."""
    there = 0
    for number, line in lines:
        where = f"line {number}"
        if len(line) not in (2, 3):
            raise Fault(f"Graph file {path}: {where} must be 'i j' or 'i j value'.")
        i, j = (entries.whole(path, end, where, 1, size) - 1 for end in line[:2])
        yield where, (i, j), "1" if len(line) == 2 else line[2]
        there += 1
    if there != count:
        raise Fault(f"Graph file {path}: says that {count:,} entries follow, and has {there:,}.")


def _array(path: Path, size: int, lines: Lines, symmetric: bool) -> Iterator[Entry]:
    """All entries, column by column; of a symmetric matrix from the diagonal on."""
    for j in range(size):
        for i in range(j if symmetric else 0, size):
            number, value = next(lines, (0, []))
            if len(value) != 1:
                what = f"line {number} has {shown(' '.join(value))}" if number else "its end comes"
                raise Fault(
                    f"Graph file {path}: {what} where the entry of row {i + 1}, column {j + 1} is "
                    "needed."
                )
            yield f"line {number}", (i, j), value[0]
