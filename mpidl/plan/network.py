"""Network that a run file describes: a clock of simulated seconds, delays, absent devices.

All of it follows from the run file alone, on every rank, so nothing of it is sent. Shapes:
N devices, L links. Rounds count from 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.config import seeds
from mpidl.config.runfile import NetworkSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Traffic:
    """Traffic of a round.

    Attributes:
        links: Source and target of each link that works, ``(L, 2)``.
        delays: Rounds by which messages on each link are late, ``(L,)``; at most the number of
            earlier rounds.
        active: Whether each device is active, ``(N,)`` bool.
        message: Bytes of the message on each link.
    """

    links: Array
    delays: Array
    active: Array
    message: int


def takes_time(network: NetworkSettings) -> bool:
    """Whether anything takes simulated seconds."""
    limited = network.bandwidth, network.uplink, network.downlink
    return any(limited) or network.latency > 0 or network.step_seconds > 0


def longest(network: NetworkSettings) -> int:
    """The most rounds by which a link may be late."""
    return network.delay if isinstance(network.delay, int) else network.delay[1]


def delays(network: NetworkSettings, links: int, seed: int, round_: int) -> Array:
    """Rounds by which each link is late in a round, ``(L,)``.

    The two directions between two devices are separate links.
    """
    if isinstance(network.delay, int):
        return np.full(links, network.delay)
    key = (round_,) if network.delay_draw == "per_round" else ()
    low, high = network.delay
    return seeds.stream(seed, "delays", *key).integers(low, high, links, endpoint=True)


class Presence:
    """Whether each device is present in a round, ``(N,)`` bool: all in round 0, except outages.

    In each later round a present device leaves with the chance ``leave``, and an absent one comes
    back with the chance ``back``: in the long run a share ``back / (leave + back)`` is present.
    Outages come in addition.

    Args:
        network: The settings.
        devices: N.
        seed: The seed by which devices leave and come back.
    """

    def __init__(self, network: NetworkSettings, devices: int, seed: int) -> None:
        self._network, self._devices, self._seed = network, devices, seed
        self._known = (0, np.ones(devices, bool))

    def __call__(self, round_: int) -> Array:
        """Whether each device is present in a round."""
        present: Array = (
            self._chain(round_).copy() if self._network.leave else self._known[1].copy()
        )
        for device, away, back in self._network.outages:
            present[device] &= not away <= round_ < back
        return present

    @property
    def steady(self) -> bool:
        """Whether all devices are always present."""
        return not (self._network.leave or self._network.outages)

    def _chain(self, round_: int) -> Array:
        at, present = self._known
        if round_ < at:
            at, present = 0, np.ones(self._devices, bool)
        for now in range(at + 1, round_ + 1):
            draw = seeds.stream(self._seed, "churn", now).random(self._devices)
            present = draw >= np.where(present, self._network.leave, 1 - self._network.back)
        self._known = (round_, present)
        return present


class Clock:
    """Simulated seconds at which each device has finished a round, ``(N,)``.

    Device i begins a round when it has finished the one before, and trains until ``E_i``. It mixes
    when all has arrived that it mixes, ``M`` bytes from each in-neighbor j that j had ``d_ij``
    rounds ago, so that it finishes round t at

    ``T_i(t) = max(E_i(t), max_j E_j(t - d_ij) + latency + M / rate_ij)``,

    ``rate_ij = min(bandwidth, uplink / out_j, downlink / in_i)``,

    where ``out_j`` and ``in_i`` count the links that work in round t: those of a device share its
    up- and its downlink evenly. No device waits for a link that does not work. A device that is not
    active in a round waits until the first active device has finished the round. If messages are
    exchanged before training, ``E_j`` is when j has finished
    the round before, and the own steps come last. Source: equation 3 and the recursion of Marfoq,
    Xu, Neglia and Vidal, 2020, arXiv 2010.12229, to which delays and absence are added. Where a
    training takes several rounds, as with the algorithm ``asynchronous``, each of these takes as
    long as a training of one.

    Args:
        network: The settings.
        steps: Local steps of each device in a round, ``(N,)``.
        stragglers: The devices that are slow.
        seed: The seed of the jitter.
        traffic: Gives the traffic of a round by its number.
        ahead: Whether messages are exchanged before training.
    """

    def __init__(
        self,
        network: NetworkSettings,
        steps: Array,
        stragglers: list[int],
        seed: int,
        traffic: Callable[[int], Traffic],
        ahead: bool = False,
    ) -> None:
        self._network, self._seed, self._traffic = network, seed, traffic
        self._ahead = ahead
        self._training = np.asarray(steps, float) * network.step_seconds
        self._training[stragglers] *= network.slowdown
        self._begin()

    def _begin(self) -> None:
        self._done, self._finished = -1, np.zeros(len(self._training))
        self._trained: list[Array] = []

    def __call__(self, round_: int) -> Array:
        """The time when each device has finished a round, in seconds since the first began."""
        if not takes_time(self._network):
            return np.zeros(len(self._training))
        if round_ < self._done:
            self._begin()
        for now in range(self._done + 1, round_ + 1):
            self._finished = self._finish(now, self._traffic(now))
            self._done = now
        return self._finished

    def _finish(self, round_: int, traffic: Traffic) -> Array:
        spent = np.where(traffic.active, self._training * self._factors(round_), 0.0)
        ready = self._finished if self._ahead else self._finished + spent
        self._trained = [ready, *self._trained[: max(1, longest(self._network))]]
        finished = ready.copy()
        if len(traffic.links):
            source, target = traffic.links.T
            sent = np.stack(self._trained)[traffic.delays, source]
            np.maximum.at(finished, target, sent + self._travel(traffic))
        if self._ahead:
            finished += spent
        if traffic.active.any():
            first = finished[traffic.active].min()
            finished[~traffic.active] = np.maximum(finished[~traffic.active], first)
        return finished

    def _factors(self, round_: int) -> Array:
        if not self._network.jitter:
            return np.ones(len(self._training))
        draw = seeds.stream(self._seed, "jitter", round_).standard_normal(len(self._training))
        return np.exp(self._network.jitter * draw)

    def _travel(self, traffic: Traffic) -> Array:
        """Seconds from the sending to the arrival over each link, ``(L,)``."""
        network = self._network
        slowness = np.full(len(traffic.links), 1 / network.bandwidth if network.bandwidth else 0.0)
        for ends, rate in zip(traffic.links.T, (network.uplink, network.downlink), strict=True):
            if rate:
                slowness = np.maximum(slowness, np.bincount(ends)[ends] / rate)
        return network.latency + traffic.message * slowness
