"""Ways to mix what travelled, of which a run takes one: by the exchange, by hand, by the algorithm.

Shapes: K members of a neighborhood; M numbers travel, the P of a model first.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import numpy as np
from torch import Tensor

from mpidl.components.algorithms import Letters, State
from mpidl.components.strategies import Look
from mpidl.devices.mailbox import Found, Mailbox
from mpidl.exchange import kernels
from mpidl.exchange.memory import Exchange
from mpidl.plan import Mixing, Rows


class Weights:
    """Own rows of W, which are known before vectors arrive.

    Attributes:
        rows: Those of a round: members and weights ``(K,)`` by device.
    """

    def __init__(self, mixing: Mixing, own: Sequence[int]) -> None:
        self._mixing, self._own = mixing, own
        self._steady = mixing.rows(0, own) if mixing.lasts(own) else None
        self.rows: Rows = {}

    def decide(self, round_: int) -> None:
        """Make what is known before vectors arrive."""
        self.rows = self._steady or self._mixing.rows(round_, self._own)

    def look(self, round_: int, found: Found) -> None:
        """Make what follows from inboxes, which here is nothing."""

    def weigh(self, round_: int, exchange: Exchange) -> None:
        """Collective. Hand in what follows from inboxes, which here is nothing."""

    def heard(self, number: int) -> int:
        """Of how many others a device reads in this round."""
        return int(np.count_nonzero(self.rows[number][1][1:]))

    def mixture(self, number: int, vectors: Sequence[Tensor], before: Tensor | None) -> Tensor:
        """Of members' vectors ``(M,)`` the sum by a device's weights, in the memory of the last."""
        out = vectors[0].new_empty(len(vectors[0])) if before is None else before
        kernels.mix(self.rows[number][1], vectors, out)
        return out


class Looked(Weights):
    """Own rows of W that follow from the vectors that arrive.

    Args:
        mixing: Who mixes what.
        own: The devices.
        opened: A look into their inboxes.
    """

    def __init__(self, mixing: Mixing, own: Sequence[int], opened: Callable[[Found], Look]) -> None:
        super().__init__(mixing, own)
        self._opened = opened

    def decide(self, round_: int) -> None:
        """Nothing is known before vectors arrive."""
        self.rows = {}

    def look(self, round_: int, found: Found) -> None:
        """Make rows of what lies in the inboxes."""
        self.rows = self._mixing.rows(round_, self._own, self._opened(found))

    def weigh(self, round_: int, exchange: Exchange) -> None:
        """Collective. Make rows of what lies in the exchange's inboxes, and hand them in."""
        self.look(round_, exchange.inboxes())
        exchange.weigh(self.rows)


class Combined(Looked):
    """Mixtures that the strategy gives itself, in the place of weights."""

    def heard(self, number: int) -> int:
        """Of how many others a device reads in this round."""
        return len(self.rows[number][0]) - 1

    def mixture(self, number: int, vectors: Sequence[Tensor], before: Tensor | None) -> Tensor:
        """What the strategy gave; of a lazy algorithm the device's own vector has a part in it."""
        given: Tensor = self.rows[number][1]
        lazy = self._mixing.algorithm.lazy
        return given.mul(1 - lazy).add(vectors[0], alpha=lazy) if lazy else given


def weights(mixing: Mixing, own: Sequence[int], opened: Callable[[Found], Look]) -> Weights:
    """What the strategy gives some devices; arguments as of :class:`Looked`."""
    if not mixing.looks:
        return Weights(mixing, own)
    return (Combined if mixing.combines else Looked)(mixing, own, opened)


class Mixer(ABC):
    """What becomes of own vectors in a round.

    Args:
        mixing: Who mixes what.
        exchange: Moves what travels.
        weights: Those of own devices.
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
        """The memory of a model, ``(P,)``: the head of what travels."""
        return vector[: self._size]

    def follow(self, state: State) -> None:
        """Let a model follow what travels into other memory."""
        state.x = self.home(state.vector)

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """What a round leaves to the next one beside models: vectors by name and device."""
        return self._exchange.memory()

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Take what :meth:`memory` gave, when models are what they were then."""
        self._exchange.remember(memory)


class ByExchange(Mixer):
    """The exchange mixes, while it moves vectors or after a look at them."""

    def arrive(self, round_: int, links: nx.DiGraph | None) -> None:
        """Collective. Hand in weights and links, as far as they are known, and wait for all."""
        self._exchange.arrive(self._weights.rows, links)

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Make new own vectors of what travelled, and measure distances if asked."""
        self._weights.weigh(round_, self._exchange)
        self._exchange.mix(measure=measure)


class ByHand(Mixer):
    """The rank mixes, from inboxes in which vectors may be late or lies, or not by weights."""

    def __init__(self, mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> None:
        super().__init__(mixing, exchange, weights, size)
        self._mailbox = Mailbox(mixing, exchange, size)
        self._mixtures: dict[int, Tensor] = {}

    def arrive(self, round_: int, links: nx.DiGraph | None) -> None:
        """Collective. Let attackers lie, hand in the links, and wait for all."""
        self._mailbox.lie(round_)
        self._exchange.arrive({}, links)

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Make new own vectors of what lies in the inboxes."""
        found = self._mailbox.open(round_)
        self._weights.look(round_, found)
        for number, (members, _) in self._weights.rows.items():
            vectors, before = [found[number][j] for j in members], self._mixtures.get(number)
            self._mixtures[number] = self._weights.mixture(number, vectors, before)
        self._mailbox.keep(round_)
        self._exchange.replace(self._mixtures)

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """What a round leaves to the next one: what may be late too."""
        return super().memory() | self._mailbox.memory()

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Take what :meth:`memory` gave, when models are what they were then."""
        super().remember(memory)
        self._mailbox.remember(memory)


class ByAlgorithm(ByHand):
    """The algorithm reads what others sent; models do not lie in what travels."""

    def __init__(self, mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> None:
        super().__init__(mixing, exchange, weights, size)
        self._read = mixing.algorithm.read

    def mix(self, round_: int, states: Mapping[int, State], measure: bool) -> None:
        """Collective. Let the algorithm make models of what lies in the inboxes."""
        assert self._read is not None
        for number, found in self._mailbox.open(round_).items():
            members, row = self._weights.rows[number]
            self._read(states[number], Letters(members, row, [found[j] for j in members]))
        self._mailbox.keep(round_)
        self._exchange.replace({})

    def home(self, vector: Tensor) -> Tensor:
        """The memory of a model, ``(P,)``: its own."""
        return vector.new_zeros(self._size)

    def follow(self, state: State) -> None:
        """Leave the model where it is."""

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """What a round leaves to the next one: what may be late."""
        return self._mailbox.memory()


def mixer(mixing: Mixing, exchange: Exchange, weights: Weights, size: int) -> Mixer:
    """The way that fits algorithm, strategy, network and attackers; arguments as of a mixer."""
    kind: type[Mixer] = ByHand if mixing.altered else ByExchange
    kind = kind if mixing.algorithm.read is None else ByAlgorithm
    return kind(mixing, exchange, weights, size)
