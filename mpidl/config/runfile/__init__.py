"""Run files, which hold everything that decides a result, as validated, frozen settings."""

from pathlib import Path

from mpidl.config.runfile.bringing import OTHERS, add_use, begin, bring
from mpidl.config.runfile.mixing_settings import (
    MixingSettings,
    NetworkSettings,
    ScheduleSettings,
    StrategySettings,
)
from mpidl.config.runfile.reading import (
    lay_over,
    overridden,
    override,
    placed,
    read,
    stored,
    validate,
)
from mpidl.config.runfile.run_file import SECTIONS, USE, WITHOUT_EFFECT, RunFile
from mpidl.config.runfile.section import Count, Rate, Section
from mpidl.config.runfile.settings import (
    CheckpointSettings,
    DataSettings,
    EvaluationSettings,
    LrScheduleSettings,
    ModelSettings,
    RecordSettings,
    TaskSettings,
    TopologySettings,
    TrainingSettings,
)

__all__ = [
    "DEFAULT",
    "OTHERS",
    "SECTIONS",
    "USE",
    "WITHOUT_EFFECT",
    "CheckpointSettings",
    "Count",
    "DataSettings",
    "EvaluationSettings",
    "LrScheduleSettings",
    "MixingSettings",
    "ModelSettings",
    "NetworkSettings",
    "Rate",
    "RecordSettings",
    "RunFile",
    "ScheduleSettings",
    "Section",
    "StrategySettings",
    "TaskSettings",
    "TopologySettings",
    "TrainingSettings",
    "add_use",
    "begin",
    "bring",
    "lay_over",
    "overridden",
    "override",
    "placed",
    "read",
    "stored",
    "validate",
]

DEFAULT = Path(__file__).parents[1] / "default.toml"
"""The run file of a run without one, in the package."""
