"""Graphs written as GraphML."""

import io
import warnings
from pathlib import Path
from typing import TextIO

import networkx as nx

from mpidl.faults import Fault
from mpidl.graphs.files import entries

CHARACTERS = 64 * 2**20
TAGS = 2_000_000
"""Characters and tags up to which GraphML is read, as each tag takes a hundred times its size."""


def graph(path: Path, file: TextIO) -> nx.DiGraph:
    """The graph in an open file, its nodes numbered in their order, or by their names.

    Raises:
        Fault: If that is no GraphML, or has more than may be read.
    """
    found = _parsed(path, file.read())
    if len(found) > entries.DEVICES:
        raise Fault(
            f"Graph file {path}: has {len(found):,} devices; at most {entries.DEVICES:,} may be."
        )
    if not len(found):
        raise Fault(f"Graph file {path}: holds no graph.")
    if found.is_multigraph():
        raise Fault(f"Graph file {path}: links two devices more than once.")
    names = {name: index for index, name in enumerate(found)}
    if set(names) == {str(index) for index in range(len(names))}:
        names = {name: int(name) for name in names}
    links: entries.Chances = {}
    for a, b, given in found.edges(data="probability", default=1.0):
        where = f"the edge from {a!r} to {b!r}"
        chance = entries.probability(path, str(given), where)
        entries.add(path, links, (names[a], names[b]), chance, where)
        if not found.is_directed():
            links[names[b], names[a]] = chance
    return entries.graph(len(names), links)


def _parsed(path: Path, text: str) -> nx.Graph:
    from xml.etree.ElementTree import ParseError

    if "<!DOCTYPE" in text:
        raise Fault(f"Graph file {path}: GraphML with a document type is refused.")
    if len(text) > CHARACTERS or text.count("<") > TAGS:
        raise Fault(
            f"Graph file {path}: GraphML of more than {CHARACTERS:,} characters or {TAGS:,} tags "
            "is refused; write an edge list."
        )
    try:
        with warnings.catch_warnings():
            # Whatever it warns of is nothing that a topology uses.
            warnings.simplefilter("ignore")
            return nx.read_graphml(io.BytesIO(text.encode()))
    except (ParseError, nx.NetworkXException, LookupError, ValueError, TypeError, AttributeError):
        raise Fault(f"Graph file {path}: is not valid GraphML.") from None
