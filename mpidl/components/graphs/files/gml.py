"""Graphs written as GML, read by networkx."""

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TextIO

import networkx as nx

from mpidl.components.graphs.files import named
from mpidl.components.graphs.files.named import Edge
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, printable

CHARACTERS = 16 * 2**20
"""Up to which GML is read, as networkx takes a minute for them."""

SCALAR = r"^(\s*\w+\s+)(?:np|numpy)\.\w+\(([^()\"]*)\)\s*$"
"""A line with a number of numpy, as networkx writes it."""


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file, its nodes numbered in their order, or by their labels or ids.

    Raises:
        Fault: If that is no GML, or has more than may be read.
    """
    text = file.read(CHARACTERS + 1)
    if len(text) > CHARACTERS:
        raise Fault(
            f"Graph file {path}: GML of more than {CHARACTERS:,} characters is refused; write an "
            "edge list."
        )
    # networkx refuses parallel links where this is not said, and most files do not say it.
    text = re.sub(SCALAR, r"\1\2", text, flags=re.MULTILINE | re.IGNORECASE)
    text = re.sub(r"^\s*graph\s*\[", "graph [ multigraph 1 ", text, count=1, flags=re.MULTILINE)
    try:
        found = nx.parse_gml(text, label="id")
    except (nx.NetworkXException, *BROKEN) as error:
        reason = printable(str(error)) or type(error).__name__
        raise Fault(f"Graph file {path}: is not valid GML: {reason}.") from None
    nodes: dict[Hashable, str | None] = {
        node: None if given.get("label") is None else str(given["label"])
        for node, given in found.nodes(data=True)
    }
    both = not found.is_directed()

    def edges() -> Iterator[Edge]:
        for a, b, given in found.edges(data=True):
            yield Edge(a, b, both, given.get("probability"), given.get("weight"))

    return named.topology(path, nodes, edges(), named.unread("probability" in found.graph))


BROKEN = (LookupError, ValueError, TypeError, AttributeError, RecursionError, OverflowError)
"""What networkx raises over a file that is damaged, beside its own errors."""
