"""Lines of the comparison, each with one published number and that of runs."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from mpidl.components.strategies import STRATEGIES
from mpidl.report.paper.published import SPAN
from mpidl.report.statistics import interval, regress

COLUMNS = (
    *("table", "what", "graph", "data", "strategy", "rank", "axis", "x"),
    *("ours", "low", "high", "runs"),
    *("theirs", "theirs_low", "theirs_high", "uncertainty", "confidence", "difference"),
    *("percent", "comparable", "why", "note"),
)

WORDS = {
    "ood_area": "OOD area under the accuracy curve",
    "iid_area": "IID area under the accuracy curve",
    "ood_area_line": "OOD area by regression",
    "ood_last": "OOD accuracy after the last round, percent",
    "iid_last": "IID accuracy after the last round, percent",
    "difference": "OOD area from IID area, percent of their mean",
    "percent_cells": "OOD area gained, percent, mean over cells",
    "percent_totals": "OOD area gained, percent, of the means of all cells",
}
"""Words for the measures of the publication."""

WITHIN = {
    **dict.fromkeys(("ood_area", "iid_area"), (0.0, SPAN)),
    **dict.fromkeys(("ood_last", "iid_last"), (0.0, 100.0)),
}
"""Bounds of those measures that are accuracies."""

HEADLINE = "T1"
"""The table of numbers over several data sets, for which any published graph will do."""

EVERY_RANK = "1-4"

ROOM = 0.05
"""Share of the range of our runs by which the end of a published line may exceed it."""


def applies(number: Mapping[str, Any], present: Mapping[str, set[str]]) -> bool:
    """Whether runs may be compared with a published number.

    Args:
        number: A line of :func:`mpidl.report.paper.published.numbers`.
        present: The values of ``kind``, ``data`` and ``strategy`` among the runs.
    """
    wanted = {
        "kind": number["graph"].split("+"),
        "data": number["data"].split("+"),
        "strategy": _strategies(number),
    }
    if number["table"] == HEADLINE:
        del wanted["kind"]
    return not any(present[key].isdisjoint(names) for key, names in wanted.items())


def line(number: Mapping[str, Any], runs: pd.DataFrame, confidence: float) -> dict[str, Any] | None:
    """The line of a comparison; None if the runs do not apply to this number.

    Args:
        number: A line of :func:`mpidl.report.paper.published.numbers`.
        runs: Lines of :func:`mpidl.report.paper.compare.matched`.
        confidence: Confidence of the interval.
    """
    if all(math.isnan(number[key]) for key in ("value", "low", "high")):
        return None
    chosen = _chosen(number, runs)
    if chosen.empty:
        return None
    if "/" in number["strategy"]:
        ours, chosen = _gain(number, chosen, confidence)
    elif number["axis"] and not math.isnan(number["x"]):
        ours = _height(number, chosen, confidence)
    else:
        measure = number["measure"].removesuffix("_line")
        ours = interval(chosen[measure], confidence, WITHIN.get(measure))
    if math.isnan(ours[0]):
        return None
    return {
        **_described(number),
        **_beside(number, ours),
        **_why(number, chosen),
        "runs": len(chosen),
    }


def _strategies(number: Mapping[str, Any]) -> list[str]:
    return str(number["strategy"]).replace("/", "+").split("+")


def _chosen(number: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    data = number["data"].split("+")
    chosen = runs[runs["strategy"].isin(_strategies(number)) & runs["data"].isin(data)]
    if number["rank"] != EVERY_RANK:
        chosen = chosen[_complete(chosen) | (chosen["rank"] == int(number["rank"]))]
    on_graphs = chosen[chosen["kind"].isin(number["graph"].split("+"))]
    return chosen if on_graphs.empty and number["table"] == HEADLINE else on_graphs


def _complete(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Whether the strategy of each run replaces the graph, so that no rank matters."""
    return runs["strategy"].map(lambda name: STRATEGIES.properties(name).complete).astype(bool)


def _gain(
    number: Mapping[str, Any], runs: pd.DataFrame, confidence: float
) -> tuple[tuple[float, float, float], pd.DataFrame]:
    """Percent by which some strategies exceed others, and the runs of the cells that have all."""
    aware, unaware = (text.split("+") for text in number["strategy"].split("/"))
    areas = runs.pivot_table("ood_area", ["kind", "data"], "strategy")
    areas = areas.reindex(columns=[*aware, *unaware]).dropna()
    more, less = areas[aware].mean(axis=1), areas[unaware].mean(axis=1)
    used = runs[pd.MultiIndex.from_frame(runs[["kind", "data"]]).isin(areas.index)]
    if number["measure"] == "percent_totals":
        mean = 100 * (more.mean() / less.mean() - 1) if less.sum() else math.nan
        return (mean, math.nan, math.nan), used
    return interval(100 * (more / less.where(less > 0) - 1), confidence), used


def _height(
    number: Mapping[str, Any], runs: pd.DataFrame, confidence: float
) -> tuple[float, float, float]:
    """Height of our regression line at the end of the published one, with the band of the mean."""
    values, x = runs[number["axis"]], number["x"]
    room = ROOM * (values.max() - values.min())
    if not values.min() - room <= x <= values.max() + room:
        return math.nan, math.nan, math.nan
    fitted = regress(values, runs["ood_area"], confidence)
    low, high = fitted.band(x)
    return fitted.intercept + fitted.slope * x, float(low), float(high)


def _described(number: Mapping[str, Any]) -> dict[str, Any]:
    what = WORDS[number["measure"]]
    if number["axis"] and not math.isnan(number["x"]):
        what = f"{what} at {number['axis']} {number['x']:g}"
    same = ("table", "graph", "data", "strategy", "rank", "axis", "x", "confidence", "note")
    return {"what": what, **{key: number[key] for key in same}}


def _beside(number: Mapping[str, Any], ours: tuple[float, float, float]) -> dict[str, float]:
    theirs = number["value"]
    relative = "area" in number["measure"] and theirs != 0
    percent = 100 * (ours[0] / theirs - 1) if relative else math.nan
    return {
        "ours": ours[0],
        "low": ours[1],
        "high": ours[2],
        "theirs": theirs,
        "theirs_low": number["low"],
        "theirs_high": number["high"],
        "uncertainty": number["uncertainty"],
        "difference": ours[0] - theirs,
        "percent": percent,
    }


def _why(number: Mapping[str, Any], runs: pd.DataFrame) -> dict[str, str]:
    study = [
        *_distinct(runs["study"]),
        *_missing("graphs", runs["kind"], number["graph"].split("+")),
        *_missing("data", runs["data"], number["data"].split("+")),
    ]
    method = _distinct(runs["testbed"])
    ranks = runs.loc[~_complete(runs), "rank"].astype(str)
    if number["rank"] == EVERY_RANK and len(ranks):
        method += _missing("ranks", ranks, ["1", "2", "3", "4"])
    parts = {"study": study, "method": method}
    reasons = [f"{part}: {'; '.join(found)}" for part, found in parts.items() if found]
    comparable = "no" if study else "method differs" if method else "yes"
    return {"comparable": comparable, "why": ". ".join(reasons)}


def _distinct(differences: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(text for found in differences for text in found))


def _missing(noun: str, values: Iterable[str], needed: list[str]) -> list[str]:
    present = sorted(set(values))
    return (
        []
        if present == sorted(needed)
        else [f"{noun} {', '.join(present)}, not {', '.join(needed)}"]
    )
