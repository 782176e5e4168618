"""Graphs from files: matrices, lists of links, and what other programs write.

Which kind a file is, its first bytes say, else the end of its name (:mod:`.kinds`): GraphML, GEXF,
GML, Pajek, node-link JSON, MatrixMarket, ``.npy`` and ``.npz``; an adjacency list where the name
ends in ``.adjlist``, an edge list in ``.edges`` or ``.edgelist``. Other text with a line
``# devices: N`` or ``# directed`` is an edge list; a square block of numbers is an adjacency
matrix; rows of two or three entries are an edge list. What is not read is called by its name.

In these texts lines that start with ``#`` or ``%`` are comments, and so is what follows either of
them after a blank; blank lines are skipped, entries are separated by whitespace or commas. A
comment that begins as the headers below do, and is none of them, is refused.

Adjacency matrix as text: row i, column j is the probability that the link works by which device i
hears device j, in the order of the mixing matrix ``W[i, j]``; 0 means no link. The diagonal is 0.

Mixing matrix as text: after a line ``# matrix: W`` row i, column j is ``W[i, j]``, the weight by
which device i counts device j; a link from j to i is where it is not 0.

Edge list: ``i j`` or ``i j probability`` a line links devices i and j both ways; after a
``# directed`` line, or that of SNAP, ``# Directed graph ...``, only from i to j. In place of the
probability there may be a dictionary as networkx writes it, of which ``probability`` and ``weight``
are read, or what a line ``# columns: i j weight`` or ``# columns: i j probability weight`` says.
Where each link is written in both directions it is one. ``# devices: N`` says how many there are,
or a first row with that number, else the largest number does; ``# numbered from: 1`` that 1 is
device 0. A first row ``N M`` is a header where exactly M rows follow, of numbers below N, and is
refused where it could as well be a link. An adjacency list has a device and its neighbors a line.

A graph for each round: an edge list with lines ``# round: 3``. The links below such a line, which
may be none, are those of that round and of all after it, up to the next such line. The first is
``# round: 0``, and numbers ascend. After the last one all begins again, or in the round that a line
``# period: 20`` says, if the last graph is to stay for longer than one.

GraphML, GEXF, GML, Pajek, node-link JSON: nodes are numbered in the order of the file, or by their
names where these are 0..N-1. Of an edge its direction and its attributes ``probability`` and
``weight`` count, as do the defaults of these; other attributes are ignored.

MatrixMarket, ``.npy``, scipy's ``.npz`` (csr, csc, coo): ``A[i, j]`` is the probability of the link
from i to j. With a comment ``% matrix: W``, or as ``numpy.savez(file, W=W)`` writes it, a matrix is
the mixing matrix, as above.

The link from j to i carries the weight ``W[i, j]``, by which ``strategy.name = "given"`` mixes. The
weight of an edge from i to i is ``W[i, i]``; where it is missing, that is what the row lacks to 1,
or the column where senders share out. Weights are kept if they make a stochastic W
(:mod:`mpidl.components.graphs.link_weights`): not negative, one for each link, and rows, or
columns, of sum 1.

Everywhere parallel links become one, of probability ``1 - product of (1 - p)``, and are refused
where the file gives them different weights. Nodes that have names keep them, and notes say what to
know of how a file was read.

A line ``# published ood ranks: 3 0 4 6`` lists devices, kept as :attr:`Topology.published`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from mpidl.components.graphs.files import (
    entries,
    gml,
    kinds,
    market,
    markup,
    matrices,
    nodelink,
    pajek,
    rows,
    text,
)
from mpidl.components.graphs.files.entries import DEVICES
from mpidl.components.graphs.files.text import Text
from mpidl.components.graphs.topology import Topology
from mpidl.config import shipped
from mpidl.config.faults import Fault

__all__ = ["DEVICES", "entries", "markup", "read", "rows", "text"]

BYTES = 256 * 2**20
"""Size up to which a file is read."""

HEAD = 4096
"""First bytes of a file, by which its kind is recognized."""

NOTATIONS: dict[str, Callable[[Path, TextIO], Topology]] = {
    "xml": markup.topology,
    "gml": gml.topology,
    "pajek": pajek.topology,
    "json": nodelink.topology,
    "matrixmarket": market.topology,
}
"""Readers of other programs' text formats, by kind."""


def read(path: Path) -> Topology:
    """The topology of a graph file, on devices 0..N-1; each link has a ``probability`` in (0, 1].

    Raises:
        Fault: If the file is missing, unreadable, too large, damaged or of an unknown kind.
    """
    with _readable(path):
        kind = kinds.kind(path, _head(path))
        if kind in ("npy", "npz"):
            return matrices.topology(path, kind)
        with path.open(encoding="utf-8-sig") as file:
            if kind in NOTATIONS:
                return NOTATIONS[kind](path, file)
            found = text.read(path, file)
    _check_headers(found, kind)
    made = _topology(found, kind)
    if found.published is None:
        return made
    return replace(made, published=_published(path, found.published, len(made)))


def _topology(found: Text, kind: str) -> Topology:
    """The topology of a text, of the kind that its file name or its content shows."""
    if found.matrix and found.rows:
        return rows.mixing(found.path, found.rows)
    if kind == "adjacency list":
        return rows.neighbors(found)
    if found.starts or found.period is not None:
        return rows.sequence(found)
    headed = found.devices is not None or found.directed or found.columns is not None
    if kind == "edge list" or headed:
        return rows.edges(found)
    if not found.rows:
        raise Fault(f"Graph file {found.path}: holds no graph.")
    first, *others = (len(text.numbers(row)) for _, row in found.rows)
    widths = {first, *others}
    if widths == {len(found.rows)} and not _small_list(found):
        return rows.matrix(found.path, found.rows)
    if widths <= {2, 3} or (first == 1 and others and {*others} <= {2, 3}):
        return rows.edges(found)
    raise rows.ragged(found.path, found.rows, kinds.READ)


def _check_headers(found: Text, kind: str) -> None:
    """See that headers go together.

    Raises:
        Fault: If they do not.
    """
    listed = found.devices is not None or found.directed or found.columns is not None
    if found.matrix and (listed or found.starts or found.period is not None):
        raise Fault(
            f"Graph file {found.path}: has a line '# matrix: W', with which lines on devices, "
            "directions, columns and rounds do not go."
        )
    if kind == "adjacency list" and (found.columns is not None or found.matrix):
        raise Fault(
            f"Graph file {found.path}: is an adjacency list, as its name says, which has neither "
            "columns nor a matrix."
        )


def _small_list(found: Text) -> bool:
    """Whether a square of entries must be a list of links: it has numbers above 1, or none."""
    if len(found.rows) not in (2, 3):
        return False
    listed = [entry for _, row in found.rows for entry in text.numbers(row)[:2]]
    return any(re.fullmatch("[2-9]|[1-9][0-9]+", entry) for entry in listed) or not any(
        re.search("[0-9]|nan|inf", entry, re.IGNORECASE) for entry in listed
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Check that a file may be read, and turn errors of the system into faults."""
    try:
        if path.exists() and not path.is_file():
            raise Fault(f"Graph file {path}: is not a regular file.")
        size = path.stat().st_size
        if size > BYTES:
            raise Fault(f"Graph file {path}: has {size:,} bytes; at most {BYTES:,} are read.")
        yield
    except UnicodeDecodeError:
        raise Fault(f"Graph file {path}: is not UTF-8 text. {kinds.READ}") from None
    except OSError as error:
        more = shipped.sought(path) if isinstance(error, FileNotFoundError) else ""
        raise Fault(f"Cannot read the graph file {path}: {error.strerror}{more}.") from None
    except ValueError as error:
        if isinstance(error, Fault):
            raise
        raise Fault(f"Cannot read the graph file {str(path)!r}: {error}.") from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _published(path: Path, listed: str, devices: int) -> tuple[int, ...]:
    where = f"the line '# published ood ranks: {listed[:40]}'"
    entered = listed.replace(",", " ").split(None, devices)
    ranks = [entries.whole(path, entry, where, 0, devices - 1) for entry in entered]
    if not ranks or len(set(ranks)) < len(ranks):
        raise Fault(f"Graph file {path}: {where} must list different devices.")
    return tuple(ranks)
