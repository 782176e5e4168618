"""Gossip of a rank's devices between two trainings: an algorithm around an exchange."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import networkx as nx
import numpy as np
from torch import Tensor

from mpidl.components.algorithms import Letters, State
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import Inbox, Look
from mpidl.devices.mailbox import Found, Mailbox
from mpidl.exchange import kernels, metrics
from mpidl.exchange.average import Average
from mpidl.exchange.memory import Exchange
from mpidl.plan import Mixing, Rows
from mpidl.ranks.accelerators import settle
from mpidl.ranks.world import Comm


class Learner(Protocol):
    """What gossip asks of a device; :class:`.device.Device` has it, and tests have others.

    Attributes:
        vector: Its model, ``(P,)``, after :meth:`adopt`.
        size: P.
        learned: T, how many of these numbers are learned.
    """

    vector: Tensor
    size: int
    learned: int

    def adopt(self, vector: Tensor) -> None:
        """Move the present model into a vector ``(P,)`` and live there."""

    def bind(self, vector: Tensor) -> None:
        """Make a vector ``(P,)`` the memory of the model."""

    def parameters(self, vector: Tensor) -> Iterable[Tensor]:
        """The parameters in the vector ``(P,)`` of any such device, each in its shape."""


class LocalGossip:
    """Collective. The devices of this rank with their algorithm, and the exchange between them.

    In every round ranks :meth:`begin` before training; and :meth:`give`, :meth:`decide`,
    :meth:`arrive`, :meth:`share` and :meth:`mix`, in this order, after it or before it. What these
    ask of an accelerator is done when they return, so that each of them can be timed.

    Args:
        comm: All ranks.
        mixing: Who mixes what.
        devices: Those hosted here, by number, ascending; their models move into the exchange.
        exchange: Moves and mixes what travels.
    """

    def __init__(
        self, comm: Comm, mixing: Mixing, devices: Mapping[int, Learner], exchange: Exchange
    ) -> None:
        self._mixing, self._devices, self.exchange = mixing, devices, exchange
        self._algorithm = mixing.algorithm
        self._steady = mixing.rows(0, list(devices)) if mixing.lasts(devices) else None
        self._rows: Rows = {}
        self._links: nx.DiGraph | None = None
        some = next(iter(devices.values()))
        self._size, self._learned = some.size, some.learned
        own = exchange.vectors.items()
        self._states = {number: self._state(number, vector) for number, vector in own}
        self._mailbox = Mailbox(mixing, exchange, some.size)
        self._mixtures: dict[int, Tensor] = {}
        kind = exchange.device.type
        self._average = Average(comm, mixing.hosts, self._size, some.vector.dtype, kind)

    def _state(self, number: int, vector: Tensor) -> State:
        device = self._devices[number]
        reads = self._algorithm.read is not None
        device.adopt(vector.new_zeros(self._size) if reads else vector[: self._size])
        state = State(device.vector, vector, self._learned, number, self._mixing.devices)
        state.seed = self._mixing.settings.seed
        lengths = self._mixing.lengths(self._size, self._learned, number, vector.itemsize)
        for name, length in self._algorithm.keeps(lengths).items():
            state.kept[name] = vector.new_zeros(length)
        self._algorithm.setup(state)
        return state

    def begin(self, devices: Collection[int]) -> None:
        """Begin the training of some own devices."""
        if self._algorithm.starts:
            for number in devices:
                self._states[number].start = self._states[number].w.clone()

    def give(self, round_: int, trained: Sequence[bool]) -> None:
        """Make of the models what travels in a round.

        Args:
            round_: Rounds count from 0.
            trained: Whether each own device begins a training in it.
        """
        for state, begins in zip(self._states.values(), trained, strict=True):
            state.round, state.trained = round_, begins
            self._algorithm.give(state)
        settle(self.exchange.device)

    def decide(self, round_: int) -> None:
        """Make the round's links and, if they are known before vectors arrive, own rows of W."""
        own = list(self._devices)
        self._links = self._mixing.wanted(round_)
        self._rows = {} if self._mixing.looks else self._steady or self._mixing.rows(round_, own)

    def arrive(self, round_: int) -> None:
        """Collective. Hand in what was decided, and wait for every rank."""
        self._mailbox.lie(round_)
        by_hand = self._algorithm.read is not None or self._mixing.altered
        self.exchange.arrive({} if by_hand else self._rows, self._links)

    def share(self) -> None:
        """Collective. Make readable what the neighborhoods have sent."""
        self.exchange.share()
        settle(self.exchange.device)

    def mix(self, round_: int, measure: bool = False) -> Mapping[int, Mapping[str, float]]:
        """Collective. Make new models of what travelled; numbers to record, by device and series.

        Args:
            round_: Rounds count from 0.
            measure: Whether :meth:`distances` will be asked for.
        """
        if self._algorithm.read is not None:
            self._read(round_)
        elif self._mixing.altered:
            self._mix_by_hand(round_)
        else:
            self._mix(round_, measure and self._algorithm.plain)
        self._move()
        told, active = {}, self._mixing.active(round_)
        for number, state in self._states.items():
            state.present, state.heard = number in active, self._heard(number)
            self._algorithm.take(state)
            told[number] = state.told
            state.start, state.left, state.told = None, None, {}
        self._bind()
        settle(self.exchange.device)
        return told

    def _move(self) -> None:
        """Let states follow own vectors into other memory."""
        for number, vector in self.exchange.vectors.items():
            state = self._states[number]
            state.vector = vector
            if self._algorithm.read is None:
                state.x = vector[: self._size]

    def _bind(self) -> None:
        """Let models follow their states."""
        for number, state in self._states.items():
            self._devices[number].bind(state.x)

    def _mix(self, round_: int, measure: bool) -> None:
        if self._mixing.looks:
            self._rows = self._looked(round_, self.exchange.inboxes())
            self.exchange.weigh(self._rows)
        self.exchange.mix(measure=measure)

    def _looked(self, round_: int, found: Found) -> Rows:
        return self._mixing.rows(round_, list(self._devices), opened(found, self._devices))

    def _heard(self, number: int) -> int:
        members, weights = self._rows[number]
        return len(members) - 1 if self._mixing.combines else int(np.count_nonzero(weights[1:]))

    def _mix_by_hand(self, round_: int) -> None:
        found = self._mailbox.open(round_)
        if self._mixing.looks:
            self._rows = self._looked(round_, found)
        for number, (members, outcome) in self._rows.items():
            vectors = [found[number][j] for j in members]
            self._mixtures[number] = self._mixture(number, outcome, vectors)
        self._mailbox.keep(round_)
        self.exchange.replace(self._mixtures)

    def _mixture(self, number: int, outcome: Any, vectors: Sequence[Tensor]) -> Tensor:
        """What a strategy makes of vectors ``(M,)``: their sum by its weights, or what it gave."""
        if self._mixing.combines:
            mixture: Tensor = outcome
            lazy = self._algorithm.lazy
            return mixture.mul(1 - lazy).add(vectors[0], alpha=lazy) if lazy else mixture
        out = self._mixtures.get(number)
        out = vectors[0].new_empty(len(vectors[0])) if out is None else out
        kernels.mix(outcome, vectors, out)
        return out

    def _read(self, round_: int) -> None:
        read = self._algorithm.read
        assert read is not None
        for number, found in self._mailbox.open(round_).items():
            members, weights = self._rows[number]
            read(self._states[number], Letters(members, weights, [found[j] for j in members]))
        self._mailbox.keep(round_)
        self.exchange.replace({})

    def distances(self) -> list[float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of each own device after a measured mixing."""
        if self._algorithm.plain:
            return self.exchange.distances()
        models = {number: device.vector for number, device in self._devices.items()}
        return metrics.consensus_distance(models, self._average(models))

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """What a round leaves to the next one beside models: vectors by name and device."""
        found = self.exchange.memory() if self._algorithm.read is None else {}
        parts = {n: {"tail": s.tail, **s.kept} for n, s in self._states.items()}
        for number, memory in parts.items():
            for name, vector in memory.items():
                if len(vector):
                    found.setdefault(name, {})[number] = vector
        return found | self._mailbox.memory()

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Take what :meth:`memory` gave, when models are what they were then."""
        for name, vectors in self.memory().items():
            if name not in self.exchange.memory():
                for number, vector in vectors.items():
                    vector.copy_(memory[name][number])
        self.exchange.remember(memory)
        self._mailbox.remember(memory)
        self._move()
        self._bind()


def opened(found: Found, devices: Mapping[int, Learner]) -> Look:
    """A look into the inboxes of this rank's devices."""

    def look(view: Neighborhood) -> Inbox:
        vectors = [found[view.device][member] for member in view.members]
        return Inbox(vectors, devices[view.device].parameters)

    return look
