"""Weights that the links of a graph carry, and whether they make a W.

The link from j to i carries ``W[i, j]``. A ``W[i, i]`` that is not given is what row i lacks to 1,
or column i where senders share out. Rows may have negative weights, as those of fastest averaging
have (Xiao and Boyd, 2004), if numbers do not grow without end; columns may not, as masses must stay
positive. Weights that make no W, by rows or by columns, are not kept: they may count anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.spectra import moduli
from mpidl.components.graphs.topology import Topology
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[np.float64]

Link = tuple[int, int]

Entries = tuple[npt.ArrayLike, npt.ArrayLike, npt.NDArray[Any]]
"""Rows, columns and values of entries of a matrix, ``(E,)`` each."""

TOLERANCE = 1e-6
"""Most by which a sum of weights may differ from 1; ``W[i, i]`` takes up the difference."""

LARGEST = 1000
"""Most devices for which W may have negative weights, as its eigenvalues are looked at."""


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
        Fault: If an entry is no number or there twice, or :func:`reasons` speak against both rows
            and columns.
    """
    rows, columns, values = (np.asarray(part)[entries[2] != 0] for part in entries)
    values = values.astype(np.float64)
    if (bad := ~np.isfinite(values)).any():
        k = int(bad.argmax())
        raise Fault(f"{subject}: W[{rows[k]}, {columns[k]}] is {values[k]:.6g}: must be a number.")
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
    if negative := _negative(carried):
        by_columns = by_columns or f"{negative}: must not be negative where senders share out"
        by_rows = by_rows or _grows(devices, carried, negative)
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
    return ""


def _negative(carried: Carried) -> str:
    """The first negative weight, in words; empty if there is none."""
    links: list[tuple[int, ...]] = [end for end, own in carried.links.items() if own < 0]  # type: ignore[operator]
    if links:
        i, j = min(links)
        return f"the link from {i} to {j} has the weight {carried.links[i, j]:.6g}"
    own = [i for i, weight in carried.own.items() if weight < 0]  # type: ignore[operator]
    return f"device {min(own)}'s own has the weight {carried.own[min(own)]:.6g}" if own else ""


def _grows(devices: int, carried: Carried, negative: str) -> str:
    """The reason why numbers would grow without end, mixed by a W with negative weights."""
    if devices > LARGEST:
        return f"{negative}: must not be negative with more than {LARGEST:,} devices"
    matrix = np.zeros((devices, devices))
    for (j, i), own in carried.links.items():
        matrix[i, j] = own
    np.fill_diagonal(matrix, 1 - matrix.sum(axis=1))
    largest = float(moduli(matrix)[0])
    if largest <= 1 + TOLERANCE:
        return ""
    return (
        f"{negative}, and W an eigenvalue of modulus {largest:.6g}: must be at most 1, as numbers "
        "would grow without end"
    )


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
