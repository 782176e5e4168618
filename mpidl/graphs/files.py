"""Graphs from files: an adjacency matrix, an edge list, or GraphML.

Which of them a file is, its suffix says (``.graphml``, ``.xml``; ``.edges``, ``.edgelist``), else
its content: text that starts with ``<`` is GraphML; text with a line ``# devices: N`` or
``# directed`` is an edge list; a square block of numbers is an adjacency matrix; rows of two or
three numbers are an edge list. Lines that start with ``#`` are comments, blank ones are skipped,
numbers are separated by whitespace or commas.

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

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

import networkx as nx
import numpy as np

from mpidl.faults import Fault
from mpidl.graphs.families import LINKS
from mpidl.graphs.sequences import Links, Sequence

BYTES = 256 * 2**20
"""Size up to which a file is read."""

MARKUP = 64 * 2**20
TAGS = 2_000_000
"""Characters and tags up to which GraphML is read, as each tag takes a hundred times its size."""

LINES = 2 * LINKS
"""Lines that are read, comments and blank ones among them."""

COMMENTS = 1000
"""Headers that are read."""

DEVICES = 100_000
"""Devices that a graph may have."""

ROUNDS = 1_000_000
"""Rounds that a file may name."""


def read(path: Path) -> nx.DiGraph:
    """The graph in a file, on nodes 0..N-1, with edge attribute ``probability`` in (0, 1].

    Of one with a graph for each round these are all links, and ``graph.graph["sequence"]`` says
    when each is there.

    Raises:
        Fault: If the file is missing, unreadable, too large or damaged; the sentence names it.
    """
    with _open(path) as file:
        suffix = path.suffix.lower()
        if suffix in {".graphml", ".xml"} or _begins(file, "<"):
            return _graphml(path, file)
        rows, comments, marks = _lines(path, file)
    devices, directed, period = _header(path, comments)
    if marks or period is not None:
        graph = _sequence(path, _parts(path, rows, marks), devices, directed, period)
    elif suffix in {".edges", ".edgelist"} or devices is not None or directed:
        graph = _edge_list(path, rows, devices, directed)
    elif not rows:
        raise Fault(f"Graph file {path}: holds no graph.")
    else:
        widths = {len(_entries(row)) for _, row in rows}
        if widths == {len(rows)}:
            graph = _adjacency(path, rows)
        elif widths <= {2, 3}:
            graph = _edge_list(path, rows, None, False)
        else:
            raise _ragged(path, rows)
    _publish(path, graph, comments)
    return graph


Rows = list[tuple[int, str]]
"""Lines that have numbers, each with its own number in the file."""

Chances = dict[tuple[int, int], float]
"""Directed links and their probabilities."""


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


def _lines(path: Path, file: TextIO) -> tuple[Rows, list[str], list[tuple[int, str]]]:
    """Lines that have numbers, what comments say, and before which line each round begins."""
    rows: Rows = []
    marks: list[tuple[int, str]] = []
    comments: dict[str, None] = {}
    for number, line in enumerate(file, start=1):
        text = line.strip()
        if text.startswith("#"):
            told = text[1:].strip()
            if re.match(r"devices:|directed$|period:|published ood", told, re.I):
                comments[told] = None
            elif found := re.fullmatch(r"round:\s*(\S*)", told):
                marks.append((len(rows), found[1]))
        elif text:
            rows.append((number, text))
        if len(comments) > COMMENTS:
            raise Fault(f"Graph file {path}: has more than {COMMENTS} headers that differ.")
        if number > LINES:
            raise Fault(f"Graph file {path}: has more than {LINES:,} lines.")
    _affordable(path, len(rows))
    return rows, list(comments), marks


def _entries(row: str) -> list[str]:
    # More than can be devices need not be told apart.
    return row.replace(",", " ").split(None, DEVICES)


def _header(path: Path, comments: list[str]) -> tuple[int | None, bool, int | None]:
    devices = period = None
    for comment in comments:
        where = f"the line '# {comment[:40]}'"
        if found := re.fullmatch(r"devices:\s*(\S*)", comment):
            devices = _device(path, found[1], where, 1, DEVICES)
        if found := re.fullmatch(r"period:\s*(\S*)", comment):
            period = _device(path, found[1], where, 1, ROUNDS)
    return devices, "directed" in comments, period


def _adjacency(path: Path, rows: Rows) -> nx.DiGraph:
    links: Chances = {}
    for i, (number, row) in enumerate(rows):
        for j, entry in enumerate(_entries(row)):
            if entry in {"0", "1"}:
                chance = float(entry)
            else:
                chance = _probability(path, entry, f"line {number}, column {j + 1}")
            if chance == 0:
                continue
            if i == j:
                raise Fault(
                    f"Graph file {path}: line {number} links device {i} to itself; write 0."
                )
            links[j, i] = chance
        _affordable(path, len(links))
    return _graph(len(rows), links)


def _ragged(path: Path, rows: Rows) -> Fault:
    first = len(_entries(rows[0][1]))
    for number, row in rows:
        if (width := len(_entries(row))) != first:
            return Fault(
                f"Graph file {path}: line {number} has {width} numbers where the first has "
                f"{first}; an adjacency matrix is square, an edge list has rows of 2 or 3."
            )
    return Fault(
        f"Graph file {path}: {len(rows)} rows of {first} numbers; an adjacency matrix must be "
        "square, an edge list has rows of 2 or 3."
    )


def _edge_list(path: Path, rows: Rows, devices: int | None, directed: bool) -> nx.DiGraph:
    links = _listed(path, rows, devices, directed)
    return _graph(_size(path, devices, links), links)


def _listed(path: Path, rows: Rows, devices: int | None, directed: bool) -> Chances:
    links: Chances = {}
    for number, text in rows:
        where, row = f"line {number} of the edge list", _entries(text)
        if len(row) not in (2, 3):
            raise Fault(f"Graph file {path}: {where} must be 'i j' or 'i j probability'.")
        i, j = (_device(path, entry, where, 0, (devices or DEVICES) - 1) for entry in row[:2])
        chance = _probability(path, row[2], where) if len(row) == 3 else 1.0
        _link(path, links, (i, j), chance, where)
        if not directed:
            links[j, i] = chance
    return links


def _size(path: Path, devices: int | None, links: Iterable[tuple[int, int]]) -> int:
    """How many devices there are, where no header says so: one more than the largest number."""
    if devices is None:
        devices = 1 + max((max(link) for link in links), default=-1)
    if not devices:
        raise Fault(f"Graph file {path}: holds no graph.")
    return devices


def _parts(path: Path, rows: Rows, marks: list[tuple[int, str]]) -> dict[int, Rows]:
    """The lines of each graph, by its first round."""
    if not marks or marks[0][0] > 0:
        raise Fault(f"Graph file {path}: has links before its first line '# round: 0'.")
    ends = [*(row for row, _ in marks[1:]), len(rows)]
    parts: dict[int, Rows] = {}
    for (start, entry), end in zip(marks, ends, strict=True):
        where = f"the line '# round: {entry[:40]}'"
        round = _device(path, entry, where, 0, ROUNDS - 1)
        if round <= max(parts, default=-1) or (round > 0 and not parts):
            raise Fault(f"Graph file {path}: {where} is out of order; rounds ascend from 0.")
        parts[round] = rows[start:end]
    return parts


def _sequence(
    path: Path, parts: dict[int, Rows], devices: int | None, directed: bool, period: int | None
) -> nx.DiGraph:
    last = max(parts)
    if period is not None and period <= last:
        raise Fault(
            f"Graph file {path}: the line '# period: {period}' must be above its last round, "
            f"{last}."
        )
    listed = [_listed(path, rows, devices, directed) for rows in parts.values()]
    _affordable(path, sum(map(len, listed)))
    size = _size(path, devices, chain.from_iterable(listed))
    graphs = {
        first: Links(np.array([*links], np.int64).reshape(-1, 2), None, np.array([*links.values()]))
        for first, links in zip(parts, listed, strict=True)
    }
    found = Sequence(size, graphs.__getitem__, period or last + 1, list(parts))
    return found.union(last + 1)


def _graphml(path: Path, file: TextIO) -> nx.DiGraph:
    from xml.etree.ElementTree import ParseError

    text = file.read()
    if "<!DOCTYPE" in text:
        raise Fault(f"Graph file {path}: GraphML with a document type is refused.")
    if len(text) > MARKUP or text.count("<") > TAGS:
        raise Fault(
            f"Graph file {path}: GraphML of more than {MARKUP:,} characters or {TAGS:,} tags is "
            "refused; write an edge list."
        )
    try:
        with warnings.catch_warnings():
            # Whatever it warns of is nothing that a topology uses.
            warnings.simplefilter("ignore")
            found = nx.read_graphml(io.BytesIO(text.encode()))
    except (ParseError, nx.NetworkXException, LookupError, ValueError, TypeError, AttributeError):
        raise Fault(f"Graph file {path}: is not valid GraphML.") from None
    if len(found) > DEVICES:
        raise Fault(f"Graph file {path}: has {len(found):,} devices; at most {DEVICES:,} may be.")
    if not len(found):
        raise Fault(f"Graph file {path}: holds no graph.")
    if found.is_multigraph():
        raise Fault(f"Graph file {path}: links two devices more than once.")
    names = {name: index for index, name in enumerate(found)}
    if set(names) == {str(index) for index in range(len(names))}:
        names = {name: int(name) for name in names}
    links: Chances = {}
    for a, b, chance in found.edges(data="probability", default=1.0):
        where = f"the edge from {a!r} to {b!r}"
        chance = _probability(path, str(chance), where)
        _link(path, links, (names[a], names[b]), chance, where)
        if not found.is_directed():
            links[names[b], names[a]] = chance
    return _graph(len(names), links)


def _link(
    path: Path,
    links: Chances,
    link: tuple[int, int],
    chance: float,
    where: str,
) -> None:
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


def _affordable(path: Path, links: int) -> None:
    if links > LINKS:
        raise Fault(f"Graph file {path}: has more links than the {LINKS:,} that are allowed.")


def _graph(devices: int, links: Chances) -> nx.DiGraph:
    graph = nx.empty_graph(devices, create_using=nx.DiGraph)
    graph.add_edges_from((i, j, {"probability": chance}) for (i, j), chance in links.items())
    return graph


def _publish(path: Path, graph: nx.DiGraph, comments: list[str]) -> None:
    for comment in comments:
        if found := re.fullmatch(r"published ood ranks:\s*(.*)", comment, re.IGNORECASE):
            where = f"the line '# {comment}'"
            ranks = [
                _device(path, entry, where, 0, len(graph) - 1)
                for entry in found[1].replace(",", " ").split()
            ]
            if not ranks or len(set(ranks)) < len(ranks):
                raise Fault(f"Graph file {path}: {where} must list different devices.")
            graph.graph["published"] = ranks


def _device(path: Path, entry: str, where: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", entry) or not least <= int(entry) <= most:
        raise Fault(
            f"Graph file {path}: {where} has {entry[:40]!r} where a whole number from {least} "
            f"to {most} is needed."
        )
    return int(entry)


def _probability(path: Path, entry: str, where: str) -> float:
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
