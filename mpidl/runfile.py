"""Everything that decides a result, read from TOML into validated, frozen settings."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from mpidl.faults import Fault
from mpidl.registry import Registry, nearest

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]


def _nonzero(value: float) -> float:
    if value == 0:
        raise ValueError("must not be zero")
    return value


Temperature = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_nonzero)]


class Section(BaseModel):
    """One table of a run file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Topology(Section):
    """Who may talk to whom: a named family of graphs, or a file."""

    name: str = "barabasi_albert"
    file: str | None = None
    devices: Count | None = None
    seed: Seed = 0
    link_probability: Share = 1.0
    allow_disconnected: bool = False


class Strategy(Section):
    """The rule that makes a row of the mixing matrix; temperature is used by centralities."""

    name: str = "degree"
    temperature: Temperature = 0.1


class Schedule(Section):
    """How the inverse temperature changes from round to round."""

    name: str = "constant"


class Data(Section):
    """Which data set, where it lies, and how much of it is used."""

    name: str = "digits"
    dir: str | None = None
    train_samples: Count | None = None
    test_samples: Count | None = None


class Ood(Section):
    """Out-of-distribution data: its kind, the devices that hold it, and how much of it.

    ``sources`` are device numbers, or ``"degree:1"`` (first by that centrality),
    ``"published:1"`` (as stored with the graph), ``"random:2"`` (that many at random).
    """

    name: str = "trigger"
    sources: int | str | list[int | str] = "degree:1"
    proportion: Share = 0.1
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Placement(Section):
    """Which samples live on which device, and which devices on which rank."""

    name: str = "iid"
    hosts: Literal["blocks", "round_robin"] | list[Natural] = "blocks"


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
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), strict=False)
    optimizer_state: Literal["kept", "reset"] = "kept"
    proximal: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    participation: Share = 1.0
    seed: Seed = 0
    init: Literal["common", "per_device"] = "common"
    order: Literal["shuffled", "fixed"] = "shuffled"
    precision: Literal["float32", "bfloat16"] = "float32"
    accelerator: Literal["auto", "cpu", "cuda", "xpu"] = "auto"
    threads: Count = 1


class Evaluation(Section):
    """How often, when in the round, and how accuracy is counted."""

    every: Count = 1
    moment: Literal["trained", "mixed", "both"] = "both"
    batch_size: Count = 512
    accuracy: Literal["exact", "padded"] = "exact"


class Exchange(Section):
    """How parameters travel, and whether devices mix at once or one after the other."""

    backend: str = "auto"
    mixing: Literal["synchronous", "sequential"] = "synchronous"
    sequence: list[Natural] | None = None
    accelerator_aware: Literal["auto", "yes", "no"] = "auto"


class Record(Section):
    """How the results file is written: every so many rounds, or seconds if that comes first."""

    writer: Literal["auto", "parallel", "gather"] = "auto"
    every: Count = 10
    seconds: Rate = 30.0


class Checkpoint(Section):
    """How often the full state is saved; 0 means never."""

    every: Natural = 0


@dataclass(frozen=True)
class RunFile:
    """A run file, whole and validated; its sections also hold their builder's parameters."""

    name: str
    topology: Topology
    strategy: Strategy
    schedule: Schedule
    data: Data
    ood: Ood
    placement: Placement
    model: Model
    training: Training
    evaluation: Evaluation
    exchange: Exchange
    record: Record
    checkpoint: Checkpoint

    def text(self) -> str:
        """The run file with every setting resolved, as TOML."""
        tables = {
            field.name: getattr(self, field.name).model_dump(exclude_none=True)
            for field in fields(self)
            if field.name != "name"
        }
        return tomli_w.dumps({"name": self.name, **tables})


SECTIONS: dict[str, type[Section]] = {
    "topology": Topology,
    "strategy": Strategy,
    "schedule": Schedule,
    "data": Data,
    "ood": Ood,
    "placement": Placement,
    "model": Model,
    "training": Training,
    "evaluation": Evaluation,
    "exchange": Exchange,
    "record": Record,
    "checkpoint": Checkpoint,
}
"""Sections by name, in the order in which a resolved file lists them."""


def read(
    source: Path | str, overrides: Sequence[str] = (), kinds: Mapping[str, Registry] | None = None
) -> RunFile:
    """Read a run file and check all of it.

    Args:
        source: The path of a TOML file, or TOML text.
        overrides: ``section.key=value`` each, in the order of the command line.
        kinds: The registry of each section that names a builder.

    Raises:
        Fault: With one sentence for every setting that is wrong.
    """
    tables = _tables(source)
    if isinstance(source, Path):
        tables.setdefault("name", source.stem)
    for override in overrides:
        _override(tables, override)
    return validate(tables, kinds or {})


def validate(tables: dict[str, Any], kinds: Mapping[str, Registry]) -> RunFile:
    """Check the tables of a run file; see :func:`read`."""
    faults: list[str] = []
    name = tables.get("name", "run")
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        faults.append(
            f"name = {name!r}: must be a file name, without '/' and without a leading dot."
        )
    known = [*SECTIONS, "name"]
    faults += [
        f"Unknown section [{key}]; {nearest(key, known)}" for key in tables if key not in known
    ]
    sections = {}
    for key, section in SECTIONS.items():
        try:
            sections[key] = _section(key, section, tables.get(key, {}), kinds.get(key))
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(*faults)
    return RunFile(name=name, **sections)


def _section(key: str, section: type[Section], table: Any, registry: Registry | None) -> Any:
    if not isinstance(table, dict):
        raise Fault(f"{key} = {table!r}: must be a table, written [{key}].")
    settings = section
    namer = "backend" if "backend" in section.model_fields else "name"
    name = table.get(namer, section.model_fields[namer].default if registry else None)
    if registry is not None and isinstance(name, str):
        if name not in registry:
            told = nearest(name, registry)
            raise Fault(f"{key}.{namer} = {name!r}: unknown {registry.kind}; {told}")
        settings = create_model(key, __base__=(section, registry.settings(name)))  # type: ignore[arg-type]
    try:
        return settings.model_validate(table)
    except ValidationError as error:
        raise Fault(*(_sentence(key, settings, fault) for fault in error.errors())) from None


def _sentence(section: str, settings: type[BaseModel], fault: Any) -> str:
    key = ".".join([section, *(str(part) for part in fault["loc"] if str(part).isidentifier())])
    if fault["type"] == "extra_forbidden":
        return f"Unknown setting {key}; {nearest(str(fault['loc'][0]), settings.model_fields)}"
    if fault["type"] == "missing":
        return f"{key} is missing."
    told = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{section}.{fault['loc'][0]} = {fault['input']!r}: {told}."


def _tables(source: Path | str) -> dict[str, Any]:
    if isinstance(source, str):
        return tomllib.loads(source)
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fault(f"Cannot read the run file {source}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Fault(f"The run file {source} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise Fault(f"The run file {source} is not valid TOML: {error}.") from None


def _override(tables: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    *sections, key = path.strip().split(".")
    if not equals or not key or len(sections) > 1:
        raise Fault(f"--set {override!r}: must be section.key=value, such as training.rounds=20.")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise Fault(f"--set {override!r}: {section} is not a section.")
    table[key] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
