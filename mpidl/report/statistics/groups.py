"""Groups of runs of the same kind, and relations of their numbers with graph and sources."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpidl.report import labels
from mpidl.report.collection import Collection
from mpidl.report.statistics.inference import CONFIDENCE, interval, regress, varies
from mpidl.storage import schema

MEASURES = ("area", "level", "last")
"""Measures of each device and kind of test set; see :func:`mpidl.report.summary.of`."""

WAYS = (
    *("rounds_to_threshold", "simulated_to_threshold"),
    *("iid_rounds_to_threshold", "iid_simulated_to_threshold"),
)
"""Rounds and seconds to reach the threshold; of OOD accuracy unless IID is named."""

PREDICTORS = (
    *("source_degree", "source_links", "source_stationary", "source_passage"),
    *("modularity", "gap", "devices", "links"),
)
"""Numbers of a run's graph and sources that may decide how far knowledge travels."""

SHARE = (0.0, 1.0)
"""Bounds of an accuracy."""

RELATION = ("slope", "low", "high", "intercept", "r2", "p", "n")
"""Columns that a table of relations has for each regression line."""

SEEDED = ["cell", "strategy", "seed"]
"""Columns in which runs differ that are not repetitions of each other."""


def seeded(collection: Collection) -> pd.DataFrame:
    """The numbers of finished runs: a line for each cell, strategy and seed, in this order.

    Runs that repeat each other (same cell, strategy and seed) are averaged into one line, as they
    are no independent observations; ``runs`` counts them. Unfinished runs are left out: their
    areas and levels are over fewer rounds than those of others.
    """
    finished = collection.runs[collection.runs["completed"]]
    numbers = [key for key in finished.select_dtypes("number") if key not in (*SEEDED, "done")]
    grouped = finished.groupby(SEEDED, sort=True)
    return grouped[numbers].mean().assign(runs=grouped.size()).reset_index()


def seeded_devices(collection: Collection) -> pd.DataFrame:
    """The same as :func:`seeded`, with a line for each device."""
    finished = collection.runs.loc[collection.runs["completed"], ["run", *SEEDED]]
    numbers = collection.devices.drop(columns="name", errors="ignore")
    merged = numbers.merge(finished, on="run").drop(columns="run")
    return merged.groupby([*SEEDED, "device"], sort=True).mean().reset_index()


def groups(collection: Collection, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """A line for each cell and strategy, over its seeds; see :func:`seeded`.

    ``runs`` (finished ones), ``unfinished``, ``seeds`` and ``devices`` say over how much. For
    ``iid`` and ``ood`` follow ``_area``, ``_level`` and ``_last``, each the mean over all devices
    of all seeds with two intervals (:func:`interval`), which stay within what can be:

    - ``_low`` to ``_high``, over devices and seeds pooled, as the whiskers of the published bars.
      Devices of a run learn from each other and share its luck, so they are not independent and
      this interval is too narrow as one of what another seed would give.
    - ``_seeds_low`` to ``_seeds_high``, over the means of seeds, which are independent; NaN for
      one seed.

    ``_worst`` is the least device after the last round, mean over seeds; ``difference`` the mean
    over seeds of the symmetric difference in percent between the areas of OOD and IID
    (:func:`mpidl.report.measures.difference`), ``_low`` to ``_high`` its interval over seeds;
    ``rounds_to_threshold`` and the others of :data:`WAYS` medians over the seeds that reached it;
    ``reached`` counts the seeds that did, by :attr:`Collection.reaching`.
    """
    runs, devices = seeded(collection), seeded_devices(collection)
    of_devices = dict(list(devices.groupby(SEEDED[:2])))
    of_seeds = dict(list(runs.groupby(SEEDED[:2])))
    rows = []
    of_runs = dict(list(collection.runs.groupby(SEEDED[:2])))
    order = labels.ordered(collection.runs["strategy"])
    for group in sorted(of_runs, key=lambda one: (one[0], order.index(str(one[1])))):
        every, (cell, strategy) = of_runs[group], group
        own = of_seeds.get(group, runs.iloc[:0])
        rows.append(
            {
                "cell": cell,
                "strategy": strategy,
                "runs": int(own["runs"].sum()),
                "unfinished": int((~every["completed"]).sum()),
                "seeds": len(own),
                "devices": int(every["devices"].iloc[0]),
                **_group(
                    own,
                    of_devices.get(group, devices.iloc[:0]),
                    float(max(every["rounds"].max() - 1, 1)),
                    confidence,
                    collection.value,
                    collection.own,
                ),
                "reached": int(own[collection.reaching].notna().sum()),
            }
        )
    return pd.DataFrame(rows)


def within(measure: str, value: str = "accuracy") -> tuple[float, float] | None:
    """The bounds of a measure of a run if it is an accuracy; None for others.

    Args:
        measure: The measure.
        value: What runs are measured by.
    """
    if value != "accuracy":
        return None
    kind, _, which = measure.partition("_")
    return SHARE if kind in schema.KINDS and which in ("level", "last", "worst") else None


def _group(
    seeds: pd.DataFrame,
    devices: pd.DataFrame,
    span: float,
    confidence: float,
    value: str,
    own: Sequence[str],
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for kind in schema.KINDS:
        for key in (f"{kind}_{measure}" for measure in MEASURES):
            ends = (key, f"{key}_low", f"{key}_high")
            bounds = within(key, value) or ((0.0, span) if value == "accuracy" else None)
            numbers |= zip(ends, interval(devices[key], confidence, bounds), strict=True)
            _, numbers[f"{key}_seeds_low"], numbers[f"{key}_seeds_high"] = interval(
                seeds[key], confidence, bounds
            )
        numbers[f"{kind}_worst"] = interval(seeds[f"{kind}_worst"])[0]
        for name in own:
            numbers[f"{kind}_{name}_last"] = interval(seeds[f"{kind}_{name}_last"])[0]
    ends = ("difference", "difference_low", "difference_high")
    numbers |= zip(ends, interval(seeds["difference"], confidence), strict=True)
    for key in WAYS:
        reached = seeds[key].dropna()
        numbers[key] = float(reached.median()) if len(reached) else math.nan
    return numbers


def relations(
    collection: Collection, measure: str = "ood_level", confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Regression of a measure of a run on its graph and its sources, by strategy.

    A line (:func:`regress`) for each strategy and each of :data:`PREDICTORS` that varies between
    its seeded runs (:func:`seeded`), over all cells: ``slope``, ``low``, ``high``, ``intercept``,
    ``r2``, ``p`` and ``n``. Each predictor is looked at by itself, whatever else differs.

    The predictors ``hops`` and ``log_passage`` are those of a device, its distance to the nearest
    source and the decimal logarithm of the predicted rounds until knowledge arrives; there
    ``measure`` is that of the device, and n counts devices that are no source and can be reached.
    They are not independent within a run, so p and the interval of such a line are too sure.
    """
    runs, devices = seeded(collection), seeded_devices(collection)
    devices = devices[devices["hops"] > 0]
    devices = devices.assign(log_passage=np.log10(devices["passage"]))
    tables = [(runs, key) for key in PREDICTORS]
    if measure in devices:
        tables += [(devices, "hops"), (devices, "log_passage")]
    rows = []
    for strategy in labels.ordered(runs["strategy"]):
        for table, predictor in tables:
            own = table[table["strategy"] == strategy]
            if varies(own[predictor]):
                line = regress(own[predictor], own[measure], confidence)
                numbers = {key: getattr(line, key) for key in RELATION}
                rows.append({"strategy": strategy, "predictor": predictor, **numbers})
    return pd.DataFrame(rows, columns=["strategy", "predictor", *RELATION])
