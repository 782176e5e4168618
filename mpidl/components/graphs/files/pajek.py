"""Graphs written for Pajek.

networkx reads them too, but makes one node of all that have the same label, needs a line for each
vertex, and takes arcs for edges where a file has both.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TextIO

from mpidl.components.graphs.files import entries, named
from mpidl.components.graphs.files.named import Edge
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

LINKS = {"*arcs": False, "*edges": True, "*arcslist": False, "*edgeslist": True}
"""Sections of links, and whether these go both ways."""

VERTEX = r'(\d+)(?:\s+(?:"([^"]*)"|(\S+)))?'


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file; vertex k is device k - 1.

    Raises:
        Fault: If that is no network of Pajek, or a part of one that is not read.
    """
    nodes: dict[Hashable, str | None] = {}
    edges: list[Edge] = []
    section, row = "", 0
    for number, line in enumerate(file, start=1):
        words = line.split()
        where = f"line {number}"
        if not words or words[0].startswith("%"):
            continue
        if words[0].startswith("*"):
            section = words[0].lower().partition(":")[0]
            if section == "*vertices" and not nodes:
                count = entries.whole(path, (words[1:] or [""])[0], where, 1, entries.DEVICES)
                nodes = dict.fromkeys(range(1, count + 1))
            elif section not in (*LINKS, "*matrix", "*network"):
                what = "a second network" if section == "*vertices" else shown(words[0])
                raise Fault(f"Graph file {path}: {where} begins {what}, which is not read.")
            elif section != "*network" and not nodes:
                raise Fault(f"Graph file {path}: {where} begins links before '*Vertices'.")
        elif section == "*vertices":
            found = re.match(VERTEX, line.strip())
            vertex = entries.whole(path, found[1] if found else words[0], where, 1, len(nodes))
            nodes[vertex] = (found[2] or found[3]) if found else None
        elif section == "*matrix":
            row += 1
            edges += [
                Edge(row, column, False, None, weight)
                for column, weight in enumerate(words, start=1)
                if weight.strip("0.") or not weight.strip(".")
            ]
        elif section in LINKS:
            both, ends = LINKS[section], words if section.endswith("list") else words[:2]
            if len(ends) < 2:
                raise Fault(f"Graph file {path}: {where} must be two vertices, not {ends[0]!r}.")
            source, *targets = (entries.whole(path, one, where, 1, len(nodes)) for one in ends)
            weight = None if section.endswith("list") else next(iter(words[2:]), None)
            edges += [Edge(source, target, both, None, weight) for target in targets]
        elif section != "*network":
            raise Fault(f"Graph file {path}: {where} comes before '*Vertices'.")
        entries.affordable(path, len(edges))
    return named.topology(path, nodes, edges)
