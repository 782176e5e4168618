"""Graphs from files: an adjacency matrix, an edge list, or GraphML.

Which of them a file is, its suffix says (``.graphml``, ``.xml``; ``.edges``, ``.edgelist``), else
its content: text that starts with ``<`` is GraphML; text with a line ``# devices: N`` or
``# directed`` is an edge list; a square block of numbers is an adjacency matrix; rows of two or
three numbers are an edge list. Lines that start with ``#`` are comments, blank ones are skipped,
numbers are separated by whitespace or commas. A comment that begins as the headers below do, and
is none of them, is refused.

Adjacency matrix: row i, column j is the probability that the link works by which device i hears
device j, in the order of the mixing matrix ``W[i, j]``; 0 means no link. The diagonal is 0.

Edge list: ``i j`` or ``i j probability`` a line links devices i and j both ways; after a
``# directed`` line only from i to j. ``# devices: N`` says how many there are, else the largest
number does.

A graph for each round: an edge list with lines ``# round: 3``. The links below such a line, which
may be none, are those of that round and of all after it, up to the next such line. The first is
``# round: 0``, and numbers ascend. After the last one all begins again, or in the round that a line
``# period: 20`` says, if the last graph is to stay for longer than one.

GraphML: nodes are numbered in the order of the file, or by their names where these are 0..N-1; edge
attribute ``probability``; other attributes are ignored.

A line ``# published ood ranks: 3 0 4 6`` lists devices, kept as ``graph.graph["published"]``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import networkx as nx

from mpidl.faults import Fault
from mpidl.graphs.files import entries, markup, rows, text
from mpidl.graphs.files.entries import DEVICES
from mpidl.graphs.files.text import Text

__all__ = ["DEVICES", "entries", "markup", "read", "rows", "text"]

BYTES = 256 * 2**20
"""Size up to which a file is read."""


def read(path: Path) -> nx.DiGraph:
    """The graph in a file, on nodes 0..N-1, with edge attribute ``probability`` in (0, 1].

    Of one with a graph for each round these are all links, and ``graph.graph["sequence"]`` says
    when each is there.

    Raises:
        Fault: If the file is missing, unreadable, too large or damaged; the sentence names it.
    """
    suffix = path.suffix.lower()
    with _open(path) as file:
        if suffix in {".graphml", ".xml"} or _begins(file, "<"):
            return markup.graph(path, file)
        found = text.read(path, file)
    graph = _graph(found, suffix in {".edges", ".edgelist"})
    if found.published is not None:
        graph.graph["published"] = _published(path, found.published, len(graph))
    return graph


def _graph(found: Text, listed: bool) -> nx.DiGraph:
    """The graph of some lines, of which a list of links may be all that is expected."""
    if found.starts or found.period is not None:
        return rows.sequence(found)
    if listed or found.devices is not None or found.directed:
        return rows.edges(found)
    if not found.rows:
        raise Fault(f"Graph file {found.path}: holds no graph.")
    widths = {len(text.numbers(row)) for _, row in found.rows}
    if widths == {len(found.rows)}:
        return rows.matrix(found.path, found.rows)
    if widths <= {2, 3}:
        return rows.edges(found)
    raise rows.ragged(found.path, found.rows)


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        if path.exists() and not path.is_file():
            raise Fault(f"Graph file {path}: is not a regular file.")
        size = path.stat().st_size
        if size > BYTES:
            raise Fault(f"Graph file {path}: has {size:,} bytes; at most {BYTES:,} are read.")
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError:
        raise Fault(f"Graph file {path}: is not UTF-8 text.") from None
    except OSError as error:
        raise Fault(f"Cannot read the graph file {path}: {error.strerror}.") from None
    except ValueError as error:
        if isinstance(error, Fault):
            raise
        raise Fault(f"Cannot read the graph file {str(path)!r}: {error}.") from None


def _begins(file: TextIO, mark: str) -> bool:
    """Whether the text of a file begins with a mark, after blanks; the file is where it was."""
    found = ""
    while not found and (piece := file.read(4096)):
        found = piece.lstrip()
    file.seek(0)
    return found.startswith(mark)


def _published(path: Path, told: str, devices: int) -> list[int]:
    where = f"the line '# published ood ranks: {told[:40]}'"
    entered = told.replace(",", " ").split(None, devices)
    ranks = [entries.whole(path, entry, where, 0, devices - 1) for entry in entered]
    if not ranks or len(set(ranks)) < len(ranks):
        raise Fault(f"Graph file {path}: {where} must list different devices.")
    return ranks
