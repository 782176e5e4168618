"""The sections of a run file, with every setting, what it may be, and its default."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=10**9)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MANY = 100_000
"""Devices that a list may have."""

Devices = Annotated[list[Natural], Field(max_length=MANY)]


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


class Section(BaseModel):
    """One table of a run file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Topology(Section):
    """Who may talk to whom: a named family of graphs, or a file, but not both.

    Where it changes, centralities are those of every ``refresh``-th round, until the next one.
    """

    name: str = "barabasi_albert"
    file: str | None = None
    devices: Annotated[int, Field(ge=1)] | None = None
    seed: Seed = 0
    link_probability: Share = 1.0
    allow_disconnected: bool = False
    refresh: Count = 1


class Strategy(Section):
    """The rule that makes a row of the mixing matrix; temperature is used by centralities."""

    name: str = "degree"
    temperature: Temperature = 0.1


class Schedule(Section):
    """How the inverse temperature changes from round to round."""

    name: str = "constant"


class Algorithm(Section):
    """What a device does with its vector around training and mixing."""

    name: str = "dsgd"


class Data(Section):
    """Which data set, where it lies, and how much of it is used."""

    name: str = "digits"
    dir: str | None = None
    train_samples: Count | None = None
    test_samples: Count | None = None


SOURCES = "must be a device number, text such as 'degree:1' or 'random:2', or a list of these"

Chosen = int | str | Annotated[list[int | str], Field(max_length=MANY)]
"""Devices as :func:`mpidl.placement.chosen` reads them."""


class Ood(Section):
    """Out-of-distribution data: its kind, the devices that hold it, and how much of it.

    ``sources`` are device numbers, or ``"degree:1"`` (first by that centrality),
    ``"published:1"`` (as stored with the graph), ``"random:2"`` or ``"random:20%"`` (that many at
    random).
    """

    name: str = "trigger"
    sources: Chosen = Field("degree:1", description=SOURCES)
    proportion: Share = 0.1
    test_share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.1


class Placement(Section):
    """Which samples live on which device, and which devices on which rank."""

    name: str = "iid"
    hosts: Literal["blocks", "round_robin"] | Devices = Field(
        "blocks",
        description="must be 'blocks', 'round_robin', or a list of the rank of each device",
    )


class Model(Section):
    """Which model every device trains."""

    name: str = "mlp"


class Training(Section):
    """The local step. ``steps`` replaces ``epochs`` where it is given."""

    rounds: Count = 10
    epochs: Count = 1
    steps: Count | None = None
    batch_size: Count = 32
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Rate = 0.05
    momentum: Decay = 0.0
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999), strict=False, description="must be two numbers from 0 to below 1"
    )
    optimizer_state: Literal["kept", "reset"] = "kept"
    proximal: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    participation: Share = 1.0
    seed: Seed = 0
    init: Literal["common", "per_device"] = "common"
    order: Literal["shuffled", "fixed"] = "shuffled"
    precision: Literal["float32", "bfloat16"] = "float32"
    accelerator: Literal["auto", "cpu", "cuda", "xpu"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        1, description="must be a number from 1 to 1024, or 'auto' for a rank's share of the cores"
    )
    batched: Literal["auto", "yes", "no"] = "auto"
    nonfinite: Literal["stop", "continue"] = "stop"


class Evaluation(Section):
    """How often, when in the round, and how accuracy is counted."""

    every: Count = 1
    moment: Literal["trained", "mixed", "both"] = "both"
    batch_size: Count = 512
    accuracy: Literal["exact", "padded"] = "exact"


class Exchange(Section):
    """How parameters travel, and whether devices mix at once, in turn, or with the last round's."""

    backend: str = "auto"
    mixing: Literal["synchronous", "sequential", "delayed"] = "synchronous"
    sequence: Devices | None = Field(
        None, description="must be a list of all devices, in the order in which they mix"
    )
    accelerator_aware: Literal["auto", "yes", "no"] = "auto"


DELAY = 1000
"""Rounds by which a link may be late; so many vectors are kept of every device."""

Delay = Annotated[int, Field(ge=0, le=DELAY)]
Bounds = Annotated[list[Delay], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Outage = Annotated[
    list[Natural], Field(min_length=3, max_length=3), AfterValidator(_ends_after_it_begins)
]


class Network(Section):
    """A network that takes time and fails; by default it does neither.

    The clock: ``latency`` in seconds; ``bandwidth`` of a link and ``uplink`` and ``downlink`` of a
    device, which its links share, in bytes per second, unlimited where they are not given;
    ``step_seconds`` of a local step, ``slowdown`` times as many on ``stragglers`` (as
    ``ood.sources``), times a log-normal factor of median 1 and this ``jitter``, drawn for every
    device and round. :class:`mpidl.network.Clock` says how seconds add up.

    Lateness: ``delay`` rounds on each link, or ``[lowest, highest]``, between which each link
    draws once, or each round anew.

    Absence: ``outages`` as ``[device, first round away, first round back]``, rounds from 0; and in
    each round a device that is there leaves with the chance ``leave``, one that is not comes
    ``back``.
    """

    latency: Seconds = 0.0
    bandwidth: Rate | None = None
    uplink: Rate | None = None
    downlink: Rate | None = None
    step_seconds: Seconds = 0.0
    stragglers: Chosen = Field(default=[], description=SOURCES)
    slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    jitter: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    delay: Delay | Bounds = Field(
        0,
        description=f"must be rounds from 0 to {DELAY}, or [lowest, highest] in ascending order",
    )
    delay_draw: Literal["per_link", "per_round"] = "per_link"
    outages: Annotated[list[Outage], Field(max_length=MANY)] = Field(
        default=[],
        description="must list [device, first round away, first round back] in ascending order",
    )
    leave: Chance = 0.0
    back: Chance = 0.5


class Attack(Section):
    """What malicious devices send in place of their models, from a round on, counted from 0.

    ``devices`` as ``ood.sources``.
    """

    name: str = "none"
    devices: Chosen = Field("random:1", description=SOURCES)
    from_round: Natural = 0


class Record(Section):
    """How the results file is written: every so many rounds, or seconds if that comes first."""

    writer: Literal["auto", "parallel", "gather"] = "auto"
    every: Count = 10
    seconds: Rate = 30.0


class Checkpoint(Section):
    """How often the full state is saved, in rounds and in minutes; 0 means never.

    The newest ``keep`` are kept until the run has come to its end; with ``final`` they stay, and
    the state after the last round is saved too.
    """

    every: Natural = 0
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 15.0
    keep: Annotated[int, Field(ge=1, le=10**6)] = 2
    final: bool = False


@dataclass(frozen=True)
class RunFile:
    """A run file, whole and validated; its sections also hold their builder's parameters."""

    name: str
    topology: Topology
    strategy: Strategy
    schedule: Schedule
    algorithm: Algorithm
    data: Data
    ood: Ood
    placement: Placement
    model: Model
    training: Training
    evaluation: Evaluation
    exchange: Exchange
    network: Network
    attack: Attack
    record: Record
    checkpoint: Checkpoint

    def text(self) -> str:
        """The run file with every setting resolved, as TOML."""
        tables = {
            field.name: getattr(self, field.name).model_dump(exclude_none=True)
            for field in fields(self)
            if field.name != "name"
        }
        if self.topology.file is not None:
            del tables["topology"]["name"]
        return tomli_w.dumps({"name": self.name, **tables})


SECTIONS: dict[str, type[Section]] = {
    "topology": Topology,
    "strategy": Strategy,
    "schedule": Schedule,
    "algorithm": Algorithm,
    "data": Data,
    "ood": Ood,
    "placement": Placement,
    "model": Model,
    "training": Training,
    "evaluation": Evaluation,
    "exchange": Exchange,
    "network": Network,
    "attack": Attack,
    "record": Record,
    "checkpoint": Checkpoint,
}
"""Sections by name, in the order in which a resolved file lists them."""

UNTOLD: dict[str, list[str] | None] = {
    "data": ["dir"],
    "placement": ["hosts"],
    "record": None,
    "checkpoint": None,
}
"""What no result depends on: by section settings, or all of it."""
