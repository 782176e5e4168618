"""Statistics of runs together: means with intervals, relations, strategies side by side."""

from functools import lru_cache

import pandas as pd

from mpidl.report.collection import Collection
from mpidl.report.statistics.comparisons import blocks, pairs, ranking
from mpidl.report.statistics.groups import SHARE, groups, relations, seeded, seeded_devices, within
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
    "SHARE",
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
    "tables",
    "varies",
    "within",
]


@lru_cache(maxsize=1)
def tables(collection: Collection) -> dict[str, pd.DataFrame]:
    """All tables over runs, by name; those that compare strategies only if there are several."""
    measure = collection.measure
    by_name = {"groups": groups(collection)}
    if collection.runs["strategy"].nunique() > 1:
        by_name |= {"ranking": ranking(collection, measure), "pairs": pairs(collection, measure)}
    if len(collection.summaries) > 1:
        by_name["relations"] = relations(collection, measure)
    return by_name
