"""Gossip of a rank's devices between two trainings: an algorithm around an exchange."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

import networkx as nx
from torch import Tensor

from mpidl.components.algorithms import State, check_lengths
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import Inbox, Look
from mpidl.devices import mixers, steps
from mpidl.devices.mailbox import Inboxes
from mpidl.exchange import metrics
from mpidl.exchange.average import Average
from mpidl.exchange.memory import Exchange
from mpidl.plan import Mixing
from mpidl.ranks.accelerators import settle
from mpidl.ranks.world import Comm


class Learner(Protocol):
    """Interface of a device for gossip; :class:`.flat.Flat` implements it, and tests have others.

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
    :meth:`arrive`, :meth:`share` and :meth:`mix`, in this order, after training or before it. Each
    returns when an accelerator has finished its work, so that it can be timed.

    Args:
        comm: All ranks.
        mixing: The plan of mixing.
        devices: The devices of this rank by number, in ascending order; their models move into the
            exchange.
        exchange: Moves and mixes messages.
    """

    def __init__(
        self, comm: Comm, mixing: Mixing, devices: Mapping[int, Learner], exchange: Exchange
    ) -> None:
        self._mixing, self._devices, self.exchange = mixing, devices, exchange
        self._algorithm, self._name = mixing.algorithm, mixing.settings.algorithm.name
        self._links: nx.DiGraph | None = None
        first = next(iter(devices.values()))
        self._size, self._learned = first.size, first.learned
        self._weights = mixers.weights(mixing, list(devices), partial(opened, devices=devices))
        self._mixer = mixers.mixer(mixing, exchange, self._weights, first.size)
        own = exchange.vectors.items()
        self._states = {number: self._state(number, vector) for number, vector in own}
        kind = exchange.device.type
        self._average = Average(comm, mixing.hosts, self._size, first.vector.dtype, kind)

    def _state(self, number: int, vector: Tensor) -> State:
        device = self._devices[number]
        device.adopt(self._mixer.home(vector))
        state = State(device.vector, vector, self._learned, number, self._mixing.devices)
        state.seed = self._mixing.settings.seed
        lengths = self._mixing.lengths(self._size, self._learned, number, vector.itemsize)
        check_lengths(self._name, self._algorithm, lengths)
        for name, length in self._algorithm.keeps(lengths).items():
            state.kept[name] = vector.new_zeros(length)
        steps.take_step(self._name, self._algorithm.setup, state)
        return state

    def begin(self, devices: Collection[int]) -> None:
        """Begin the training of some own devices."""
        if self._algorithm.starts:
            for number in devices:
                self._states[number].start = self._states[number].w.clone()

    def starts(self) -> dict[int, Tensor]:
        """The learned numbers before the training under way, ``(T,)``, if the algorithm starts."""
        starts = {number: state.start for number, state in self._states.items()}
        return {number: start for number, start in starts.items() if start is not None}

    def start_from(self, starts: Mapping[int, Tensor]) -> None:
        """Make the numbers that :meth:`starts` returned those before the training under way."""
        for number, start in starts.items():
            state = self._states[number]
            state.start = state.w.clone().copy_(start)

    def give(self, round_: int, trained: Sequence[bool]) -> None:
        """Make the messages of a round from the models.

        Args:
            round_: Rounds count from 0.
            trained: Whether each own device begins a training in it.
        """
        for state, begins in zip(self._states.values(), trained, strict=True):
            state.round, state.trained = round_, begins
            steps.take_step(self._name, self._algorithm.give, state)
        settle(self.exchange.device)

    def decide(self, round_: int) -> None:
        """Make the round's links, and own mixing weights if they are known in advance."""
        self._links = self._mixing.wanted(round_)
        self._weights.decide(round_)

    def arrive(self, round_: int) -> None:
        """Collective. Hand in links and mixing weights, and wait for every rank."""
        self._mixer.arrive(round_, self._links)

    def share(self) -> None:
        """Collective. Make the messages of the neighborhoods readable."""
        self.exchange.share()
        settle(self.exchange.device)

    def mix(self, round_: int, measure: bool = False) -> Mapping[int, Mapping[str, float]]:
        """Collective. Make new models from the messages; return values to record for each device.

        Args:
            round_: Rounds count from 0.
            measure: Whether :meth:`distances` will be asked for.
        """
        self._mixer.mix(round_, self._states, measure and self._algorithm.plain)
        self._move()
        recorded, active = {}, self._mixing.active(round_)
        for number, state in self._states.items():
            state.present, state.heard = number in active, self._weights.heard(number)
            steps.take_step(self._name, self._algorithm.take, state)
            steps.recorded(self._name, state, self._algorithm.series)
            recorded[number] = state.series
            state.start, state.left, state.series = None, None, {}
        self._bind()
        settle(self.exchange.device)
        return recorded

    def _move(self) -> None:
        """Point the states to the new memory of own vectors."""
        for number, vector in self.exchange.vectors.items():
            state = self._states[number]
            state.vector = vector
            self._mixer.follow(state)

    def _bind(self) -> None:
        """Point the models to the memory of their states."""
        for number, state in self._states.items():
            self._devices[number].bind(state.x)

    def distances(self, measured: bool = True) -> list[float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of each own device.

        Args:
            measured: Whether after a measured mixing; else of the present models.
        """
        if self._algorithm.plain and measured:
            return self.exchange.distances()
        models = {number: device.vector for number, device in self._devices.items()}
        return metrics.consensus_distance(models, self._average(models))

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The state beside models that a round leaves to the next: vectors by name and device."""
        state = self._mixer.memory()
        parts = {n: {"tail": s.tail, **s.kept} for n, s in self._states.items()}
        for number, memory in parts.items():
            for name, vector in memory.items():
                if len(vector):
                    state.setdefault(name, {})[number] = vector
        return state

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Restore what :meth:`memory` returned, after models are restored."""
        for name, vectors in self.memory().items():
            if name not in self.exchange.memory():
                for number, vector in vectors.items():
                    vector.copy_(memory[name][number])
        self._mixer.remember(memory)
        self._move()
        self._bind()


def opened(inboxes: Inboxes, devices: Mapping[int, Learner]) -> Look:
    """A look into the inboxes of this rank's devices."""

    def look(view: Neighborhood) -> Inbox:
        vectors = [inboxes[view.device][member] for member in view.members]
        return Inbox(vectors, devices[view.device].parameters)

    return look
