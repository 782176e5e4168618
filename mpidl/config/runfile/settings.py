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


class TopologySettings(Section):
    """Who may talk to whom: a named family of graphs, or a file, but not both."""

    name: str = "barabasi_albert"
    file: str | None = None
    """The file of a graph: links, a matrix or GraphML; goes without ``name``."""
    devices: Annotated[int, Field(ge=1)] | None = None
    """How many devices there are; unset, as many as ranks, or as the file has."""
    seed: Seed = 0
    """What random graphs are drawn by."""
    link_probability: Share = 1.0
    """The chance that a link works in a round, where the graph says no less."""
    allow_disconnected: bool = False
    """Whether some devices may be unable to reach others."""
    refresh: Count = 1
    """Of a graph that changes, rounds after which centralities are those of the present round."""


class StrategySettings(Section):
    """The rule that makes a row of the mixing matrix."""

    name: str = "degree"
    temperature: Temperature = 0.1
    """Of the softmax of a centrality: the nearer to 0, the more the central ones count; negative,
    the others."""


class ScheduleSettings(Section):
    """How the inverse temperature changes from round to round."""

    name: str = "constant"


class AlgorithmSettings(Section):
    """What a device does with its vector around training and mixing."""

    name: str = "dsgd"


class DataSettings(Section):
    """Which data set, where it lies, and how much of it is used."""

    name: str = "digits"
    dir: str | None = None
    """The folder with its files; data sets that come with the program need none."""
    train_samples: Count | None = None
    """Training samples that are used: a draw in which classes keep their shares; unset, all."""
    test_samples: Count | None = None
    """Test samples that are used, drawn alike; unset, all."""


SOURCES = "must be a device number, text such as 'degree:1' or 'random:2', or a list of these"

Chosen = int | str | Annotated[list[int | str], Field(max_length=MANY)]
"""Devices as :func:`mpidl.components.placement.chosen` reads them."""


class OodSettings(Section):
    """Out-of-distribution data: its kind, the devices that hold it, and how much of it."""

    name: str = "trigger"
    sources: Chosen = Field("degree:1", description=SOURCES)
    """The devices that hold it: numbers, the first by a centrality ('degree:1'), as stored with the
    graph ('published:1'), or at random ('random:2', 'random:20%')."""
    proportion: Share = 0.1
    """The share of a source's training samples that becomes out-of-distribution."""
    test_share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.1
    """The share of the test set that becomes the OOD test set."""


class PlacementSettings(Section):
    """Which samples live on which device, and which devices on which rank."""

    name: str = "iid"
    hosts: Literal["blocks", "round_robin"] | Devices = Field(
        "blocks",
        description="must be 'blocks', 'round_robin', or a list of the rank of each device",
    )
    """Which rank hosts a device: blocks of consecutive ones, in turn, or the rank of each."""


class ModelSettings(Section):
    """Which model every device trains."""

    name: str = "mlp"


class TrainingSettings(Section):
    """How devices train, and for how many rounds."""

    rounds: Count = 10
    """Rounds of the run, R; each trains, exchanges and mixes."""
    epochs: Count = 1
    """Passes over its own samples that a device trains in a round."""
    steps: Count | None = None
    """Steps that a device trains in a round, in place of ``epochs``."""
    batch_size: Count = 32
    """Samples of a step."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """What turns gradients into steps."""
    lr: Rate = 0.05
    """The learning rate."""
    momentum: Decay = 0.0
    """Of sgd: the share of the last step that is kept."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Times the parameters, added to the gradient; with adamw, taken off the parameters."""
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999), strict=False, description="must be two numbers from 0 to below 1"
    )
    """Of adam and adamw: the decay of the means of gradients and of their squares."""
    optimizer_state: Literal["kept", "reset"] = "kept"
    """Whether momentum and means of gradients go on, or begin anew in each round."""
    proximal: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Strength of FedProx' pull towards the model with which the round began; 0 is none."""
    participation: Share = 1.0
    """The share of devices that take part in a round, drawn anew; others keep their model."""
    seed: Seed = 0
    """What initial models, placement, batches and all other draws of the run follow from."""
    init: Literal["common", "per_device"] = "common"
    """Whether all devices start from one model, or each from its own."""
    order: Literal["shuffled", "fixed"] = "shuffled"
    """Whether samples are shuffled in each epoch, or keep their order, OOD samples last."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Of the arithmetic of models; parameters are kept in float32. tf32, of CUDA GPUs since the
    A100, rounds the factors of matrix products and convolutions to 11 bits."""
    accelerator: Literal["auto", "cpu", "cuda", "xpu"] = "auto"
    """Where models are trained; auto takes what there is."""
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        1, description="must be a number from 1 to 1024, or 'auto' for a rank's share of the cores"
    )
    """Threads of a rank; with more than 1 results may differ in the last bits."""
    batched: Literal["auto", "yes", "no"] = "auto"
    """Whether a rank trains its devices at once, as one model; auto does so on accelerators."""
    nonfinite: Literal["stop", "continue"] = "stop"
    """What becomes of the run when a training loss is not finite."""


class EvaluationSettings(Section):
    """How often, when in the round, and how accuracy is counted."""

    every: Count = 1
    """Rounds from one evaluation to the next; the last round is always evaluated."""
    moment: Literal["trained", "mixed", "both"] = "both"
    """Whether models are evaluated after training, after mixing, or both times."""
    batch_size: Count = 512
    """Samples that are evaluated at a time."""
    accuracy: Literal["exact", "padded"] = "exact"
    """How right answers are counted: by all samples, or as the testbed does, by whole batches."""


class ExchangeSettings(Section):
    """How parameters travel, and whether devices mix at once, in turn, or with the last round's."""

    backend: str = "auto"
    mixing: Literal["synchronous", "sequential", "delayed"] = "synchronous"
    """Whether devices mix at once, in turn with what is already mixed, or with the vectors of the
    round before."""
    sequence: Devices | None = Field(
        None, description="must be a list of all devices, in the order in which they mix"
    )
    """The order in which devices mix in turn; unset, that of their numbers."""
    accelerator_aware: Literal["auto", "yes", "no"] = "auto"
    """Whether MPI is given an accelerator's memory; auto tries it where MPI says that it can."""


DELAY = 1000
"""Rounds by which a link may be late; so many vectors are kept of every device."""

Delay = Annotated[int, Field(ge=0, le=DELAY)]
Bounds = Annotated[list[Delay], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Outage = Annotated[
    list[Natural], Field(min_length=3, max_length=3), AfterValidator(_ends_after_it_begins)
]


class NetworkSettings(Section):
    """A network that takes time and fails; by default it does neither.

    :class:`mpidl.plan.network.Clock` says how the seconds add up.
    """

    latency: Seconds = 0.0
    """Seconds that each message takes beside those for its bytes, by the virtual clock."""
    bandwidth: Rate | None = None
    """Bytes a second of a link; unset, no limit."""
    uplink: Rate | None = None
    """Bytes a second that a device sends, shared by its links; unset, no limit."""
    downlink: Rate | None = None
    """Bytes a second that a device receives, shared by its links; unset, no limit."""
    step_seconds: Seconds = 0.0
    """Seconds of a local step, by the virtual clock."""
    stragglers: Chosen = Field(default=[], description=SOURCES)
    """The devices that are slow, as ``ood.sources`` names them."""
    slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    """How many times as long a straggler's step takes."""
    jitter: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """How much step times vary: sigma of a log-normal factor with median 1, for each device and
    round."""
    delay: Delay | Bounds = Field(
        0,
        description=f"must be rounds from 0 to {DELAY}, or [lowest, highest] in ascending order",
    )
    """Rounds by which what travels over a link is late, or between which that is drawn."""
    delay_draw: Literal["per_link", "per_round"] = "per_link"
    """Whether a delay between bounds is drawn once for a link, or in each round."""
    outages: Annotated[list[Outage], Field(max_length=MANY)] = Field(
        default=[],
        description="must list [device, first round away, first round back] in ascending order",
    )
    """Which devices are away from one round until before another, rounds from 0."""
    leave: Chance = 0.0
    """The chance in each round that a device which is there leaves."""
    back: Chance = 0.5
    """The chance in each round that a device which left comes back."""


class AttackSettings(Section):
    """What malicious devices send in place of their models, from a round on."""

    name: str = "none"
    devices: Chosen = Field("random:1", description=SOURCES)
    """The devices that are malicious, as ``ood.sources`` names them."""
    from_round: Natural = 0
    """The first round in which they lie, rounds from 0."""


class RecordSettings(Section):
    """How the results file is written: every so many rounds, or seconds if that comes first."""

    writer: Literal["auto", "parallel", "gather"] = "auto"
    """Whether all ranks write the results file, or rank 0 for them; auto writes in parallel where
    h5py can."""
    every: Count = 10
    """Rounds after which rows are written to the disk."""
    seconds: Rate = 30.0
    """Seconds after which they are written, if that comes first."""


class CheckpointSettings(Section):
    """How often the full state is saved, and how long it is kept."""

    every: Natural = 0
    """Rounds from one checkpoint to the next; 0 is never."""
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 15.0
    """Minutes after which one is saved, if that comes first; 0 is never."""
    keep: Annotated[int, Field(ge=1, le=10**6)] = 2
    """How many of the newest are kept while the run goes on."""
    final: bool = False
    """Whether the state after the last round is saved and kept, so that the run may go on for more.
    """


@dataclass(frozen=True)
class MixingSettings:
    """What gossip needs of a run file: neither data nor a model nor how devices train.

    Attributes:
        strategy: What makes a row of the mixing matrix.
        schedule: How its temperature changes.
        algorithm: What a device does around training and mixing.
        exchange: The backend, and whether devices mix at once, in turn, or with the last round's.
        network: What is late or away.
        attack: What malicious devices send.
        seed: What all draws of the rounds follow from.
        participation: The share of devices that take part in a round.
    """

    strategy: StrategySettings
    schedule: ScheduleSettings
    algorithm: AlgorithmSettings
    exchange: ExchangeSettings
    network: NetworkSettings
    attack: AttackSettings
    seed: int = 0
    participation: float = 1.0


@dataclass(frozen=True)
class RunFile:
    """A run file, whole and validated; its sections also hold their builder's parameters."""

    name: str
    topology: TopologySettings
    strategy: StrategySettings
    schedule: ScheduleSettings
    algorithm: AlgorithmSettings
    data: DataSettings
    ood: OodSettings
    placement: PlacementSettings
    model: ModelSettings
    training: TrainingSettings
    evaluation: EvaluationSettings
    exchange: ExchangeSettings
    network: NetworkSettings
    attack: AttackSettings
    record: RecordSettings
    checkpoint: CheckpointSettings

    @property
    def mixing(self) -> MixingSettings:
        """What gossip needs of it."""
        return MixingSettings(
            self.strategy,
            self.schedule,
            self.algorithm,
            self.exchange,
            self.network,
            self.attack,
            self.training.seed,
            self.training.participation,
        )

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
    "topology": TopologySettings,
    "strategy": StrategySettings,
    "schedule": ScheduleSettings,
    "algorithm": AlgorithmSettings,
    "data": DataSettings,
    "ood": OodSettings,
    "placement": PlacementSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "exchange": ExchangeSettings,
    "network": NetworkSettings,
    "attack": AttackSettings,
    "record": RecordSettings,
    "checkpoint": CheckpointSettings,
}
"""Sections by name, in the order in which a resolved file lists them."""

UNTOLD: dict[str, list[str] | None] = {
    "data": ["dir"],
    "placement": ["hosts"],
    "record": None,
    "checkpoint": None,
}
"""What no result depends on: by section settings, or all of it."""
