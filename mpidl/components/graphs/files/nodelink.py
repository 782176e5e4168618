"""Graphs written as node-link JSON, by networkx or for D3."""

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, TextIO

from mpidl.components.graphs.files import named
from mpidl.components.graphs.files.kinds import READ
from mpidl.components.graphs.files.named import Edge
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

CHARACTERS = 64 * 2**20
"""Up to which JSON is read."""

LINKS = ("links", "edges")
"""What the list of links is called, by version of networkx."""


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file, its nodes numbered in their order, or by their ids.

    Raises:
        Fault: If that is no node-link JSON, or has more than may be read.
    """
    text = file.read(CHARACTERS + 1)
    if len(text) > CHARACTERS:
        raise Fault(
            f"Graph file {path}: JSON of more than {CHARACTERS:,} characters is refused; write an "
            "edge list."
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise Fault(f"Graph file {path}: is not valid JSON: {reason}.") from None
    listed = next((key for key in LINKS if key in found), "") if isinstance(found, dict) else ""
    if not listed or not (_objects(found.get("nodes")) and _objects(found[listed])):
        raise Fault(
            f"Graph file {path}: is JSON, but not node-link JSON, which has a list 'nodes' and a "
            f"list 'links' or 'edges' of objects. {READ}"
        )
    nodes: dict[Hashable, str | None] = {}
    for index, node in enumerate(found["nodes"]):
        label = node.get("label", node.get("name"))
        name = _key(path, node.get("id", index))
        if name in nodes:
            raise Fault(f"Graph file {path}: has two nodes with the id {shown(name)}.")
        nodes[name] = None if label is None else str(label)
    directed = found.get("directed") is True

    def edges() -> Iterator[Edge]:
        for link in found[listed]:
            source, target = (_key(path, link.get(end)) for end in ("source", "target"))
            chance, weight = link.get("probability"), link.get("weight")
            yield Edge(source, target, not directed, chance, weight)

    beside = found.get("graph")
    unread = named.unread(isinstance(beside, dict) and "probability" in beside)
    return named.topology(path, nodes, edges(), unread)


def _objects(listed: Any) -> bool:
    return isinstance(listed, list) and all(isinstance(one, dict) for one in listed)


def _key(path: Path, given: Any) -> Hashable:
    """An id; networkx writes a tuple as a list."""
    if isinstance(given, list) and all(isinstance(one, str | int | float) for one in given):
        return tuple(given)
    if given is None or isinstance(given, list | dict):
        raise Fault(f"Graph file {path}: has {shown(given)} where the id of a node is needed.")
    found: Hashable = given
    return found
