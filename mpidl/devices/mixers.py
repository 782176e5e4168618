"""Mixers: the exchange, the strategy or the algorithm mixes messages; a run uses one mixer.

Shapes: K members of a neighborhood; a message has M numbers, first the P of a model.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import numpy as np
from torch import Tensor

from mpidl.components.algorithms import Messages, State
from mpidl.components.strategies import Look
from mpidl.devices import steps
from mpidl.devices.mailbox import Inboxes, Mailbox
from mpidl.exchange import kernels
from mpidl.exchange.memory import Exchange
from mpidl.plan import Mixing, MixingWeights


class Weights:
    """Mixing weights of own devices, which are known before messages arrive.

    Attributes:
        by_device: Members and weights ``(K,)`` in a round, by device.
    """

    def __init__(self, mixing: Mixing, own: Sequence[int]) -> None:
        self._mixing, self._own = mixing, own
        self._steady = mixing.mixing_weights(0, own) if mixing.lasts(own) else None
        self.by_device: MixingWeights = {}

    def decide(self, round_: int) -> None:
        """Make the weights that are known before messages arrive."""
        self.by_device = self._steady or self._mixing.mixing_weights(round_, self._own)

    def look(self, round_: int, inboxes: Inboxes) -> None:
        """Make weights that follow from inboxes; here there are none."""

    def weigh(self, round_: int, exchange: Exchange) -> None:
        """Collective. Hand in weights that follow from inboxes; here there are none."""

    def heard(self, number: int) -> int:
        """The number of in-neighbors that a device reads in this round."""
        return int(np.count_nonzero(self.by_device[number][1][1:]))

    def mixture(self, number: int, vectors: Sequence[Tensor], before: Tensor | None) -> Tensor:
        """The weighted sum of members' messages for a device, ``(M,)``, in memory of the last."""
        out = vectors[0].new_empty(len(vectors[0])) if before is None else before
        kernels.mix(self.by_device[number][1], vectors, out)
        return out


class Looked(Weights):
    """Mixing weights of own devices that follow from the messages that arrive.

    Args:
        mixing: The plan of mixing.
        own: The own devices.
        opened: A look into their inboxes.
    """

    def __init__(
        self, mixing: Mixing, own: Sequence[int], opened: Callable[[Inboxes], Look]
    ) -> None:
        super().__init__(mixing, own)
        self._opened = opened

    def decide(self, round_: int) -> None:
        """Forget the weights, as none is known before messages arrive."""
        self.by_device = {}

    def look(self, round_: int, inboxes: Inboxes) -> None:
        """Make weights from the messages in the inboxes."""
        self.by_device = self._mixing.mixing_weights(round_, self._own, self._opened(inboxes))

    def weigh(self, round_: int, exchange: Exchange) -> None:
        """Collective. Make mixing weights from the messages in inboxes, and pass them on."""
        self.look(round_, exchange.inboxes())
        exchange.weigh(self.by_device)


class Combined(Looked):
    """Mixtures that the strategy returns itself, in place of weights."""

    def heard(self, number: int) -> int:
        """The number of in-neighbors that a device reads in this round."""
        return len(self.by_device[number][0]) - 1

    def mixture(self, number: int, vectors: Sequence[Tensor], before: Tensor | None) -> Tensor:
        """The strategy's mixture; a lazy algorithm adds a share of the device's own vector."""
        mixed: Tensor = self.by_device[number][1]
        lazy = self._mixing.algorithm.lazy
        return mixed.mul(1 - lazy).add(vectors[0], alpha=lazy) if lazy else mixed


def weights(mixing: Mixing, own: Sequence[int], opened: Callable[[Inboxes], Look]) -> Weights:
    """The weights of own devices by the strategy; arguments as in :class:`Looked`."""
    if not mixing.looks:
        return Weights(mixing, own)
    return (Combined if mixing.combines else Looked)(mixing, own, opened)


class Mixer(ABC):
    """Base of mixers, which make new own vectors in a round.

    Args:
        mixing: The plan of mixing.
        exchange: Moves messages.
        weights: The mixing weights of own devices.
        size: P.
    """

    def __init__(self, mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> None:
        self._exchange, self._weights, self._size = exchange, weights, size

    @abstractmethod
    def arrive(self, round_: int, links: nx.DiGraph | None) -> None:
        """Collective. Hand in weights and links, as far as they are known, and wait for all."""

    @abstractmethod
    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Make new own vectors of what travelled, and measure distances if asked."""

    def home(self, vector: Tensor) -> Tensor:
        """The memory of a model, ``(P,)``: the head of a message."""
        return vector[: self._size]

    def follow(self, state: State) -> None:
        """Point a model to the new memory of its message."""
        state.x = self.home(state.vector)

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The state beside models that a round leaves to the next: vectors by name and device."""
        return self._exchange.memory()

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Take what :meth:`memory` gave, when models are what they were then."""
        self._exchange.remember(memory)


class ByExchange(Mixer):
    """Mixing by the exchange, while it moves messages or after a look at them."""

    def arrive(self, round_: int, links: nx.DiGraph | None) -> None:
        """Collective. Hand in weights and links, as far as they are known, and wait for all."""
        self._exchange.arrive(self._weights.by_device, links)

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Make new own vectors of what travelled, and measure distances if asked."""
        self._weights.weigh(round_, self._exchange)
        self._exchange.mix(measure=measure)


class ByHand(Mixer):
    """Mixing by the rank, from inboxes with late messages or attacks, or without weights."""

    def __init__(self, mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> None:
        super().__init__(mixing, exchange, weights, size)
        self._mailbox = Mailbox(mixing, exchange, size)
        self._mixtures: dict[int, Tensor] = {}

    def arrive(self, round_: int, links: nx.DiGraph | None) -> None:
        """Collective. Replace attackers' messages, hand in the links, and wait for all."""
        self._mailbox.lie(round_)
        self._exchange.arrive({}, links)

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Make new own vectors from the messages in the inboxes."""
        inboxes = self._mailbox.open(round_)
        self._weights.look(round_, inboxes)
        for number, (members, _) in self._weights.by_device.items():
            vectors, before = [inboxes[number][j] for j in members], self._mixtures.get(number)
            self._mixtures[number] = self._weights.mixture(number, vectors, before)
        self._mailbox.keep(round_)
        self._exchange.replace(self._mixtures)

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The state that a round leaves to the next one, with messages that may be late."""
        return super().memory() | self._mailbox.memory()

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Take what :meth:`memory` gave, when models are what they were then."""
        super().remember(memory)
        self._mailbox.remember(memory)


class ByAlgorithm(ByHand):
    """Mixing by the algorithm, which reads messages; models are not part of messages."""

    def __init__(self, mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> None:
        super().__init__(mixing, exchange, weights, size)
        self._read, self._name = mixing.algorithm.read, mixing.settings.algorithm.name

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Let the algorithm make models from the messages in the inboxes."""
        assert self._read is not None
        for number, inbox in self._mailbox.open(round_).items():
            members, own = self._weights.by_device[number]
            messages = Messages(members, own, [inbox[j] for j in members])
            steps.take_step(self._name, self._read, states[number], messages)
        self._mailbox.keep(round_)
        self._exchange.replace({})

    def home(self, vector: Tensor) -> Tensor:
        """The memory of a model, ``(P,)``, separate from its message."""
        return vector.new_zeros(self._size)

    def follow(self, state: State) -> None:
        """Leave the model where it is."""

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The state that a round leaves to the next one: messages that may be late."""
        return self._mailbox.memory()


def mixer(mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> Mixer:
    """The mixer for algorithm, strategy, network and attackers; arguments as in :class:`Mixer`."""
    kind: type[Mixer] = ByHand if mixing.altered else ByExchange
    kind = kind if mixing.algorithm.read is None else ByAlgorithm
    return kind(mixing, exchange, weights, size)
