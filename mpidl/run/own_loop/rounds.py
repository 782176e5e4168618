"""Rounds of gossip in one's own loop: each makes messages, exchanges and mixes them."""

from mpidl.run.own_loop.building import OwnParts
from mpidl.run.own_loop.flight import Flight
from mpidl.run.own_loop.record import OwnRecord


class OwnRounds:
    """Collective. The rounds of a loop, on the models of this rank.

    Args:
        parts: The parts of gossip.
        record: Keeps a row for each round.

    Attributes:
        done: Number of rounds that are done.
        bytes: Bytes of parameters that other ranks got from this one, in all of them.
        flight: The exchange of a round that was started; None if there is none.
    """

    def __init__(self, parts: OwnParts, record: OwnRecord) -> None:
        self._parts, self._record = parts, record
        self._numbers, self._models = list(parts.models), list(parts.models.values())
        self.done = self.bytes = 0
        self.flight: Flight | None = None

    def trains(self) -> dict[int, bool]:
        """Whether each own device begins a training in this round."""
        learners = self._parts.mixing.learners(self.done)
        return {number: number in learners for number in self._numbers}

    def make(self) -> None:
        """Collective. Do a round."""
        self.fetch()
        self._give()
        self._exchange()
        self._settle()

    def start(self) -> None:
        """Collective. Begin a round; models go on in memory of their own."""
        self.fetch()
        for model in self._models:
            model.leave()
        self._give()
        self.flight = Flight(self._exchange)

    def finish(self) -> None:
        """Collective. End the round that :meth:`start` began.

        Raises:
            Fault: If a model is not the one that was given.
        """
        flight, self.flight = self.flight, None
        assert flight is not None
        flight.land()
        self._settle()
        for model in self._models:
            model.come_back()

    def fetch(self) -> None:
        """Take the numbers of the caller's models.

        Raises:
            Fault: If one is not the one that was given.
        """
        for model in self._models:
            model.fetch()

    def distances(self) -> dict[int, float]:
        """Collective. ``||x_i - mean_j x_j||_2`` of the present model of each own device."""
        self.fetch()
        found = self._parts.gossip.distances(measured=False)
        return dict(zip(self._numbers, found, strict=True))

    def _give(self) -> None:
        """Make the messages of a round."""
        self._parts.gossip.give(self.done, list(self.trains().values()))

    def _exchange(self) -> None:
        """Collective. Exchange the messages of a round, and mix."""
        gossip, round_, lap = self._parts.gossip, self.done, self._record.lap
        lap()
        gossip.decide(round_)
        lap("weights")
        gossip.arrive(round_)
        lap("wait")
        gossip.share()
        lap("exchange")
        self._extras = gossip.mix(round_, measure=self._record.writes)
        lap("mix")

    def _settle(self) -> None:
        """Collective. End a round: from here on models are trained anew."""
        self.bytes += sum(self._parts.gossip.exchange.bytes_sent.values())
        self.done += 1
        self._record.begin(self._extras)
        self._parts.gossip.begin(self._numbers)
