"""Sections of a run file that mixing follows from: weights, algorithm, network, attack."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mpidl.config.runfile.section import (
    MANY,
    SOURCES,
    Chance,
    Chosen,
    Devices,
    Natural,
    Rate,
    Seconds,
    Section,
)


def _nonzero(value: float) -> float:
    if value == 0:
        raise ValueError("must not be zero")
    return value


def _ascending(bounds: list[int]) -> list[int]:
    if bounds != sorted(bounds):
        raise ValueError("must ascend")
    return bounds


def _ends_after_it_begins(outage: list[int]) -> list[int]:
    _, away, back = outage
    if back <= away:
        raise ValueError("must end after it begins")
    return outage


Temperature = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_nonzero)]


class StrategySettings(Section):
    """The rule that gives a device its mixing weights."""

    name: str = "degree"
    temperature: Temperature = 0.1
    """The temperature of the softmax of a centrality: near 0, the central devices get most weight;
    below 0, the others do."""


class ScheduleSettings(Section):
    """The change of the inverse temperature from round to round."""

    name: str = "constant"


class AlgorithmSettings(Section):
    """The algorithm: how devices train, exchange and mix their vectors."""

    name: str = "dsgd"


class ExchangeSettings(Section):
    """The exchange of vectors, and whether devices mix at once, in turn, or with a delay."""

    backend: str = "auto"
    mixing: Literal["synchronous", "sequential", "delayed"] = "synchronous"
    """Whether devices mix at once, in turn with vectors that are already mixed, or with the vectors
    of the round before."""
    sequence: Devices | None = Field(
        None, description="must be a list of all devices, in the order in which they mix"
    )
    """The order in which devices mix in turn; unset, by number."""
    accelerator_aware: Literal["auto", "yes", "no"] = "auto"
    """Whether MPI gets an accelerator's memory; auto tries it if MPI says that it supports it."""


DELAY = 1000
"""Most rounds by which a link may be late; so many vectors of every device are kept."""

Delay = Annotated[int, Field(ge=0, le=DELAY)]
Bounds = Annotated[list[Delay], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Outage = Annotated[
    list[Natural], Field(min_length=3, max_length=3), AfterValidator(_ends_after_it_begins)
]


class NetworkSettings(Section):
    """The network, with times, delays and failures; by default it has none of them.

    :class:`mpidl.plan.network.Clock` describes how the seconds add up.
    """

    latency: Seconds = 0.0
    """Seconds that each message takes beside those for its bytes, on the virtual clock."""
    bandwidth: Rate | None = None
    """Bytes a second of a link; unset, no limit."""
    uplink: Rate | None = None
    """Bytes a second that a device sends, shared by its links; unset, no limit."""
    downlink: Rate | None = None
    """Bytes a second that a device receives, shared by its links; unset, no limit."""
    step_seconds: Seconds = 0.0
    """Seconds of a local step, on the virtual clock."""
    stragglers: Chosen = Field(default=[], description=SOURCES)
    """The devices that are slow, as ``ood.sources`` names them."""
    slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    """The factor by which a straggler's step takes longer."""
    jitter: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """The variation of step times: sigma of a log-normal factor with median 1, for each device and
    round."""
    delay: Delay | Bounds = Field(
        0,
        description=f"must be rounds from 0 to {DELAY}, or [lowest, highest] in ascending order",
    )
    """Rounds by which messages on a link are late, or the bounds between which these are drawn."""
    delay_draw: Literal["per_link", "per_round"] = "per_link"
    """Whether a delay between bounds is drawn once for a link, or in each round."""
    outages: Annotated[list[Outage], Field(max_length=MANY)] = Field(
        default=[],
        description="must list [device, first round away, first round back] in ascending order",
    )
    """Devices that are away, from one round until before another; rounds count from 0."""
    leave: Chance = 0.0
    """The chance in each round that a present device leaves."""
    back: Chance = 0.5
    """The chance in each round that a device that left comes back."""


class AttackSettings(Section):
    """The attack: what malicious devices send in place of their models."""

    name: str = "none"
    devices: Chosen = Field("random:1", description=SOURCES)
    """The devices that are malicious, as ``ood.sources`` names them."""
    from_round: Natural = 0
    """The first round of the attack; rounds count from 0."""


@dataclass(frozen=True)
class MixingSettings:
    """Settings that gossip needs of a run file, without data, model and training.

    Attributes:
        strategy: The rule that gives a device its mixing weights.
        schedule: The change of its temperature.
        algorithm: The algorithm.
        exchange: The backend, and whether devices mix at once, in turn, or with a delay.
        network: Delays and absences.
        attack: The messages of malicious devices.
        seed: The seed of all draws in the rounds.
        participation: The share of devices that are drawn for a round.
    """

    strategy: StrategySettings
    schedule: ScheduleSettings
    algorithm: AlgorithmSettings
    exchange: ExchangeSettings
    network: NetworkSettings
    attack: AttackSettings
    seed: int = 0
    participation: float = 1.0
