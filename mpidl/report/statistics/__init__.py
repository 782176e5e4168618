"""What runs say together: means with intervals, relations, and strategies side by side."""

from mpidl.report.statistics.comparisons import blocks, pairs, ranking
from mpidl.report.statistics.groups import groups, relations, seeded, seeded_devices
from mpidl.report.statistics.inference import (
    CONFIDENCE,
    Regression,
    holm,
    interval,
    paired_t,
    regress,
    signed_rank,
    varies,
)

__all__ = [
    "CONFIDENCE",
    "Regression",
    "blocks",
    "groups",
    "holm",
    "interval",
    "paired_t",
    "pairs",
    "ranking",
    "regress",
    "relations",
    "seeded",
    "seeded_devices",
    "signed_rank",
    "varies",
]
