"""Comparison of published numbers with those of runs, and whether they are comparable."""

from functools import lru_cache
from typing import Any

import pandas as pd

from mpidl.report import origins
from mpidl.report.collection import Collection
from mpidl.report.paper import published
from mpidl.report.paper.lines import COLUMNS, applies, line
from mpidl.report.statistics import CONFIDENCE
from mpidl.report.summary import Summary

PER_STRATEGY = ("draw ", "frozen rounds ", "split ", "padding ")
"""Differences that only some strategies or data sets can have; they do not separate runs."""

SAME = ["kind", "graph_seed", "data", "strategy", "rank", "seed", "apart"]
"""What tells runs apart that are not repetitions of each other."""


@lru_cache(maxsize=1)
def compare(collection: Collection, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """A line for each published number that finished runs of a collection speak to.

    A run speaks to a number if its graph is a published one (known by its links, whatever its
    name), its data set and strategy are those of the number, and its only source is the device
    of that published rank. Federated averaging was published for rank 1 only and counts for all.
    Runs that differ from the published settings in different ways get lines of their own, and
    runs that repeat each other count once.

    Scale: published areas are under the accuracy of 200 local epochs, from 0 to 199, measured
    before mixing. Ours are put on that scale as level times 199
    (:func:`mpidl.report.measures.level`), which is the same thing only for runs as long as theirs
    (``rounds`` and ``epochs`` are among the reasons in ``why``): an accuracy that climbs is lower
    on average over ten rounds than over forty. Ours are measured once a round, so the first
    four epochs are missing. The published accuracy has a padded denominator: at most .9766 for
    OOD (area 194) and .9973 for IID images.

    Columns: ``table`` (T1 to T6), ``what``, ``graph``, ``data``, ``strategy``, ``rank``; ``ours``
    with its interval ``low`` to ``high`` over ``runs``; ``theirs`` with whiskers or range
    ``theirs_low`` to ``theirs_high``, ``uncertainty`` of reading it off and ``confidence``
    (:func:`mpidl.report.paper.published.numbers`); ``difference``, ours - theirs, and ``percent``
    of theirs, where theirs is no percentage itself; ``comparable``, ``why`` and ``note``.

    - T1: how much more OOD area topology-aware strategies have than unaware ones. The abstract
      says +123 % without saying how it averages, so every reading has a line. ``percent_cells``
      is the mean over cells (graph and data set) of ratios of means; ``percent_totals`` the ratio
      of means over all cells. The interval is over cells; there is none for the latter. A cell
      counts if it has all the strategies, and those compared with have any OOD area at all. Where
      no run is on the graphs of T1 those of other published graphs are taken, and ``why`` says so.
    - T2, T3, T5: the mean over runs with its interval over runs (theirs has whiskers over devices
      and seeds pooled; those of ours are in :func:`mpidl.report.statistics.groups`).
    - T4, T6: height of our regression line at the end of theirs, with the band of the mean; none
      for ends that lie beyond our runs. Unaware strategies of T6 are pooled without federated
      averaging; whether the publication did the same is not told.

    ``comparable`` is ``"no"`` if the runs are of another size or set-up (``study:`` in ``why``) or
    some of the graphs or data sets of the number are missing; ``"method differs"`` if only
    switches of the testbed differ (``method:`` in ``why``), as in the published method done
    correctly; else ``"yes"``.
    """
    ours = matched(collection)
    alike = [runs for _, runs in ours.groupby("apart", sort=True)]
    present = {key: set(ours[key]) for key in ("kind", "data", "strategy")}
    numbers = [number for number in published.numbers() if applies(number, present)]
    lines = [line(number, runs, confidence) for number in numbers for runs in alike]
    return pd.DataFrame([one for one in lines if one is not None], columns=COLUMNS)


def reason(collection: Collection) -> str | None:
    """Why a comparison has no lines, in a sentence; None if it has some."""
    if len(compare(collection)):
        return None
    summaries = list(collection.summaries.values())
    if not any(one.completed for one in summaries):
        return "No run is finished."
    if not any(origins.known(one) for one in summaries):
        return "No run is on a graph of the published study."
    if not any(_on_published_data(one) for one in summaries):
        return f"No run is on data of the published study: {', '.join(published.data())}."
    if matched(collection).empty:
        return "No finished run on published graphs and data has its source where the study has."
    return "No number was recovered for these graphs, data sets, strategies and sources."


def matched(collection: Collection) -> pd.DataFrame:
    """Finished runs on graphs, data and sources of the publication, repetitions averaged.

    A line each: what it is (``kind`` and ``graph_seed``, ``data``, ``strategy``, ``rank``,
    ``seed``), its numbers on the published scales, ``study`` and ``testbed`` (tuples of
    differences), and ``apart``, what sets runs apart that differ from the publication in other
    ways.
    """
    seeds = dict(zip(collection.runs["run"], collection.runs["seed"], strict=True))
    rows = []
    for name, one in collection.summaries.items():
        placed = _placed(one)
        if placed is not None and one.completed:
            rows.append({**placed, "seed": seeds[name], **_numbers(one), **_apart(one)})
    table = pd.DataFrame(rows, columns=[*SAME, *NUMBERS, "study", "testbed"])
    means = {**dict.fromkeys(NUMBERS, "mean"), "study": "first", "testbed": "first"}
    return table.groupby(SAME, as_index=False, sort=True).agg(means)


NUMBERS = (
    *("ood_area", "iid_area", "ood_last", "iid_last", "difference"),
    *("degrees", "modularity", "devices"),
)


def _numbers(one: Summary) -> dict[str, float]:
    measured = one.numbers
    return {
        "ood_area": measured["ood_level"] * published.SPAN,
        "iid_area": measured["iid_level"] * published.SPAN,
        "ood_last": measured["ood_last"] * 100,
        "iid_last": measured["iid_last"] * 100,
        "difference": measured["difference"],
        "degrees": measured["links"] * 2,
        "modularity": measured["modularity"],
        "devices": float(one.devices),
    }


def _placed(one: Summary) -> dict[str, Any] | None:
    graph = origins.known(one)
    (sources,) = (one.by_device["source"] == 1).nonzero()
    data = one.settings["data.name"]
    if graph is None or not _on_published_data(one) or len(sources) != 1:
        return None
    kind, seed = graph
    rank = published.rank(kind, seed, int(sources[0]))
    strategy = one.settings["strategy.name"]
    place = {"kind": kind, "graph_seed": seed, "data": data, "strategy": strategy, "rank": rank}
    return None if rank is None else place


def _on_published_data(one: Summary) -> bool:
    return one.settings["data.name"] in published.data() and origins.as_published(one)


def _apart(one: Summary) -> dict[str, Any]:
    differences = published.differences(one.settings)
    texts = (*differences.study, *differences.testbed)
    apart = "; ".join(text for text in texts if not text.startswith(PER_STRATEGY))
    return {"apart": apart, "study": differences.study, "testbed": differences.testbed}
