"""Adjacency matrices as MatrixMarket writes them.

scipy reads them too, but over a damaged file it may end the process.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mpidl.components.graphs.files import entries, matrices
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

HEAD = (
    r"%%MatrixMarket\s+matrix\s+(coordinate|array)\s+(real|integer|pattern)\s+(general|symmetric)"
)
"""The first line of what is read."""

Lines = Iterator[tuple[int, list[str]]]
"""The entries of lines that are no comments, with their numbers."""

Entry = tuple[str, entries.Link, str]
"""Where an entry of the matrix is, its row and column from 0, and its value as written."""


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file, where ``A[i, j]`` is a link from i to j, and 1 is device 0.

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
    lines = (
        (number, line.split(None, 3))
        for number, line in enumerate(file, start=2)
        if line.strip() and not line.startswith("%")
    )
    listed, symmetric = form[1].lower() == "coordinate", form[3].lower() == "symmetric"
    number, size = next(lines, (1, []))
    if len(size) != (3 if listed else 2):
        raise Fault(f"Graph file {path}: line {number} must be the size of the matrix.")
    where = f"line {number}"
    rows, columns, *count = (entries.whole(path, one, where, 0, entries.MOST) for one in size)
    matrices.check_shape(path, (rows, columns))
    links = entries.Links(path)
    found = _array(path, rows, lines, symmetric)
    if listed:
        found = _coordinates(path, rows, lines, *count)
    for where, (i, j), value in found:
        chance = entries.probability(path, value, where)
        if chance:
            links.add((i, j), chance, where, both=symmetric and i != j)
        entries.affordable(path, len(links.chances))
    return entries.topology(
        rows, links.chances, [*links.notes(), *matrices.asymmetry(links.chances)]
    )


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
