"""Graphs as lines of text: a matrix, a list of links or neighbors, or a list for each round."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.components.graphs import link_weights
from mpidl.components.graphs.files import entries, named
from mpidl.components.graphs.files.listed import Listed, Nodes
from mpidl.components.graphs.files.text import Rows, Text, numbers
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
    nodes = Nodes(text)
    listed = Listed(text, nodes)
    listed.read(text.rows)
    return _topology(text, nodes, listed)


def neighbors(text: Text) -> Topology:
    """The graph of a list in which a row has a device and those that it is linked to.

    Raises:
        Fault: If a row has an entry that is none, or there are no devices.
    """
    nodes = Nodes(text)
    listed = Listed(text, nodes)
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
    nodes = Nodes(text)
    parts = [Listed(text, nodes) for _ in text.starts]
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


def _topology(text: Text, nodes: Nodes, listed: Listed) -> Topology:
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


def _all_names(nodes: Nodes, devices: int) -> list[str]:
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
