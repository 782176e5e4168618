"""Mailbox: inboxes of a rank's devices, with late messages and attackers.

Shapes: a message has M numbers, first the P of a model; a link is late by at most D rounds.
"""

from collections.abc import Mapping

from torch import Tensor

from mpidl.components.attacks import ATTACKS
from mpidl.config import seeds
from mpidl.exchange.memory import Exchange
from mpidl.plan import Mixing, network

Inboxes = dict[int, dict[int, Tensor]]
"""For each own device the messages ``(M,)`` in its inbox, by sender."""


class Mailbox:
    """The inboxes of own devices, after delays and attacks.

    A late message was sent some rounds ago; copies of past messages are kept here. Before messages
    travel, an attacker replaces its own by an attack; it mixes its own honest vector.

    Args:
        mixing: The plan of mixing.
        exchange: Moves messages.
        size: P.
    """

    def __init__(self, mixing: Mixing, exchange: Exchange, size: int) -> None:
        self._mixing, self._exchange, self._size = mixing, exchange, size
        self._own = list(exchange.vectors)
        lying = {*mixing.attackers}
        self._attackers = [number for number in self._own if number in lying]
        if lying:
            # On every rank, so that all refuse an attack that is none, before the first round.
            some = exchange.vectors[self._own[0]][:size].clone()
            ATTACKS.build(mixing.settings.attack, some, seeds.stream(0, "attack"))
        self._honest: dict[int, Tensor] = {}
        self._found: Inboxes = {}
        self._past: dict[int, Tensor] = {}
        depth = network.longest(mixing.settings.network)
        if depth:
            like = exchange.vectors[self._own[0]]
            readable = mixing.readable(self._own)
            self._past = {j: like.new_zeros(depth, len(like)) for j in readable}

    def lie(self, round_: int) -> None:
        """Replace the messages of attackers in a round."""
        self._honest.clear()
        attack, seed = self._mixing.settings.attack, self._mixing.settings.seed
        if round_ < attack.from_round:
            return
        vectors = self._exchange.vectors
        for number in self._attackers:
            vector = vectors[number]
            self._honest[number] = vector.clone()
            model, rng = vector[: self._size], seeds.stream(seed, "attack", number, round_)
            model.copy_(ATTACKS.build(attack, model.clone(), rng))

    def open(self, round_: int) -> Inboxes:
        """Collective. The messages that each own device mixes in a round, by sender; read only."""
        self._found = self._exchange.inboxes()
        late = self._mixing.late(round_, self._own) if self._past else {}
        opened = {}
        for number, inbox in self._found.items():
            old = {j: self._sent(j, round_ - lag) for j, lag in late.get(number, {}).items()}
            own = {number: self._honest.get(number, inbox[number])}
            opened[number] = {**inbox, **old, **own}
        return opened

    def keep(self, round_: int) -> None:
        """Copy the messages of a round after mixing, as they may be late."""
        if self._past:
            for j, vector in {j: v for of in self._found.values() for j, v in of.items()}.items():
                self._sent(j, round_).copy_(vector)
        self._found = {}

    def _sent(self, number: int, round_: int) -> Tensor:
        past = self._past[number]
        return past[round_ % len(past)]

    def memory(self) -> dict[str, dict[int, Tensor]]:
        """The messages of own devices in the last rounds, ``(D, M)``: ``past``."""
        return {"past": {i: self._past[i] for i in self._own}} if self._past else {}

    def remember(self, memory: Mapping[str, Mapping[int, Tensor]]) -> None:
        """Collective. Send the messages of the last rounds again to all that may read them.

        Own vectors are in other memory afterwards.
        """
        if not self._past:
            return
        now = {i: vector.clone() for i, vector in self._exchange.vectors.items()}
        for turn in range(len(self._past[self._own[0]])):
            for i, vector in self._exchange.vectors.items():
                vector.copy_(memory["past"][i][turn])
            self._exchange.arrive({})
            self._exchange.share()
            self._found = self._exchange.inboxes()
            self.keep(turn)
            self._exchange.replace(now)
