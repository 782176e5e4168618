"""Graphs whose nodes have names and whose edges say how they go, in whatever notation."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mpidl.components.graphs.files import entries
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, printable, shown

LONGEST = 100
"""Characters of a name that are kept."""

EXAMPLES = 3
"""Names that are shown as examples."""


@dataclass(frozen=True)
class Edge:
    """An edge as a file gives it.

    Attributes:
        source: A node, as all of the file call it.
        target: Another one.
        both: Whether it goes both ways.
        probability: That it works, as it is written; None where nothing says so.
        weight: What the file counts it; None where nothing says so.
    """

    source: Hashable
    target: Hashable
    both: bool
    probability: object = None
    weight: object = None


def topology(
    path: Path,
    nodes: Mapping[Hashable, str | None],
    edges: Iterable[Edge],
    notes: Sequence[str] = (),
) -> Topology:
    """The graph of nodes and edges on devices 0..N-1, with what nodes are called.

    Args:
        path: The file.
        nodes: In the order of the file what each is called by edges, and its label if it has one.
        edges: Of the file.
        notes: What else a reader of the graph should know.

    Raises:
        Fault: If there are too many, or an edge is none.
    """
    entries.populated(path, len(nodes))
    labels = [str(node) if label is None else label for node, label in nodes.items()]
    numbers = _numbers(labels) or _numbers([str(node) for node in nodes])
    numbers = numbers or list(range(len(nodes)))
    number = dict(zip(nodes, numbers, strict=True))
    names = [""] * len(nodes)
    for index, label in zip(numbers, labels, strict=True):
        names[index] = label
    links = entries.Links(path)
    for edge in edges:
        where = f"the edge from {shown(edge.source)} to {shown(edge.target)}"
        for end in (edge.source, edge.target):
            if end not in number:
                raise Fault(f"Graph file {path}: {where} has an end that is no node, {shown(end)}.")
        chance = 1.0
        if edge.probability is not None:
            chance = entries.probability(path, str(edge.probability), where)
        link = number[edge.source], number[edge.target]
        links.add(link, chance, where, edge.both, edge.weight)
        entries.affordable(path, len(links.chances))
    told = [*links.notes(), *notes]
    return called(entries.topology(len(nodes), links.chances, told, links.carried), names)


def called(found: Topology, names: Sequence[str]) -> Topology:
    """The same with what devices are called, where that is not just their numbers."""
    if _numbers(names) == list(range(len(names))):
        return found
    cut = [printable(name.strip())[:LONGEST] for name in names]
    often = Counter(cut)
    kept = [
        name if name and often[name] == 1 else f"{name} #{number}".strip()
        for number, name in enumerate(cut)
    ]
    examples = ", ".join(
        f"{number} is {shown(name)}" for number, name in enumerate(kept[:EXAMPLES])
    )
    note = f"nodes have names: device {examples}" + (" and so on" if len(kept) > EXAMPLES else "")
    return replace(found, names=tuple(kept), notes=(note, *found.notes))


def unread(beside: bool) -> list[str]:
    """A line where a graph as a whole has a probability, which says nothing of its links."""
    note = "the probability that the file gives the graph as a whole is no link's, and is not read"
    return [note] if beside else []


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The numbers 0..N-1 as which nodes are named, or ``n0`` to ``n(N-1)``; None where not so."""
    for prefix in ("", "n"):
        if {*names} == {f"{prefix}{number}" for number in range(len(names))}:
            return [int(name.removeprefix(prefix)) for name in names]
    return None
