"""Everything that decides a result, read from TOML into validated, frozen settings."""

from mpidl.runfile.reading import lay_over, override, placed, read, validate
from mpidl.runfile.settings import (
    SECTIONS,
    UNTOLD,
    Checkpoint,
    Count,
    Data,
    Evaluation,
    Network,
    Rate,
    Record,
    RunFile,
    Schedule,
    Section,
    Strategy,
    Topology,
    Training,
)

__all__ = [
    "SECTIONS",
    "UNTOLD",
    "Checkpoint",
    "Count",
    "Data",
    "Evaluation",
    "Network",
    "Rate",
    "Record",
    "RunFile",
    "Schedule",
    "Section",
    "Strategy",
    "Topology",
    "Training",
    "lay_over",
    "override",
    "placed",
    "read",
    "validate",
]
