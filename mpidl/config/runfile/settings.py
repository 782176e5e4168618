"""Settings of a run file: its sections beside those of gossip."""

from typing import Annotated, Literal

from pydantic import Field

from mpidl.config.parameters import Setting
from mpidl.config.runfile.section import (
    SOURCES,
    Chosen,
    CodeName,
    Count,
    Decay,
    Devices,
    Natural,
    Rate,
    Section,
    Seed,
    Share,
)


class TopologySettings(Section):
    """The graph of devices: a named family of graphs, or a file, but not both."""

    name: str = "barabasi_albert"
    file: str | None = None
    """The file of a graph: links, a matrix or GraphML; excludes ``name``."""
    devices: Annotated[int, Field(ge=1)] | None = None
    """Number of devices; unset, that of the ranks, or that of the file."""
    seed: Seed = 0
    """The seed of random graphs."""
    link_probability: Share = 1.0
    """The chance that a link works in a round, unless the graph's file gives it a lower one."""
    allow_disconnected: bool = False
    """Whether some devices may be unable to reach others."""
    refresh: Count = 1
    """For a graph that changes, rounds after which centralities are computed again."""


class DataSettings(Section):
    """The data set, its folder, and how much of it is used."""

    name: str = "digits"
    dir: str | None = None
    """The folder with its files; data sets that come with the program need none."""
    train_samples: Count | None = None
    """Training samples that are used, drawn so that classes keep their shares; unset, all."""
    test_samples: Count | None = None
    """Test samples that are used, drawn in the same way; unset, all."""


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
    """The placement of samples on devices, and of devices on ranks."""

    name: str = "iid"
    hosts: Literal["blocks", "round_robin"] | Devices = Field(
        "blocks",
        description="must be 'blocks', 'round_robin', or a list of the rank of each device",
    )
    """The ranks that host devices: each a block of consecutive devices, in turn, or as listed."""


class ModelSettings(Section):
    """The model that every device trains."""

    name: str = "mlp"


class TaskSettings(Section):
    """The task: what models are trained for, and what they are measured by."""

    name: str = "auto"


class TrainingSettings(Section):
    """The training of devices, and the number of rounds."""

    rounds: Count = 10
    """Rounds of the run, R; each trains, exchanges and mixes."""
    epochs: Count = 1
    """Epochs, passes over its own samples, that a device trains in a round."""
    steps: Count | None = None
    """Steps that a device trains in a round, in place of ``epochs``."""
    batch_size: Count = 32
    """Samples in a batch, for one step."""
    optimizer: Literal["sgd", "adam", "adamw"] | CodeName = Field(
        "sgd",
        description="must be 'sgd', 'adam', 'adamw', or a class of torch's kind by its place: "
        "'torch.optim:RMSprop', 'file.py:Class'",
    )
    """The optimizer."""
    optimizer_settings: dict[str, Setting] | None = Field(
        None, description="must be a table of the arguments of that class"
    )
    """The arguments of an optimizer by its place, beside ``lr``."""
    lr: Rate = 0.05
    """The learning rate; ``[lr_schedule]`` changes it as rounds pass."""
    momentum: Decay = 0.0
    """Momentum of sgd: the share of the last step that is kept."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Weight decay: its product with the parameters is added to the gradient; adamw subtracts it
    from the parameters."""
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999), strict=False, description="must be two numbers from 0 to below 1"
    )
    """Decay of adam and adamw, for the means of gradients and of their squares."""
    optimizer_state: Literal["kept", "reset"] = "kept"
    """Whether momentum and means of gradients are kept from round to round, or reset."""
    proximal: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Strength of FedProx' pull towards the model with which the round began; 0 is none."""
    clip: Rate | None = None
    """The largest norm of a step's gradient, over all parameters, to which a larger one is scaled
    down; unset, none."""
    participation: Share = 1.0
    """The share of active devices in a round, drawn anew; others keep their model."""
    seed: Seed = 0
    """The seed of initial models, placement, batches and all other draws of the run."""
    init: Literal["common", "per_device"] = "common"
    """Whether all devices start from one model, or each from its own."""
    order: Literal["shuffled", "fixed"] = "shuffled"
    """Whether samples are shuffled in each epoch, or keep their order, OOD samples last."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision in which models compute; parameters are kept in float32. tf32, for CUDA GPUs since
    the A100, rounds the factors of matrix products and convolutions to 11 bits."""
    accelerator: Literal["auto", "cpu", "cuda", "xpu"] = "auto"
    """The hardware that trains models; auto takes an accelerator if there is one."""
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        1, description="must be a number from 1 to 1024, or 'auto' for a rank's share of the cores"
    )
    """Threads of a rank; with more than 1 results may differ in the last bits."""
    batched: Literal["auto", "yes", "no"] = "auto"
    """Whether a rank trains its devices at once, as one model; auto does so on accelerators."""
    nonfinite: Literal["stop", "continue"] = "stop"
    """Whether the run stops or continues when a training loss is not finite."""


class LrScheduleSettings(Section):
    """The change of the learning rate as rounds pass: a factor of it."""

    name: str = "constant"


class EvaluationSettings(Section):
    """The evaluation of models: how often, when in the round, and how accuracy is counted."""

    every: Count = 1
    """Rounds from one evaluation to the next; the last round is always evaluated."""
    moment: Literal["trained", "mixed", "both"] = "both"
    """Whether models are evaluated after training, after mixing, or both times."""
    batch_size: Count = 512
    """Samples that are evaluated at a time."""
    accuracy: Literal["exact", "padded"] = "exact"
    """How correct answers are counted: by all samples, or as the testbed does, by whole batches."""


class RecordSettings(Section):
    """The writing of the results file, every few rounds or seconds; and live logging."""

    writer: Literal["auto", "parallel", "gather"] = "auto"
    """Whether ranks write the results file in parallel, or rank 0 writes for all; auto writes in
    parallel if h5py can."""
    every: Count = 10
    """Rounds after which results are written to the disk."""
    seconds: Rate = 30.0
    """Seconds after which results are written, if that comes first."""
    log: list[str] = Field([], description="must be a list of names of loggers")
    """The loggers that show the series while the run goes on."""


class CheckpointSettings(Section):
    """Checkpoints: how often the full state is saved, and how many are kept."""

    every: Natural = 0
    """Rounds from one checkpoint to the next; 0 means never."""
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 15.0
    """Minutes after which one is saved, if that comes first; 0 means never."""
    keep: Annotated[int, Field(ge=1, le=10**6)] = 2
    """Number of the newest checkpoints that are kept while the run goes on."""
    final: bool = False
    """Whether the state after the last round is saved and kept, so that the run can be continued
    with more rounds."""
