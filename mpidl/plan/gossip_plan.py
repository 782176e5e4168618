"""Gossip plan: graph, weights, algorithm, network, attack and hosts; the same on every rank."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs, strategies
from mpidl.components.algorithms import ALGORITHMS, Algorithm, Lengths
from mpidl.components.strategies import Look
from mpidl.plan import network
from mpidl.plan.conditions import Array, Conditions

MixingWeights = dict[int, tuple[list[int], Any]]
"""For each device the members of its neighborhood and their mixing weights, ``(K,)``."""

SPECTRUM = 2048
"""Most devices for which the dense mixing matrix is stored and decomposed."""


@dataclass(frozen=True)
class Mixing(Conditions):
    """Everything that gossip needs, before any parameter exists, without data and model.

    Attributes:
        hosts: Device to rank, ``(N,)``.
        attackers: The devices that attack, in ascending order.
        samples: Training samples of each device, ``(N,)``; None if no data are placed.
    """

    hosts: npt.NDArray[np.int64]
    attackers: list[int] = field(default_factory=list)
    samples: tuple[int, ...] | None = None

    def hosted(self, rank: int) -> list[int]:
        """The devices of a rank, in ascending order."""
        return [int(device) for device in np.flatnonzero(self.hosts == rank)]

    @cached_property
    def algorithm(self) -> Algorithm:
        """The algorithm."""
        algorithm: Algorithm = ALGORITHMS.build(self.settings.algorithm)
        return algorithm

    @property
    def uniform(self) -> bool:
        """Whether every device takes the mean of all, at once, in every round."""
        at_once = self.settings.exchange.mixing == "synchronous"
        all_alike = not self.algorithm.lazy and self.algorithm.read is None and not self.altered
        return self.complete and self._everyone and at_once and all_alike

    @property
    def altered(self) -> bool:
        """Whether devices mix altered messages (attacks, delays), or mix without weights."""
        return bool(self.attackers or network.longest(self.settings.network) or self.combines)

    @property
    def combines(self) -> bool:
        """Whether the strategy returns mixtures in place of weights."""
        return strategies.combines(self.settings.strategy.name)

    @cached_property
    def mixing_graph(self) -> nx.DiGraph:
        """An edge j -> i if i may read the message of j in some round."""
        if self.sweep is None:
            return self.open_graph
        reach = nx.to_numpy_array(self.open_graph, weight=None).T + np.eye(self.devices)
        read = strategies.sequential(reach, self.sweep) > 0
        np.fill_diagonal(read, False)
        return nx.from_numpy_array(read.T, create_using=nx.DiGraph)

    @cached_property
    def looks(self) -> bool:
        """Whether mixing weights follow from the messages, so that none is known in advance."""
        return strategies.looks(self.settings.strategy.name)

    @cached_property
    def steady(self) -> bool:
        """Whether every round has the same mixing weights."""
        return self.lasts(range(self.devices))

    def lasts(self, devices: Iterable[int]) -> bool:
        """Whether the mixing weights of some devices are the same in every round."""
        steady = strategies.SCHEDULES.properties(self.settings.schedule.name).steady
        if self.looks or not steady or not self.reliable:
            return False
        first, needed = self.at(0), {*devices}
        if self.sweep is not None:
            needed = {*range(self.devices)}
        if self.algorithm.columns:
            needed = needed.union(*(first.graph.pred[device] for device in needed))
            first = first.turned
        views = (first.around(i, 0, self.settings.seed, self.samples) for i in needed)
        return all(strategies.timeless(self.settings.strategy, view) for view in views)

    def learners(self, round_: int) -> set[int]:
        """The active devices that begin a training in a round."""
        seed, trains = self.settings.seed, self.algorithm.trains
        return {i for i in self.active(round_) if trains(seed, i, round_)}

    def mixing_weights(
        self, round_: int, devices: Sequence[int], look: Look | None = None
    ) -> MixingWeights:
        """Members and mixing weights ``(K,)`` of some devices in a round.

        If the strategy :attr:`combines`, the mixture itself is in place of the weights.

        Args:
            round_: Rounds count from 0.
            devices: By number.
            look: Opens inboxes, for a strategy that :attr:`looks`.
        """
        if self.sweep is not None:
            return self._swept(round_, devices)
        return self._mixed_at_once(round_, devices, look)

    def _mixed_at_once(
        self, round_: int, devices: Sequence[int], look: Look | None = None
    ) -> MixingWeights:
        if self.algorithm.columns:
            return self._handed_out(round_, devices)
        return {i: self._row(self.at(round_), i, round_, look) for i in devices}

    def _row(
        self, links: graphs.RoundGraph, device: int, round_: int, look: Look | None = None
    ) -> tuple[list[int], Array]:
        view = links.around(device, round_, self.settings.seed, self.samples)
        weights = strategies.row(self.settings.strategy, self.settings.schedule, view, look)
        lazy = self.algorithm.lazy
        if lazy and not self.combines:
            weights = (1 - lazy) * weights
            weights[0] += lazy
        return view.members, weights

    def _handed_out(self, round_: int, devices: Sequence[int]) -> MixingWeights:
        """Mixing weights from a matrix whose columns are the strategy's weights for each sender."""
        links = self.at(round_)
        facing = links.turned
        members = {i: links.around(i).members for i in devices}
        columns = {
            j: self._row(facing, j, round_) for j in {j for m in members.values() for j in m}
        }
        shares = {j: dict(zip(*column, strict=True)) for j, column in columns.items()}
        return {i: (m, np.array([shares[j][i] for j in m])) for i, m in members.items()}

    def _swept(self, round_: int, devices: Sequence[int]) -> MixingWeights:
        matrix = self.matrix(round_)
        members = {i: graphs.Neighborhood(self.mixing_graph, i).members for i in devices}
        return {i: (m, matrix[i, m]) for i, m in members.items()}

    def matrix(self, round_: int = 0, look: Look | None = None) -> Array:
        """The mixing matrix of a round, ``(N, N)``: ``x_i <- sum_j W[i, j] x_j``.

        ``look`` opens inboxes, for a strategy that :attr:`looks`.
        """
        matrix = strategies.stacked(self._mixed_at_once(round_, range(self.devices), look))
        return matrix if self.sweep is None else strategies.sequential(matrix, self.sweep)

    def settled(self, matrix: Array) -> Array:
        """The matrix by which W mixes models in the long run, row-stochastic, ``(N, N)``.

        If senders share out vectors and masses, models are vectors divided by masses: with settled
        masses m, ``A m = m``, it is ``A[i, j] m_j / m_i``.
        """
        if not self.algorithm.columns:
            return matrix
        mass = graphs.stationary(matrix.T)
        return matrix * mass / np.where(mass > 0, mass, 1.0)[:, None]

    def mixings(self) -> Iterator[Array]:
        """The matrices that mix models in each round, without end: row-stochastic, ``(N, N)``."""
        mass = np.ones(self.devices)
        for round_ in count():
            matrix = self.matrix(round_)
            if self.algorithm.columns:
                after = matrix @ mass
                matrix, mass = matrix * mass / after[:, None], after
            yield matrix

    def influence(self, matrix: Array) -> Array:
        """The share of each device's steps in the consensus, if devices mix by W, ``(N,)``."""
        if self.alike:
            return np.full(self.devices, 1 / self.devices)
        return graphs.stationary(matrix.T if self.algorithm.columns else matrix)

    @property
    def alike(self) -> bool:
        """Whether steps of all devices count the same, as senders share out."""
        return self.algorithm.columns and not self.algorithm.by_mass

    def lengths(self, size: int, learned: int, device: int, itemsize: int = 4) -> Lengths:
        """The quantities from which the lengths of a device's vectors follow.

        Args:
            size: P.
            learned: T, the number of learned values.
            device: The device.
            itemsize: Bytes of a number.
        """
        view = graphs.Neighborhood(self.mixing_graph, device)
        return Lengths(size, learned, view.members, itemsize)

    @property
    def dense(self) -> bool:
        """Whether the mixing matrix is known before the run, and small enough to be stored."""
        return self.devices <= SPECTRUM and not self.looks
