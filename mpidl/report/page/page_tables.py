"""Tables of a page: which columns they show at first, and what they leave out."""

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from mpidl.report import statistics
from mpidl.report.collection import Collection, highest
from mpidl.report.labels import Compared
from mpidl.report.page import sections, table
from mpidl.report.page.table import Table

FILES = 100
"""Most runs of which the page has all run files; for more runs it has the first one."""

MANY = 20
"""Most rows of a table without a filter."""

FIRST = {
    "devices": (
        *(
            "device",
            "name",
            "source",
            "hops",
            "degree",
            "stationary",
            "passage",
            "rounds_to_threshold",
        ),
        *("ood_level", "ood_last", "iid_level", "iid_last"),
    ),
    "groups": (
        *("cell", "strategy", "seeds"),
        *("ood_level", "ood_level_seeds_low", "ood_level_seeds_high", "iid_level", "difference"),
        *("ood_last", "ood_worst", "iid_last", "rounds_to_threshold", "reached"),
        *("iid_rounds_to_threshold", "unfinished"),
    ),
    "paper": (
        *("what", "strategy", "ours", "low", "high", "theirs", "theirs_low", "theirs_high"),
        *("difference", "percent", "comparable", "graph", "data", "rank", "axis", "x"),
    ),
    "ranking": (
        *("strategy", "rank", "wins", "mean", "low", "high"),
        *("blocks", "critical", "p"),
    ),
    "runs": (
        *("run", "strategy", "cell", "seed", "curve", "ood_level", "iid_level", "difference"),
        *(
            "rounds_to_threshold",
            "iid_rounds_to_threshold",
            "ood_last",
            "ood_worst",
            "iid_last",
            "done",
            "rounds",
        ),
    ),
}
"""Columns of a table that are shown at first; the others are shown on demand."""

SPARK = Markup('<svg class="s k{}" viewBox="0 0 72 18" aria-hidden="true"><path d="{}"/></svg>')


def all_of(collection: Collection, ranks: Mapping[str, int]) -> dict[str, Table]:
    """The tables of the page by name, as far as they make sense for these runs.

    Args:
        collection: The runs.
        ranks: The place of each strategy among all, which decides its colour.
    """
    if len(collection.summaries) == 1:
        devices = collection.devices.drop(columns="run")
        devices = devices.assign(source=devices["source"] == 1)
        if collection.value != "accuracy":
            devices = devices.drop(columns=[key for key in devices if devices[key].isna().all()])
        return {"devices": of(devices, "devices", collection.compared)}
    frames = statistics.tables(collection)
    tables = {
        name: of(_informative(frame, collection), name, collection.compared)
        for name, frame in frames.items()
        if len(frame)
    }
    return {**tables, "runs": _runs(collection, ranks)}


def _informative(frame: pd.DataFrame, collection: Collection) -> pd.DataFrame:
    """A table without labels that are the same in all lines, and without empty columns."""
    same = [key for key in ("strategy", "cell") if key in frame and frame[key].nunique() == 1]
    kept = [collection.reaching] if collection.value == "accuracy" else []
    none = [key for key in frame if frame[key].isna().all() and key not in kept]
    none += ["reached"] if "reached" in frame and not kept else []
    return frame.drop(columns=[*none, *(same if len(frame) > 1 else [])])


def of(frame: pd.DataFrame, name: str, compared: Compared = table.STRATEGIES) -> Table:
    """A table of a data frame; with many rows it can be filtered.

    Args:
        frame: A line for each row.
        name: Of the element on the page.
        compared: What the labels of runs stand for.
    """
    first = [*FIRST.get(name, ()), *filter(table.OWN.fullmatch, map(str, frame))]
    return table.of(frame, name, first, None, compared, filtered=len(frame) > MANY)


def _runs(collection: Collection, ranks: Mapping[str, int]) -> Table:
    frame, runs = collection.runs, collection.summaries.values()
    most = highest(collection)
    curves = [
        _drawn(
            sections.sparkline((one.curves[collection.kind].mean / most).tolist()), ranks[strategy]
        )
        for one, strategy in zip(runs, frame["strategy"], strict=True)
    ]
    links = [f"#file-{at}" for at in range(len(frame))] if len(frame) <= FILES else []
    extra = {"curve": curves}
    shown, compared = _informative(frame, collection), collection.compared
    first = [*FIRST["runs"], *filter(table.OWN.fullmatch, map(str, shown))]
    return table.of(shown, "runs", first, extra, compared, filtered=True, links=links)


def _drawn(path: str, rank: int) -> str:
    if not path:
        return table.DASH
    return SPARK.format(rank, path)
