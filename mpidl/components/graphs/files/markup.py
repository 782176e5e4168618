"""Graphs written in XML: GraphML and GEXF.

networkx reads both, but refuses a file in which some edges are directed and others are not, or
that has an attribute of a type it does not know, and leaves defaults of attributes out.
"""

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mpidl.components.graphs.files import named
from mpidl.components.graphs.files.named import Edge
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, printable, shown

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

CHARACTERS = 64 * 2**20
TAGS = 2_000_000
"""Characters and tags up to which XML is read, as each tag takes a hundred times its size."""

LABELS = ("label", "name")
"""Attributes of a node that say what it is called."""

SHOWN = "NodeLabel"
"""Where yEd has it."""

Defaults = dict[str, str | None]
"""By how a file calls an attribute what holds where an edge does not give it."""


def topology(path: Path, file: TextIO) -> Topology:
    """The graph in an open file, its nodes numbered in their order, or by their names.

    Raises:
        Fault: If that is no GraphML or GEXF, or has more than may be read.
    """
    root = _parsed(path, file.read())
    kind = _tag(root)
    if kind not in ("graphml", "gexf"):
        raise Fault(
            f"Graph file {path}: is XML, but neither GraphML nor GEXF: its outermost element is "
            f"{shown(kind)}."
        )
    graphs = _all(root, "graph")
    if len(graphs) > 1:
        raise Fault(f"Graph file {path}: holds {len(graphs)} graphs; keep one of them.")
    if not graphs:
        raise Fault(f"Graph file {path}: holds no graph.")
    return (_graphml if kind == "graphml" else _gexf)(path, root, graphs[0])


def _graphml(path: Path, root: "Element", graph: "Element") -> Topology:
    keys = [key for key in _all(root, "key") if key.get("for", "all") in ("edge", "all")]
    chance, weight = (_keys(keys, name) for name in ("probability", "weight"))
    called = [
        key.get("id", "")
        for name in LABELS
        for key in _all(root, "key")
        if key.get("for", "all") in ("node", "all") and key.get("attr.name", "").lower() == name
    ]
    if _all(graph, "hyperedge"):
        raise Fault(f"Graph file {path}: has hyperedges, which are not read; only edges are.")
    nodes: dict[Hashable, str | None] = {}
    for node in _all(graph, "node"):
        name = node.get("id", "")
        if _all(node, "graph"):
            raise Fault(
                f"Graph file {path}: node {shown(name)} holds a graph of its own; graphs within "
                "nodes are not read."
            )
        nodes[name] = _label(node, called)
    default = graph.get("edgedefault", "undirected")

    def edges() -> Iterator[Edge]:
        for edge in _all(graph, "edge"):
            given = {one.get("key", ""): _text(one) for one in _all(edge, "data")}
            way = edge.get("directed", "")
            directed = default == "directed" if not way else way.lower() in ("true", "1")
            ends = edge.get("source", ""), edge.get("target", "")
            yield Edge(*ends, not directed, _given(chance, given), _given(weight, given))

    ours = {key.get("id") for key in _all(root, "key") if key.get("attr.name") == "probability"}
    beside = any(one.get("key") in ours for one in _all(graph, "data"))
    return named.topology(path, nodes, edges(), named.unread(beside))


def _gexf(path: Path, root: "Element", graph: "Element") -> Topology:
    keys = [
        key
        for group in _all(graph, "attributes")
        if group.get("class") == "edge"
        for key in _all(group, "attribute")
    ]
    chance = _keys(keys, "probability")
    nodes: dict[Hashable, str | None] = {}
    for node in (one for group in _all(graph, "nodes") for one in _all(group, "node")):
        name = node.get("id", "")
        if _all(node, "nodes"):
            raise Fault(
                f"Graph file {path}: node {shown(name)} holds nodes of its own; nodes within "
                "nodes are not read."
            )
        nodes[name] = node.get("label")
    default = graph.get("defaultedgetype", "undirected")

    def edges() -> Iterator[Edge]:
        for edge in (one for group in _all(graph, "edges") for one in _all(group, "edge")):
            given = {
                one.get("for", one.get("id", "")): one.get("value")
                for group in _all(edge, "attvalues")
                for one in _all(group, "attvalue")
            }
            directed = edge.get("type", default) == "directed"
            ends = edge.get("source", ""), edge.get("target", "")
            yield Edge(*ends, not directed, _given(chance, given), edge.get("weight"))

    dynamic = graph.get("mode") == "dynamic"
    notes = ["it is dynamic: all its edges are read, whenever they are there"] if dynamic else []
    return named.topology(path, nodes, edges(), notes)


def _tag(element: "Element") -> str:
    return element.tag.rpartition("}")[2]


def _all(element: "Element", tag: str) -> "list[Element]":
    """The children of an element with this name, in any name space."""
    return [one for one in element if _tag(one) == tag]


def _text(element: "Element") -> str | None:
    """Its text; None where it is blank."""
    return (element.text or "").strip() or None


def _keys(keys: "list[Element]", name: str) -> Defaults:
    """The keys of an attribute by this name, and its defaults."""
    return {
        key.get("id", ""): next((_text(one) for one in _all(key, "default")), None)
        for key in keys
        if key.get("attr.name", key.get("title", key.get("id"))) == name
    }


def _given(keys: Defaults, given: dict[str, str | None]) -> str | None:
    """The value of an attribute of an edge, or its default."""
    found = [given.get(key) or default for key, default in keys.items()]
    return next((one for one in found if one is not None), None)


def _label(node: "Element", keys: list[str]) -> str | None:
    """The name of a node: an attribute for names, or the label that yEd shows."""
    given = {one.get("key", ""): one for one in _all(node, "data")}
    found = [_text(given[key]) for key in keys if key in given]
    found += [_text(one) for data in given.values() for one in data.iter() if _tag(one) == SHOWN]
    return next((one for one in found if one is not None), None)


def _parsed(path: Path, text: str) -> "Element":
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text:
        raise Fault(f"Graph file {path}: XML with a document type is refused.")
    if len(text) > CHARACTERS or text.count("<") > TAGS:
        raise Fault(
            f"Graph file {path}: XML of more than {CHARACTERS:,} characters or {TAGS:,} tags "
            "is refused; write an edge list."
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Fault(f"Graph file {path}: is not valid XML: {printable(str(error))}.") from None
