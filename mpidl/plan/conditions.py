"""Conditions of each round: active devices, working links, and their delays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs, strategies
from mpidl.config import seeds
from mpidl.config.runfile import MixingSettings
from mpidl.plan import network

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Conditions:
    """The rounds of gossip, as settings and topology decide them; rounds count from 0.

    Attributes:
        settings: The settings of gossip in a run file.
        topology: The topology.
    """

    settings: MixingSettings
    topology: graphs.Topology

    @property
    def devices(self) -> int:
        """N."""
        return len(self.topology)

    @property
    def graph(self) -> nx.DiGraph:
        """All links of the topology."""
        return self.topology.graph

    @property
    def complete(self) -> bool:
        """Whether the strategy replaces the graph by the complete graph."""
        return strategies.STRATEGIES.properties(self.settings.strategy.name).complete

    @property
    def _everyone(self) -> bool:
        """Whether all devices take part in every round."""
        return self.settings.participation == 1 and self._presence.steady

    @cached_property
    def _presence(self) -> network.Presence:
        return network.Presence(self.settings.network, self.devices, self.settings.seed)

    @cached_property
    def sweep(self) -> list[int] | None:
        """The order in which devices mix in place, or None where all mix at once."""
        if self.settings.exchange.mixing != "sequential":
            return None
        return self.settings.exchange.sequence or list(range(self.devices))

    @cached_property
    def open(self) -> graphs.Topology:
        """The topology over which the strategy mixes."""
        return self.topology.completed() if self.complete else self.topology

    @property
    def open_graph(self) -> nx.DiGraph:
        """The links over which the strategy mixes, if all of them work."""
        return self.open.graph

    @property
    def changing(self) -> bool:
        """Whether the links over which the strategy mixes differ from round to round."""
        return self.open.sequence is not None

    @property
    def reliable(self) -> bool:
        """Whether every link works in every round."""
        return self._everyone and self.open.reliable

    @property
    def uneven(self) -> bool:
        """Whether links are late or fail, or devices are away, in some round."""
        return not self.reliable or network.longest(self.settings.network) > 0

    def active(self, round_: int) -> set[int]:
        """The active devices of a round: those that are drawn for it and present."""
        if self._everyone:
            return {*range(self.devices)}
        return set(np.flatnonzero(self._takes_part(round_)).tolist())

    def _takes_part(self, round_: int) -> Array:
        """Whether each device is active in a round, ``(N,)``."""
        share, present = self.settings.participation, self._presence(round_)
        if share == 1:
            return present
        draw = seeds.stream(self.settings.seed, "participation", round_)
        drawn = draw.choice(self.devices, max(1, round(share * self.devices)), replace=False)
        return present & np.isin(np.arange(self.devices), drawn)

    @property
    def links(self) -> Array:
        """The links over which the strategy mixes, ascending, ``(L, 2)``: source and target."""
        return graphs.ends(self.open_graph)

    @cached_property
    def _keys(self) -> Array:
        """A number for each of the links, ascending, ``(L,)``."""
        return self._numbered(self.links)

    def _numbered(self, links: Array) -> Array:
        numbers: Array = links[:, 0] * self.devices + links[:, 1]
        return numbers

    def lags(self, round_: int) -> Array:
        """The rounds by which messages on each of the links are late, ``(L,)``.

        It is -1 if no message arrives, as the link fails or an end is not active; it is at most the
        number of earlier rounds.
        """
        settings, count = self.settings, len(self.links)
        if settings.exchange.mixing == "delayed":
            lags = np.ones(count, np.int64)
        else:
            lags = network.delays(settings.network, count, settings.seed, round_)
        lags = np.minimum(lags, round_)
        failed = self.open.failures(round_, settings.seed)
        lags[np.searchsorted(self._keys, self._numbered(failed))] = -1
        lags[~self._takes_part(round_)[self.links].all(axis=1)] = -1
        return lags

    def readable(self, devices: Iterable[int]) -> list[int]:
        """Some devices and all their in-neighbors in any round, in ascending order."""
        own = set(devices)
        return sorted(own.union(*(self.open_graph.pred[device] for device in own)))

    def late(self, round_: int, devices: Sequence[int]) -> dict[int, dict[int, int]]:
        """For some devices, the rounds by which messages of in-neighbors are late, if they are."""
        lags, late = self.lags(round_), {device: dict[int, int]() for device in devices}
        chosen = (lags > 0) & np.isin(self.links[:, 1], devices)
        for (source, target), lag in zip(self.links[chosen].tolist(), lags[chosen], strict=True):
            late[target][source] = int(lag)
        return late

    def traffic(self, round_: int, message: int) -> network.Traffic:
        """The traffic of a round, with the bytes of a message."""
        lags = self.lags(round_)
        works = lags >= 0
        return network.Traffic(self.links[works], lags[works], self._takes_part(round_), message)

    def at(self, round_: int) -> graphs.RoundGraph:
        """The links that work in a round, between active devices."""
        if round_ not in self._latest:
            working, active = self.open.at(round_, self.settings.seed), self.active(round_)
            self._latest.clear()
            everyone = len(active) == self.devices
            self._latest[round_] = working if everyone else working.among(active)
        return self._latest[round_]

    @cached_property
    def _latest(self) -> dict[int, graphs.RoundGraph]:
        return {}

    def round_graph(self, round_: int) -> nx.DiGraph:
        """The links of :meth:`at`."""
        return self.at(round_).graph

    def wanted(self, round_: int) -> nx.DiGraph | None:
        """An edge j -> i if i reads the message of j in a round, for a graph that changes.

        None if any link of :attr:`mixing_graph` may be read: in a sweep, in which devices mix in
        turn, and with delays, as a link may bring a message that was sent when it was not there.
        """
        all_links = self.sweep is not None or network.longest(self.settings.network) > 0
        return self.round_graph(round_) if self.changing and not all_links else None
