"""Run file: all sections of settings together."""

import os
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

import tomli_w

from mpidl.config.runfile.mixing_settings import (
    AlgorithmSettings,
    AttackSettings,
    ExchangeSettings,
    MixingSettings,
    NetworkSettings,
    ScheduleSettings,
    StrategySettings,
)
from mpidl.config.runfile.section import Section
from mpidl.config.runfile.settings import (
    CheckpointSettings,
    DataSettings,
    EvaluationSettings,
    LrScheduleSettings,
    ModelSettings,
    OodSettings,
    PlacementSettings,
    RecordSettings,
    TaskSettings,
    TopologySettings,
    TrainingSettings,
)

USE = "use"
"""The key of the files and modules of one's own that a run file or a study file uses."""


@dataclass(frozen=True)
class RunFile:
    """A validated run file; its sections also hold the parameters of their builders.

    Attributes:
        name: The name of the run.
        use: Code of the user's own that it uses: absolute paths of files, and names of modules.
    """

    name: str
    topology: TopologySettings
    strategy: StrategySettings
    schedule: ScheduleSettings
    algorithm: AlgorithmSettings
    data: DataSettings
    ood: OodSettings
    placement: PlacementSettings
    model: ModelSettings
    task: TaskSettings
    training: TrainingSettings
    lr_schedule: LrScheduleSettings
    evaluation: EvaluationSettings
    exchange: ExchangeSettings
    network: NetworkSettings
    attack: AttackSettings
    record: RecordSettings
    checkpoint: CheckpointSettings
    use: tuple[str, ...] = ()

    @property
    def mixing(self) -> MixingSettings:
        """The settings that gossip needs."""
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

    def tables(self) -> dict[str, dict[str, Any]]:
        """Every setting that is not unset, resolved, by section."""
        tables = {
            section: getattr(self, section).model_dump(exclude_none=True) for section in SECTIONS
        }
        if self.topology.file is not None:
            del tables["topology"]["name"]
        return tables

    def text(self) -> str:
        """The run file with every setting resolved, as TOML."""
        use = {USE: list(self.use)} if self.use else {}
        return tomli_w.dumps({"name": self.name, **use, **self.tables()})

    def portable(self) -> "RunFile":
        """The same with files named without their folders, as results files tell it."""
        return replace(self, use=tuple(os.path.basename(source) for source in self.use))


SECTIONS: dict[str, type[Section]] = {
    name: kind for name, kind in get_type_hints(RunFile).items() if name not in ("name", USE)
}
"""Sections by name, in the order in which a resolved file lists them."""

WITHOUT_EFFECT: dict[str, list[str] | None] = {
    "data": ["dir"],
    "placement": ["hosts"],
    "record": None,
    "checkpoint": None,
}
"""By section, the settings that no result depends on; None for all settings of the section."""
