"""Weights that the links of a graph carry, and whether they make a stochastic W.

The link from j to i carries ``W[i, j]``. A ``W[i, i]`` that is not given is what row i lacks to 1,
or column i where senders share out. Weights that make no stochastic W, by rows or by columns, are
not kept: they may count anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[np.float64]

Link = tuple[int, int]

Entries = tuple[npt.ArrayLike, npt.ArrayLike, npt.NDArray[Any]]
"""Rows, columns and values of entries of a matrix, ``(E,)`` each."""

TOLERANCE = 1e-6
"""Most by which a sum of weights may differ from 1; ``W[i, i]`` takes up the difference."""


@dataclass(frozen=True)
class Carried:
    """Weights as a graph gives them: numbers, or texts of what is none.

    Attributes:
        links: ``W[i, j]`` by link ``(j, i)``.
        own: ``W[i, i]`` by device, where it is given.
    """

    links: Mapping[Link, float | str] = field(default_factory=dict)
    own: Mapping[int, float | str] = field(default_factory=dict)


def number(given: object) -> float | str | None:
    """A weight as a number, however it is written, else as text; None where there is none."""
    if given is None:
        return None
    try:
        found = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return shown(given)
    return found if np.isfinite(found) else shown(given)


def attached(topology: Topology, carried: Carried) -> Topology:
    """A topology that does not change, with weights; its graph is changed in place.

    Where they make no stochastic W they are left out, and :attr:`Topology.amiss` says why.
    """
    if not carried.links and not carried.own:
        return topology
    graph = topology.graph
    amiss = reasons(len(graph), graph.edges, carried)
    if not all(amiss):
        for i, j, attributes in graph.edges(data=True):
            attributes["weight"] = carried.links[i, j]
    return replace(topology, amiss=amiss, notes=(*notes(carried.links, amiss), *topology.notes))


def notes(links: Mapping[Link, float | str], amiss: tuple[str, str]) -> list[str]:
    """A line on the weights of links: what they are for, or why they are left out.

    Args:
        links: The weights.
        amiss: The :func:`reasons` against them.
    """
    if all(amiss):
        # Where all are the same a program wrote them by itself.
        only = f"the weights of its links are no mixing weights ({amiss[0]})"
        return [f"{only}; strategy.name says how links count"] if len({*links.values()}) > 1 else []
    told = "its links carry weights, by which strategy.name = 'given' mixes"
    uneven = next(((i, j) for (i, j), own in links.items() if links.get((j, i)) != own), None)
    if uneven is None:
        return [told] if links else []
    i, j = uneven
    return [f"{told}: by that from {i} to {j}, W[{j}, {i}] is {links[i, j]:.6g}"]


def mixing(subject: str, devices: int, entries: Entries) -> Topology:
    """The topology over which a matrix W mixes: a link from j to i for each ``W[i, j]`` but 0.

    Args:
        subject: What W is called in a message.
        devices: N.
        entries: Rows, columns and values of entries of W, ``(E,)`` each; others are 0.

    Raises:
        Fault: If an entry is no number from 0 up or there twice, or neither rows nor columns all
            sum to 1.
    """
    rows, columns, values = (np.asarray(part)[entries[2] != 0] for part in entries)
    values = values.astype(np.float64)
    if (bad := ~((values >= 0) & np.isfinite(values))).any():
        k = int(bad.argmax())
        raise Fault(
            f"{subject}: W[{rows[k]}, {columns[k]}] is {values[k]:.6g}: must be a number from 0 to "
            "1."
        )
    ends = list(zip(columns.tolist(), rows.tolist(), strict=True))
    found = dict(zip(ends, values.tolist(), strict=True))
    if len(found) < len(ends):
        raise Fault(f"{subject}: some entry of W is there twice; keep one of them.")
    # An entry that a matrix does not have is 0, on the diagonal too.
    own = dict.fromkeys(range(devices), 0.0) | {i: w for (j, i), w in found.items() if i == j}
    links = {(j, i): weight for (j, i), weight in found.items() if i != j}
    graph = nx.empty_graph(devices, create_using=nx.DiGraph)
    graph.add_edges_from(links, probability=1.0)
    made = attached(Topology(graph), Carried(links, own))
    if all(made.amiss):
        raise Fault(f"{subject}: is no W that mixes: {made.amiss[0]}.")
    return made


def reasons(devices: int, links: Iterable[Link], carried: Carried) -> tuple[str, str]:
    """The reasons why weights make no W whose rows sum to 1, and none whose columns do.

    A reason is the end of a sentence, and empty where there is none.

    Args:
        devices: N.
        links: All links, ``(source, target)``.
        carried: Their weights.
    """
    if reason := _unfit(links, carried):
        return reason, reason
    own = np.full(devices, np.nan)
    own[[*carried.own]] = [*carried.own.values()]
    ends = np.array([*carried.links], np.int64).reshape(-1, 2)
    weights = np.fromiter(carried.links.values(), np.float64, len(ends))
    by_rows, by_columns = (
        _sums(np.bincount(ends[:, side], weights, devices).astype(np.float64), own, text)
        for side, text in ((1, ROW), (0, COLUMN))
    )
    return by_rows, by_columns


def round_reasons(
    devices: int, links: Mapping[int, Iterable[Link]], carried: Mapping[int, Carried]
) -> tuple[str, str]:
    """The :func:`reasons` for graphs of several rounds, by round: of the first in which one is."""
    rows = columns = ""
    if any(one.links or one.own for one in carried.values()):
        for round_, own in carried.items():
            found = reasons(devices, links[round_], own)
            told = [f"from round {round_} on, {reason}" if reason else "" for reason in found]
            rows, columns = rows or told[0], columns or told[1]
    return rows, columns


ROW = "in row {0} of W, the weights by which device {0} counts others{1}"

COLUMN = "in column {0} of W, the weights by which {2}others count device {0}"


def _unfit(links: Iterable[Link], carried: Carried) -> str:
    """The reason why some weight is none of a stochastic W; empty if all may be."""
    named = [(f"the link from {i} to {j}", carried.links.get((i, j))) for i, j in links]
    named += [(f"device {i}'s own", weight) for i, weight in carried.own.items()]
    for name, weight in named:
        if not isinstance(weight, float):
            has = "no weight" if weight is None else f"the weight {weight}"
            return f"{name} has {has}: must be a number"
        if weight < 0:
            return f"{name} has the weight {weight:.6g}: must not be negative"
    return ""


def _sums(others: Array, own: Array, text: str) -> str:
    """The reason why a row or column does not sum to 1; empty if all do."""
    known = np.isfinite(own)
    total = others + np.where(known, own, 0.0)
    wrong = np.where(known, np.abs(total - 1), total - 1) > TOLERANCE
    if not wrong.any():
        return ""
    device = int(wrong.argmax())
    with_own = bool(known[device])
    begin = text.format(device, " and itself" * with_own, "it and " * with_own)
    allowed = "must be 1" if with_own else "must be at most 1, as its own is the rest"
    return f"{begin} sum to {total[device]:.9g}: {allowed}"
