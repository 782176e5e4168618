"""What follows from a run file alone: graph, weights, hosts, data; the same on every rank."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl import attacks, graphs, network, placement, refusals, runfile, seeds, strategies
from mpidl.algorithms import ALGORITHMS, Algorithm, Lengths
from mpidl.datasets import DATASETS
from mpidl.exchange import BACKENDS
from mpidl.faults import Fault, shown
from mpidl.models import MODELS
from mpidl.ood import OODS
from mpidl.runfile import RunFile
from mpidl.strategies import Look

Array = npt.NDArray[Any]
Rows = dict[int, tuple[list[int], Any]]

KINDS = {
    "topology": graphs.TOPOLOGIES,
    "strategy": strategies.STRATEGIES,
    "schedule": strategies.SCHEDULES,
    "algorithm": ALGORITHMS,
    "data": DATASETS,
    "ood": OODS,
    "placement": placement.PLACEMENTS,
    "model": MODELS,
    "exchange": BACKENDS,
    "attack": attacks.ATTACKS,
}
"""By section of a run file, what can be named there."""

SPECTRUM = 2048
"""Devices. Above this the dense mixing matrix is neither stored nor decomposed."""


FREE: dict[str, list[str] | None] = {
    **runfile.UNTOLD,
    "topology": ["file"],
    "training": ["rounds", "threads", "accelerator", "batched", "nonfinite"],
    "exchange": ["backend", "accelerator_aware"],
}
"""What may change when a run is continued: by section settings, or all of it."""


def read(source: Path | None, overrides: Sequence[str], ranks: int) -> RunFile:
    """Read a run file against everything that can be named in it.

    Args:
        source: A TOML file; None means the embedded default, sized to the number of ranks.
        overrides: ``section.key=value`` each.
        ranks: How many ranks were started.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    if source is not None:
        return runfile.read(source, overrides, KINDS)
    text = Path(__file__).with_name("default.toml").read_text(encoding="utf-8")
    wanted = _devices(overrides) or ranks
    stored = any(override.partition("=")[0].strip() == "topology.file" for override in overrides)
    # Barabasi and Albert's growth needs more devices than links per new device.
    small = ["topology.name=complete"] if wanted <= 2 and not stored else []
    return runfile.read(text, [*small, *overrides], KINDS)


def _devices(overrides: Sequence[str]) -> int | None:
    for override in reversed(overrides):
        key, _, value = override.partition("=")
        if key.strip() == "topology.devices" and re.fullmatch("[0-9]{1,9}", value.strip()):
            return int(value)
    return None


@dataclass(frozen=True)
class Plan:
    """A run before any parameter exists.

    Attributes:
        file: The run file, with the number of devices filled in.
        graph: The topology: an edge j -> i means that the parameters of j arrive at i.
        sources: The devices that hold out-of-distribution data, ascending.
        hosts: Device to rank, ``(N,)``.
        attackers: The devices that send what they should not, ascending.
        stragglers: The devices that are slow by the clock of the network, ascending.
    """

    file: RunFile
    graph: nx.DiGraph
    sources: list[int]
    hosts: npt.NDArray[np.int64]
    attackers: list[int] = field(default_factory=list)
    stragglers: list[int] = field(default_factory=list)

    @property
    def devices(self) -> int:
        """N."""
        return len(self.graph)

    def hosted(self, rank: int) -> list[int]:
        """The devices of a rank, ascending."""
        return [int(device) for device in np.flatnonzero(self.hosts == rank)]

    @cached_property
    def algorithm(self) -> Algorithm:
        """What a device does around training and mixing."""
        found: Algorithm = ALGORITHMS.build(self.file.algorithm)
        return found

    @property
    def complete(self) -> bool:
        """Whether the strategy replaces the graph by the complete one."""
        return self.file.strategy.name in strategies.COMPLETE

    @property
    def uniform(self) -> bool:
        """Whether every device takes the mean of all, at once, in every round."""
        at_once = self.file.exchange.mixing == "synchronous"
        all_alike = not self.algorithm.lazy and self.algorithm.read is None and not self.altered
        return self.complete and self._everyone and at_once and all_alike

    @property
    def _everyone(self) -> bool:
        """Whether all devices take part in every round."""
        return self.file.training.participation == 1 and self._presence.steady

    @cached_property
    def _presence(self) -> network.Presence:
        return network.Presence(self.file.network, self.devices, self.file.training.seed)

    @property
    def altered(self) -> bool:
        """Whether devices mix what neighbors have not just trained, or not by weights."""
        return bool(self.attackers or network.longest(self.file.network) or self.combines)

    @property
    def combines(self) -> bool:
        """Whether the strategy gives mixtures in place of weights."""
        return strategies.combines(self.file.strategy.name)

    @cached_property
    def sequence(self) -> list[int] | None:
        """The order in which devices mix in place, or None where all mix at once."""
        if self.file.exchange.mixing != "sequential":
            return None
        return self.file.exchange.sequence or list(range(self.devices))

    @cached_property
    def open_graph(self) -> nx.DiGraph:
        """The links over which the strategy mixes, if all of them work."""
        return graphs.completed(self.graph) if self.complete else self.graph

    @cached_property
    def mixing_graph(self) -> nx.DiGraph:
        """An edge j -> i wherever i may read the vector of j in some round."""
        if self.sequence is None:
            return self.open_graph
        reach = nx.to_numpy_array(self.open_graph, weight=None).T + np.eye(self.devices)
        read = strategies.sequential(reach, self.sequence) > 0
        np.fill_diagonal(read, False)
        return nx.from_numpy_array(read.T, create_using=nx.DiGraph)

    @cached_property
    def looks(self) -> bool:
        """Whether rows follow from the vectors that arrive, so that none is known before."""
        return strategies.looks(self.file.strategy.name)

    @cached_property
    def changing(self) -> bool:
        """Whether the links over which the strategy mixes are others in each round."""
        return graphs.sequence(self.open_graph) is not None

    @cached_property
    def steady(self) -> bool:
        """Whether every round has the same rows."""
        return (
            self.file.strategy.name != "random"
            and not self.looks
            and self.file.schedule.name == "constant"
            and self.reliable
        )

    @property
    def reliable(self) -> bool:
        """Whether every link works in every round."""
        return (
            self._everyone
            and graphs.links(self.open_graph, self.file.training.seed, 0) is self.open_graph
        )

    def active(self, round_: int) -> set[int]:
        """The devices that take part in a round: of those drawn for it those that are there."""
        return set(np.flatnonzero(self._takes_part(round_)).tolist())

    def _takes_part(self, round_: int) -> Array:
        """Whether each device takes part in a round, ``(N,)``."""
        share, there = self.file.training.participation, self._presence(round_)
        if share == 1:
            return there
        draw = seeds.stream(self.file.training.seed, "participation", round_)
        drawn = draw.choice(self.devices, max(1, round(share * self.devices)), replace=False)
        return there & np.isin(np.arange(self.devices), drawn)

    @cached_property
    def links(self) -> Array:
        """The links over which the strategy mixes, ascending, ``(L, 2)``: source and target."""
        found = sorted(self.open_graph.edges)
        return np.array(found, np.int64).reshape(len(found), 2)

    @cached_property
    def _keys(self) -> Array:
        """A number for each of the links, ascending, ``(L,)``."""
        return self._numbered(self.links)

    def _numbered(self, links: Array) -> Array:
        found: Array = links[:, 0] * self.devices + links[:, 1]
        return found

    def lags(self, round_: int) -> Array:
        """By how many rounds what arrives over each of the links is late, ``(L,)``.

        It is -1 where nothing arrives, as the link fails or an end takes no part; and no more than
        there were rounds before.
        """
        file, count = self.file, len(self.links)
        if file.exchange.mixing == "delayed":
            lags = np.ones(count, np.int64)
        else:
            lags = network.delays(file.network, count, file.training.seed, round_)
        lags = np.minimum(lags, round_)
        failed = graphs.failures(self.open_graph, file.training.seed, round_)
        lags[np.searchsorted(self._keys, self._numbered(failed))] = -1
        lags[~self._takes_part(round_)[self.links].all(axis=1)] = -1
        return lags

    @property
    def uneven(self) -> bool:
        """Whether links are late or fail, or devices are away, in some round."""
        return not self.reliable or network.longest(self.file.network) > 0

    def late(self, round_: int, devices: Sequence[int]) -> dict[int, dict[int, int]]:
        """For some devices by how many rounds the vectors of in-neighbors are late that are so."""
        lags, late = self.lags(round_), {device: dict[int, int]() for device in devices}
        chosen = (lags > 0) & np.isin(self.links[:, 1], devices)
        for (source, target), lag in zip(self.links[chosen].tolist(), lags[chosen], strict=True):
            late[target][source] = int(lag)
        return late

    def traffic(self, round_: int, message: int) -> network.Traffic:
        """What travels in a round, where each link takes so many bytes."""
        lags = self.lags(round_)
        works = lags >= 0
        return network.Traffic(self.links[works], lags[works], self._takes_part(round_), message)

    def clock(self, message: int) -> network.Clock:
        """The simulated seconds at which devices finish rounds, where a message has so many bytes.

        The graph tells the samples of each device, so data come first.
        """
        training, nodes = self.file.training, self.graph.nodes
        samples = np.array([nodes[device]["samples"] for device in range(self.devices)])
        steps = np.ceil(samples / training.batch_size) * training.epochs
        if training.steps is not None:
            steps = np.full(self.devices, training.steps)
        return network.Clock(
            self.file.network,
            steps,
            self.stragglers,
            training.seed,
            lambda round_: self.traffic(round_, message),
            self.algorithm.order[0] == "exchange",
        )

    def learners(self, round_: int) -> set[int]:
        """Those of them that begin a training in it."""
        seed, trains = self.file.training.seed, self.algorithm.trains
        return {i for i in self.active(round_) if trains(seed, i, round_)}

    def round_graph(self, round_: int) -> nx.DiGraph:
        """The links that work in a round, between devices that take part in it."""
        if round_ not in self._latest:
            self._latest.clear()
            self._latest[round_] = self._round_graph(round_)
        return self._latest[round_]

    @cached_property
    def _latest(self) -> dict[int, nx.DiGraph]:
        return {}

    def _round_graph(self, round_: int) -> nx.DiGraph:
        working = graphs.links(self.open_graph, self.file.training.seed, round_)
        active = self.active(round_)
        if len(active) == self.devices:
            return working
        part = nx.DiGraph()
        part.graph.update(working.graph, whole=graphs.whole(working))
        part.add_nodes_from(working.nodes(data=True))
        part.add_edges_from(e for e in working.edges(data=True) if {e[0], e[1]} <= active)
        return part

    def wanted(self, round_: int) -> nx.DiGraph | None:
        """An edge j -> i wherever i reads the vector of j in a round of a graph that changes.

        None where that may be everywhere in :attr:`mixing_graph`: in a sweep, which goes on in
        turn, and where a link brings later what was sent when it was not there.
        """
        whole = self.sequence is not None or network.longest(self.file.network) > 0
        return self.round_graph(round_) if self.changing and not whole else None

    def rows(self, round_: int, devices: Sequence[int], look: Look | None = None) -> Rows:
        """Members and weights ``(K,)`` of some devices in a round.

        Where the strategy :attr:`combines`, the mixture itself is in the place of weights.

        Args:
            round_: Rounds count from 0.
            devices: By number.
            look: Opens inboxes, for a strategy that :attr:`looks`.
        """
        if self.sequence is not None:
            return self._swept(round_, devices)
        return self._mixed_at_once(round_, devices, look)

    def _mixed_at_once(self, round_: int, devices: Sequence[int], look: Look | None = None) -> Rows:
        graph = self.round_graph(round_)
        if self.algorithm.columns:
            return self._handed_out(graph, round_, devices)
        return {i: self._row(graph, i, round_, look) for i in devices}

    def _row(
        self, graph: nx.DiGraph, device: int, round_: int, look: Look | None = None
    ) -> tuple[list[int], Array]:
        view = graphs.Neighborhood(graph, device, round_, self.file.training.seed)
        weights = strategies.row(self.file.strategy, self.file.schedule, view, look)
        lazy = self.algorithm.lazy
        if lazy and not self.combines:
            weights = (1 - lazy) * weights
            weights[0] += lazy
        return view.members, weights

    def _handed_out(self, graph: nx.DiGraph, round_: int, devices: Sequence[int]) -> Rows:
        """Rows of the matrix in whose columns the strategy says how senders share out."""
        facing = graphs.turned(graph)
        members = {i: [i, *sorted(graph.predecessors(i))] for i in devices}
        columns = {
            j: self._row(facing, j, round_) for j in {j for m in members.values() for j in m}
        }
        given = {j: dict(zip(*column, strict=True)) for j, column in columns.items()}
        return {i: (m, np.array([given[j][i] for j in m])) for i, m in members.items()}

    def _swept(self, round_: int, devices: Sequence[int]) -> Rows:
        matrix = self.matrix(round_)
        members = {i: graphs.Neighborhood(self.mixing_graph, i).members for i in devices}
        return {i: (m, matrix[i, m]) for i, m in members.items()}

    def matrix(self, round_: int = 0, look: Look | None = None) -> Array:
        """The mixing matrix of a round, ``(N, N)``: ``x_i <- sum_j W[i, j] x_j``.

        ``look`` opens inboxes, for a strategy that :attr:`looks`.
        """
        matrix = strategies.stacked(self._mixed_at_once(round_, range(self.devices), look))
        return matrix if self.sequence is None else strategies.sequential(matrix, self.sequence)

    def settled(self, matrix: Array) -> Array:
        """How models are mixed by this W in the long run, row-stochastic, ``(N, N)``.

        Where senders share out vectors and masses, models are vectors over masses: with settled
        masses m, ``A m = m``, that is ``A[i, j] m_j / m_i``.
        """
        if not self.algorithm.columns:
            return matrix
        mass = graphs.stationary(matrix.T)
        return matrix * mass / np.where(mass > 0, mass, 1.0)[:, None]

    def mixings(self) -> Iterator[Array]:
        """How models are mixed in each round, without end: row-stochastic, ``(N, N)``."""
        mass = np.ones(self.devices)
        for round_ in count():
            matrix = self.matrix(round_)
            if self.algorithm.columns:
                after = matrix @ mass
                matrix, mass = matrix * mass / after[:, None], after
            yield matrix

    def influence(self, matrix: Array) -> Array:
        """Share of each device in what all agree on, if they mix by this W, ``(N,)``."""
        if self.algorithm.columns:
            return np.full(self.devices, 1 / self.devices)
        return graphs.stationary(matrix)

    def lengths(self, size: int, learned: int, device: int, itemsize: int = 4) -> Lengths:
        """What the lengths of a device's vectors follow from.

        Args:
            size: P.
            learned: T, how many of these numbers are learned.
            device: Which one.
            itemsize: Bytes of a number.
        """
        view = graphs.Neighborhood(self.mixing_graph, device)
        return Lengths(size, learned, view.members, itemsize)

    def numbers(self, size: int) -> int:
        """About how many floating numbers a device takes, if its model has P.

        Buffers, a gradient, the state of training and of the algorithm.
        """
        training, algorithm = self.file.training, self.algorithm
        states = 2 if training.optimizer != "sgd" else int(training.momentum > 0)
        buffers = 3 if self.file.exchange.mixing == "delayed" else 2
        others = 1 + states + int(training.proximal > 0) + int(algorithm.starts)
        busiest = max(self.mixing_graph.in_degree, key=lambda pair: pair[1])[0]
        lengths = self.lengths(size, size, busiest)
        kept = sum(algorithm.keeps(lengths).values()) + size * int(algorithm.read is not None)
        buffers += int(self.altered) + network.longest(self.file.network)
        return buffers * algorithm.travels(lengths) + size * others + kept

    def sizes(self, classes: int) -> dict[str, int]:
        """Length of each dimension of the series in the results file."""
        return {"round": self.file.training.rounds, "device": self.devices, "class": classes}

    @property
    def dense(self) -> bool:
        """Whether the mixing matrix is known before the run, and worth its memory as a whole."""
        return self.devices <= SPECTRUM and not self.looks

    def hops(self) -> npt.NDArray[np.int64]:
        """Links from the nearest OOD source to each device, ``(N,)``; -1 where none leads."""
        hops = np.full(self.devices, -1)
        if self.sources:
            found = nx.multi_source_dijkstra_path_length(self.graph, set(self.sources), weight=None)
            hops[list(found)] = list(found.values())
        return hops


def make(file: RunFile, ranks: int, graph: nx.DiGraph | None = None) -> Plan:
    """Build all that needs no data.

    Args:
        file: The run file.
        ranks: How many were started.
        graph: That of the run file, if it was built before.

    Raises:
        Fault: If graph, sources, hosts and number of ranks do not fit together.
    """
    graph = graphs.build(file.topology, ranks, file.training.rounds) if graph is None else graph
    devices = len(graph)
    topology = file.topology.model_copy(update={"devices": devices})
    file = replace(file, topology=topology)
    hosts = placement.hosts(file.placement.hosts, devices, ranks)
    none = file.ood.name == "none"
    seed, slow = file.training.seed, file.network.stragglers
    sources = [] if none else placement.sources(file.ood.sources, graph, seed)
    stragglers = placement.chosen("network.stragglers", slow, graph, seed, "stragglers")
    attackers = _attackers(file, graph)
    refusals.check_exchange(file, devices, SPECTRUM)
    refusals.check_network(file, devices)
    refusals.check_weights(file, graph)
    made = Plan(file, graph, sources, hosts, attackers, stragglers)
    _check_algorithm(made)
    return made


def _attackers(file: RunFile, graph: nx.DiGraph) -> list[int]:
    attack, seed = file.attack, file.training.seed
    if attack.name == "none":
        return []
    found = placement.chosen("attack.devices", attack.devices, graph, seed, "attackers")
    if not found:
        raise Fault("attack.devices = []: must name at least one device.")
    return found


def _check_algorithm(made: Plan) -> None:
    algorithm, name = made.algorithm, made.file.algorithm.name
    strategy, mixing = made.file.strategy.name, made.file.exchange.mixing
    told = f"algorithm.name = {name!r}:"
    faults = []
    if {"on time", "every message"} & {*algorithm.needs} and mixing != "synchronous":
        faults.append(f"{told} needs exchange.mixing = 'synchronous', not {mixing!r}.")
    if (algorithm.columns or algorithm.read is not None) and strategies.looks(strategy):
        faults.append(
            f"{told} decides on weights before vectors arrive, and those of strategy.name = "
            f"{strategy!r} follow from them."
        )
    if "on time" in algorithm.needs and network.longest(made.file.network):
        faults.append(
            f"{told} keeps a sum that late messages break, so network.delay must be 0, not "
            f"{shown(made.file.network.delay)}."
        )
    if "every message" in algorithm.needs and made.uneven:
        faults.append(
            f"{told} needs every message to arrive in its round, so links must always be there and "
            "work, training.participation be 1, and [network] know neither delays nor absence."
        )
    if algorithm.read is not None and made.attackers:
        faults.append(f"{told} sends no models, of which attack.name could make lies.")
    if "a tree" in algorithm.needs and not graphs.tree(made.mixing_graph):
        faults.append(f"{told} needs a tree whose links go both ways, such as 'chain' or 'star'.")
    if "equal weights" in algorithm.needs and strategy != "unweighted":
        faults.append(f"{told} needs strategy.name = 'unweighted', not {strategy!r}.")
    if faults:
        raise Fault(*faults)


def differences(text: str, file: RunFile) -> list[tuple[str, str]]:
    """Settings in which a run file differs from a resolved one, and what they are there.

    Raises:
        Fault: If the text is no run file for this version of mpidl.
    """
    before, now = runfile.read(text, (), KINDS), file
    found = []
    for section in runfile.SECTIONS:
        free = FREE.get(section, [])
        if free is None:
            continue
        was, is_ = (getattr(one, section).model_dump() for one in (before, now))
        # Another builder has other parameters.
        keys = ["name"] if was.get("name") != is_.get("name") else dict.fromkeys([*was, *is_])
        found += [
            (f"{section}.{key} = {shown(is_.get(key))}", shown(was.get(key)))
            for key in keys
            if key not in free and was.get(key) != is_.get(key)
        ]
    return found
