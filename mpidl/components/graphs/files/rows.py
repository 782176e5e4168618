"""Graphs as lines of text: a matrix, a list of links or neighbors, or a list for each round."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.files import attributes, entries, named
from mpidl.components.graphs.files.text import ENDS, Rows, Text, numbers
from mpidl.components.graphs.link_weights import Carried
from mpidl.components.graphs.sequences import Links, Sequence
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault

TOLD = 3
"""Most devices that a note lists."""


def matrix(path: Path, rows: Rows) -> Topology:
    """The graph of an adjacency matrix, with a line for each device.

    Raises:
        Fault: If an entry is no probability, or there are too many links.
    """
    links: entries.Chances = {}
    for i, (number, row) in enumerate(rows):
        for j, entry in enumerate(numbers(row)):
            if entry in {"0", "1"}:
                chance = float(entry)
            else:
                chance = entries.probability(path, entry, f"line {number}, column {j + 1}")
            if chance == 0:
                continue
            if i == j:
                raise Fault(
                    f"Graph file {path}: line {number} links device {i} to itself; write 0. A "
                    "mixing matrix W has a line '# matrix: W' above it."
                )
            links[j, i] = chance
        entries.affordable(path, len(links))
    return entries.topology(len(rows), links)


def mixing(path: Path, rows: Rows) -> Topology:
    """The graph over which a mixing matrix W mixes, with a line for each device.

    Raises:
        Fault: If it is no such matrix, or there are too many links.
    """
    found: list[tuple[int, int, float]] = []
    for i, (number, row) in enumerate(rows):
        written = numbers(row)
        if len(written) != len(rows):
            raise Fault(
                f"Graph file {path}: line {number} has {len(written)} entries; a mixing matrix of "
                f"{len(rows)} rows has {len(rows)} in each."
            )
        for j, entry in enumerate(written):
            if value := entries.weight(path, entry, f"line {number}, column {j + 1}"):
                found.append((i, j, value))
        entries.affordable(path, len(found))
    ends = np.array([(i, j) for i, j, _ in found], np.int64).reshape(-1, 2)
    values = np.array([value for *_, value in found], np.float64)
    return link_weights.mixing(f"Graph file {path}", len(rows), (*ends.T, values))


def ragged(path: Path, rows: Rows, read: str) -> Fault:
    """The fault of lines that are neither a matrix nor a list; ``read`` lists allowed kinds."""
    first = len(numbers(rows[0][1]))
    for number, row in rows:
        if (width := len(numbers(row))) != first:
            return Fault(
                f"Graph file {path}: line {number} has {width} entries where the first has "
                f"{first}; an adjacency matrix is square, an edge list has rows of 2 or 3. {read}"
            )
    return Fault(
        f"Graph file {path}: {len(rows)} rows of {first} entries; an adjacency matrix must be "
        f"square, an edge list has rows of 2 or 3. {read}"
    )


def edges(text: Text) -> Topology:
    """The graph of a list of links.

    Raises:
        Fault: If a row is no link, or there are no devices.
    """
    _take_header(text)
    nodes = _Nodes(text)
    listed = _Listed(text, nodes)
    listed.read(text.rows)
    return _topology(text, nodes, listed)


def neighbors(text: Text) -> Topology:
    """The graph of a list in which a row has a device and those that it is linked to.

    Raises:
        Fault: If a row has an entry that is none, or there are no devices.
    """
    nodes = _Nodes(text)
    listed = _Listed(text, nodes)
    for number, row in text.rows:
        where, members = f"line {number} of the adjacency list", numbers(row)
        if not members:
            raise Fault(f"Graph file {text.path}: {where} must be 'i' and its neighbors.")
        nodes.number(members[0], where)
        for other in members[1:]:
            listed.add(members[0], other, 1.0, where)
        entries.affordable(text.path, len(listed.links.chances))
    return _topology(text, nodes, listed)


def sequence(text: Text) -> Topology:
    """The topology of a list for each round.

    Raises:
        Fault: If a row is no link, or rounds do not fit.
    """
    path, rows = text.path, text.rows
    if min(text.starts.values(), default=1) > 0:
        raise Fault(f"Graph file {path}: has links before its first line '# round: 0'.")
    last = max(text.starts)
    if text.period is not None and text.period <= last:
        raise Fault(
            f"Graph file {path}: the line '# period: {text.period}' must be above its last round, "
            f"{last}."
        )
    begins = [*text.starts.values(), len(rows)]
    nodes = _Nodes(text)
    parts = [_Listed(text, nodes) for _ in text.starts]
    for part, (begin, end) in zip(parts, pairwise(begins), strict=True):
        part.read(rows[begin:end])
    listed = [part.both_ways() for part in parts]
    entries.affordable(path, sum(map(len, listed)))
    size = text.devices or nodes.largest + 1
    entries.populated(path, size)
    carried = {first: part.carried() for first, part in zip(text.starts, parts, strict=True)}
    amiss = link_weights.round_reasons(size, dict(zip(carried, listed, strict=True)), carried)
    has = any(one.links for one in carried.values()) and not all(amiss)
    graphs = {
        first: _links(links, carried[first] if has else None)
        for first, links in zip(text.starts, listed, strict=True)
    }
    found = Sequence(size, graphs.__getitem__, text.period or last + 1, list(text.starts))
    notes = link_weights.notes(
        {k: w for one in carried.values() for k, w in one.links.items()}, amiss
    )
    notes += [note for part in parts for note in part.notes()]
    notes = [*dict.fromkeys(notes), *text.notes]
    made = Topology(found.union(last + 1), found, notes=tuple(notes), amiss=amiss)
    return named.called(made, _all_names(nodes, size)) if nodes.called else made


def _links(chances: entries.Chances, carried: Carried | None) -> Links:
    """The links of a round, with their weights if they have any."""
    ends = np.array([*chances], np.int64).reshape(-1, 2)
    weights = None if carried is None else np.array([carried.links[link] for link in chances])
    return Links(ends, weights, np.array([*chances.values()]))


def _topology(text: Text, nodes: "_Nodes", listed: "_Listed") -> Topology:
    links = listed.both_ways()
    devices = text.devices or nodes.largest + 1
    entries.populated(text.path, devices)
    notes = [*listed.notes(), *text.notes]
    found = entries.topology(devices, links, notes, listed.carried())
    if nodes.called:
        return named.called(found, _all_names(nodes, devices))
    if text.devices is None and (unlinked := _unlinked(found.graph)):
        return replace(found, unlinked=unlinked, notes=(*found.notes, unlinked))
    return found


def _all_names(nodes: "_Nodes", devices: int) -> list[str]:
    return [*nodes.called, *[""] * (devices - len(nodes.called))]


def _unlinked(graph: nx.DiGraph) -> str:
    """A note if numbers below the largest one are in no link, else empty."""
    found = [device for device in graph if not graph.degree(device)]
    if not found:
        return ""
    if found == [0]:
        return (
            "device 0 has no link: do the numbers begin at 1? Then a line '# numbered from: 1' "
            "makes 1 device 0"
        )
    some = ", ".join(map(str, found[:TOLD]))
    return (
        f"{len(found)} of {len(graph)} devices have no link ({some}{', ...' * (len(found) > TOLD)})"
        ": do the numbers have gaps? Devices are all numbers from 0 to the largest"
    )


class _Nodes:
    """The nodes of a file, by their numbers or names in it.

    Attributes:
        called: Names in the order of the file, and their numbers; empty if nodes are numbers.
        largest: The largest number.
    """

    def __init__(self, text: Text) -> None:
        self._path, self._first = text.path, text.first
        self._most = (text.devices or entries.DEVICES) - 1
        self._named: bool | None = None
        self.called: dict[str, int] = {}
        self.largest = -1

    def number(self, entry: str, where: str) -> int:
        """The number of a node; if nodes have names, its position among them."""
        if self._named is None:
            self._named = _names(entry)
        found = self._place(entry, where) if self._named else self._numbered(entry, where)
        if found > self.largest:
            self.largest = found
        return found

    def _place(self, entry: str, where: str) -> int:
        if not _names(entry):
            raise Fault(
                f"Graph file {self._path}: {where} has {entry[:40]!r}, and nodes before it have "
                "names; either all have names or all have numbers."
            )
        found = self.called.setdefault(entry, len(self.called))
        if found > self._most:
            raise Fault(
                f"Graph file {self._path}: {where} has one more name, {entry[:40]!r}, than there "
                f"may be devices, {self._most + 1:,}."
            )
        return found

    def _numbered(self, entry: str, where: str) -> int:
        least, most = self._first, self._most + self._first
        # Of millions of entries nearly all are plain numbers, which this tells fastest.
        if (
            entry.isdecimal()
            and entry.isascii()
            and len(entry) < 18
            and least <= int(entry) <= most
        ):
            return int(entry) - least
        if entry == str(most + 1) and not least:
            raise Fault(
                f"Graph file {self._path}: {where} has {entry!r} where a whole number from 0 to "
                f"{most} is needed; numbers that begin at 1 need a line '# numbered from: 1'."
            )
        return entries.whole(self._path, entry, where, least, most) - least


class _Listed:
    """A list of links that is read row by row; ``links`` has them as they are written."""

    def __init__(self, text: Text, nodes: _Nodes) -> None:
        self._text, self._nodes = text, nodes
        self._mutual, self._again = 0, ""
        self.links = entries.Links(text.path)

    def read(self, rows: Rows) -> None:
        """Add a link for each row."""
        path = self._text.path
        _check_first(path, rows[:1])
        for number, line in rows:
            where, row = f"line {number} of the edge list", numbers(line)
            chance, weight = self._columns(row, where)
            self.add(row[0], row[1], chance, where, weight)

    def _columns(self, row: list[str], where: str) -> tuple[float, object]:
        """The probability of a row, and its weight if it has one."""
        path, columns = self._text.path, self._text.columns
        if columns is not None:
            if len(row) != 2 + len(columns):
                named = " ".join(("i j", *columns))
                raise Fault(f"Graph file {path}: {where} must be '{named}', as its columns are.")
            given = dict(zip(columns, row[2:], strict=True))
            chance = entries.probability(path, given.get("probability", "1"), where)
            written = given.get("weight")
            return chance, None if written is None else entries.weight(path, written, where)
        if len(row) not in (2, 3):
            raise Fault(
                f"Graph file {path}: {where} must be 'i j' or 'i j probability', or 'i j' and "
                "a dictionary of attributes as networkx writes it."
            )
        if len(row) == 3 and row[2].startswith("{"):
            attribute = attributes.read(path, row[2], where)
            works = entries.probability(path, str(attribute.get("probability", 1.0)), where)
            return works, attribute.get("weight")
        return entries.probability(path, row[2], where) if len(row) == 3 else 1.0, None

    def add(
        self, source: str, target: str, chance: float, where: str, weight: object = None
    ) -> None:
        """Add a link between two nodes as they are written."""
        i, j = (self._nodes.number(end, where) for end in (source, target))
        if (j, i) in self.links.chances and (i, j) not in self.links.chances:
            self._mutual += 1
            self._again = self._again or f"{where} repeats the link of {i} and {j}"
        self.links.add((i, j), chance, where, weight=weight)

    def both_ways(self) -> entries.Chances:
        """The links in both directions, if the file does not say that they go one way.

        Raises:
            Fault: If some are written in both directions, and not all of them alike.
        """
        chances = self.links.chances
        if self._text.directed:
            return chances
        if not self._mutual:
            return {**chances, **{(j, i): chance for (i, j), chance in chances.items()}}
        one_way = "a list in which each line is one direction needs a line '# directed'"
        if 2 * self._mutual < len(chances):
            raise Fault(
                f"Graph file {self._text.path}: {self._again}, and other links are there in one "
                f"direction only; {one_way}."
            )
        if any(chances[j, i] != chance for (i, j), chance in chances.items()):
            raise Fault(
                f"Graph file {self._text.path}: {self._again}, and some have another probability "
                f"in each direction; {one_way}."
            )
        return chances

    def carried(self) -> Carried:
        """The weights of the links in both directions, as :meth:`both_ways`, and of devices."""
        links = self.links.weights
        if not self._text.directed:
            links = {(j, i): weight for (i, j), weight in links.items()} | links
        return Carried(links, self.links.own)

    def notes(self) -> list[str]:
        """Notes about the list for a reader of the graph, a line each."""
        both = self._mutual and not self._text.directed
        note = "each link is written in both directions: it is one that goes both ways"
        return [note] * bool(both) + self.links.notes()


def _check_first(path: Path, rows: Rows) -> None:
    for number, line in rows:
        if tuple(numbers(line.lower())[:2]) in ENDS[1:]:
            raise Fault(
                f"Graph file {path}: line {number} of the edge list, {line[:40]!r}, names columns "
                "and is no link; leave it out, or begin it with '#'."
            )


def _names(entry: str) -> bool:
    """Whether an entry is a name, and nothing that could be meant as a number."""
    try:
        float(entry)
    except ValueError:
        return True
    return False


def _take_header(text: Text) -> None:
    """Take a first row that has the number of devices, or those of devices and links.

    Raises:
        Fault: If such a row may as well be a link.
    """
    if text.devices is not None or len(text.rows) < 2:
        return
    number, row = text.rows[0]
    found = numbers(row)
    if len(found) not in (1, 2) or not all(re.fullmatch("[0-9]{1,9}", entry) for entry in found):
        return
    where, devices = f"line {number} ({row})", int(found[0])
    if len(found) == 1:
        text.devices = entries.whole(text.path, row, where, 1, entries.DEVICES)
        text.notes.append(f"{where} is the number of devices")
    elif _counts(text, devices, int(found[1])):
        text.devices = devices
        note = f"{where} is a header: {devices} devices and {found[1]} lines of links"
        text.notes.append(note)
        rest = replace(text, rows=text.rows[1:])
        if int(found[1]) < devices and nx.is_strongly_connected(edges(rest).graph):
            raise Fault(
                f"Graph file {text.path}: {where} may be a header, {devices} devices and "
                f"{found[1]} lines of links, or one more link, and both make a connected graph; "
                f"write '# devices: {devices}' in its place or '# devices: {devices + 1}' above it."
            )
    else:
        return
    del text.rows[0]


def _counts(text: Text, devices: int, links: int) -> bool:
    """Whether a first row of two numbers can be how many devices and lines of links follow."""
    if links != len(text.rows) - 1 or not 1 <= devices <= entries.DEVICES:
        return False
    ends = (entry for _, row in text.rows[1:] for entry in numbers(row)[:2])
    below = range(text.first, devices + text.first)
    return all(re.fullmatch("[0-9]{1,9}", entry) and int(entry) in below for entry in ends)
