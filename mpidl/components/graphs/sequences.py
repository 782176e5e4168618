"""Topologies that change: a graph for each round, and the links of all rounds."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components.graphs.limits import LINKS
from mpidl.config.faults import Fault, shown

Ends = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

PERIOD = 64
"""Most graphs of a repeating topology that are all kept; of others only the latest are."""

LATEST = 8

DISTINCT = 16
"""First rounds that represent a topology that does not repeat, whatever the rounds of a run."""


@dataclass(frozen=True)
class Links:
    """The directed links of one round.

    Attributes:
        ends: Source and target of each, ``(E, 2)``, without duplicates.
        weight: The weight of each in a mixture, ``(E,)``; None if the topology has no weights.
        probability: The chance that each works, ``(E,)``; None if it is 1.
    """

    ends: Ends
    weight: Array | None = None
    probability: Array | None = None


@dataclass(frozen=True, eq=False)
class Sequence:
    """A topology that changes from round to round; the same on every rank, in any order of calls.

    Attributes:
        devices: N.
        draw: Returns the links of a round, which depend on the round alone.
        period: Rounds after which it repeats; None if it never does.
        starts: The first round of each graph of a period, if a graph stays for several rounds.
        probability: The chance that a link works, if its own is 1.
        refresh: Rounds after which centralities are computed again, from a later graph.
    """

    devices: int
    draw: Callable[[int], Links]
    period: int | None = None
    starts: Listed[int] | None = None
    probability: float = 1.0
    refresh: int = 1
    _made: Callable[[int], nx.DiGraph] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        graphs = PERIOD + 1 if self.period is None else len(self._turns(self.period))
        kept = graphs if graphs <= PERIOD else LATEST
        object.__setattr__(self, "_made", lru_cache(kept)(self._make))

    def _turn(self, round: int) -> int:
        """The round whose links are drawn for a round."""
        turn = round if self.period is None else round % self.period
        return turn if self.starts is None else self.starts[bisect_right(self.starts, turn) - 1]

    def _turns(self, rounds: int) -> Listed[int]:
        """All rounds whose links are drawn for the first rounds."""
        rounds = rounds if self.period is None else min(rounds, self.period)
        if self.starts is None:
            return range(rounds)
        return self.starts[: bisect_right(self.starts, rounds - 1)]

    def at(self, round: int) -> nx.DiGraph:
        """The graph of a round on all N devices; one object as long as it is in use.

        Edge attribute ``probability`` is the chance of each link, ``weight`` its weight in a
        mixture, if the topology has weights.
        """
        return self._made(self._turn(round))

    @property
    def weighted(self) -> bool:
        """Whether links have weights."""
        return self.draw(0).weight is not None

    def guarded(self, subject: str) -> "Sequence":
        """The same, with a check of what is drawn; of links that are there twice in round 0 only.

        Raises:
            Fault: If round 0 has no links between devices; a later round when it is drawn. The
                sentence begins with the subject.
        """

        def draw(round: int) -> Links:
            links = self.draw(round)
            self._check(links, f"{subject}: in round {round + 1} it draws")
            return links

        codes = self._codes(links := draw(0))
        if (links.ends[:, 0] == links.ends[:, 1]).any() or len(np.unique(codes)) < len(codes):
            raise Fault(
                f"{subject}: in round 1 it draws a link from a device to itself, or one twice: "
                "must be neither."
            )
        return replace(self, draw=draw)

    def _check(self, links: object, begin: str) -> None:
        if not isinstance(links, Links):
            raise Fault(f"{begin} {shown(links)}: must be Links.")
        ends: Any = links.ends
        if not isinstance(ends, np.ndarray):
            raise Fault(f"{begin} ends {shown(ends)}: must be an array (E, 2).")
        if ends.ndim != 2 or ends.shape[1] != 2 or ends.dtype.kind not in "iu":
            raise Fault(
                f"{begin} ends of the shape {ends.shape} and type {ends.dtype}: must be whole "
                "numbers (E, 2), source and target of each link."
            )
        if len(ends) and not 0 <= ends.min() <= ends.max() < self.devices:
            raise Fault(
                f"{begin} links between devices {ends.min()} to {ends.max()}: must be from 0 to "
                f"{self.devices - 1}."
            )
        for name, values in (("weight", links.weight), ("probability", links.probability)):
            if values is not None and np.shape(values) != (len(ends),):
                raise Fault(
                    f"{begin} {name} of the shape {np.shape(values)}: must be ({len(ends)},), one "
                    "for each link."
                )

    def measured(self, round: int) -> nx.DiGraph:
        """The graph from which centralities of a round follow."""
        return self.at(round - round % self.refresh)

    def _make(self, turn: int) -> nx.DiGraph:
        links = self.draw(turn)
        graph = nx.empty_graph(self.devices, create_using=nx.DiGraph)
        given = {"probability": self._chances(links)}
        if links.weight is not None:
            given["weight"] = links.weight
        columns = [values.tolist() for values in given.values()]
        graph.add_edges_from(
            (i, j, dict(zip(given, values, strict=True)))
            for (i, j), *values in zip(links.ends.tolist(), *columns, strict=True)
        )
        return graph

    def _chances(self, links: Links) -> Array:
        if links.probability is None:
            return np.full(len(links.ends), self.probability)
        return np.where(links.probability < 1, links.probability, self.probability)

    def union(self, rounds: int) -> nx.DiGraph:
        """The graph of all links that work in any of the first rounds.

        A link's ``probability`` is the largest that it has in these rounds.

        Raises:
            Fault: If there are too many links.
        """
        found, chances = np.empty(0, np.int64), np.empty(0)
        for codes, chance in self._batches(rounds):
            codes, place = np.unique(np.concatenate([found, codes]), return_inverse=True)
            found, before = codes, np.concatenate([chances, chance])
            chances = np.zeros(len(codes))
            np.maximum.at(chances, place, before)
            if len(found) > LINKS:
                raise Fault(
                    f"topology.devices = {self.devices}: over training.rounds = {rounds} this "
                    f"topology has more directed links than the {LINKS:,} that are allowed."
                )
            if self.period is None and len(found) == self.devices * (self.devices - 1):
                # No later round brings any more.
                break
        graph = nx.empty_graph(self.devices, create_using=nx.DiGraph)
        ends = zip((found // self.devices).tolist(), (found % self.devices).tolist(), strict=True)
        graph.add_edges_from(
            (i, j, {"probability": p}) for (i, j), p in zip(ends, chances.tolist(), strict=True)
        )
        return graph

    def typical(self) -> nx.DiGraph:
        """All links of a period, or of the first rounds if it never repeats, whatever a run has."""
        return self.union(self.period or DISTINCT)

    def _batches(self, rounds: int) -> Iterator[tuple[Ends, Array]]:
        """Links of the first rounds as numbers ``i N + j``, with their chances, in large pieces.

        Each piece is as large as all before it, so that sorting them costs little.
        """
        pieces: list[tuple[Ends, Array]] = []
        held, before = 0, 1 << 16
        for turn in self._turns(rounds):
            links = self.draw(turn)
            pieces.append((self._codes(links), self._chances(links)))
            held += len(links.ends)
            if held >= before:
                yield _joined(pieces)
                pieces, held, before = [], 0, before + held
        if pieces:
            yield _joined(pieces)

    def _codes(self, links: Links) -> Ends:
        return links.ends[:, 0] * self.devices + links.ends[:, 1]

    def distinct(self) -> Iterator[Array]:
        """Links, chances and weights, round by round, by which this sequence differs from others.

        The rounds are a period, or the first ones if it never repeats, whatever a run has.
        """
        for turn in self._turns(self.period or DISTINCT):
            links = self.draw(turn)
            order = np.argsort(self._codes(links))
            columns = [*links.ends.T, self._chances(links)]
            columns += [] if links.weight is None else [links.weight]
            yield np.column_stack([np.full(len(order), turn), *(c[order] for c in columns)])


def _joined(pieces: list[tuple[Ends, Array]]) -> tuple[Ends, Array]:
    codes, chances = zip(*pieces, strict=True)
    return np.concatenate(codes), np.concatenate(chances)


def both(ends: Ends) -> Ends:
    """Undirected links, ``(E, 2)``, in both directions, ``(2 E, 2)``."""
    return np.concatenate([ends, ends[:, ::-1]])
