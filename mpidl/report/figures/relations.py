"""Figures of how the OOD level goes with the graph, the source and the distance to it."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mpidl.report import labels, statistics, style
from mpidl.report.collection import Collection
from mpidl.report.figures import sides
from mpidl.report.figures.picture import Picture, blank, panels
from mpidl.report.figures.scale import Scale

PREDICTORS = {
    "source_degree": "degree of the source, 0 to 1",
    "source_stationary": "source stationary weight",
    "source_passage": "predicted rounds, log\u2081\u2080 of mean",
    "modularity": "modularity",
    "gap": "spectral gap",
    "devices": "devices",
}
"""What may decide how far knowledge travels, and what its axis is called."""

ENOUGH = 3
"""Different values that a predictor has to have; through two any line goes."""


def predictors(collection: Collection) -> Picture | None:
    """The level of runs against what differs in their graphs, a line for each strategy."""
    runs = statistics.seeded(collection)
    measure, kind = collection.measure, collection.kind.upper()
    runs = runs[np.isfinite(runs[measure])]
    if runs.empty:
        return None
    counts = {key: _values(runs[key]) for key in PREDICTORS}
    found = [key for key, count in counts.items() if count >= ENOUGH]
    if not found:
        return None
    few = [PREDICTORS[key] for key, count in counts.items() if 1 < count < ENOUGH]
    bounds = statistics.within(measure, collection.value)
    names = labels.ordered(runs["strategy"])
    columns = 2 if len(found) in (2, 4) else min(3, len(found))
    figure, places = panels(len(found), columns, 0.4, 1.8)
    for place, (axes, key) in enumerate(zip(places, found, strict=True)):
        for name in names:
            own = runs[runs["strategy"] == name]
            least = 0.02 * _extent(runs[key])
            _relation(axes, own[key], own[measure], least, name, names, bounds)
        axes.set_xlabel(PREDICTORS[key])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=key == "devices", min_n_ticks=1))
        Scale(collection.value).axis(axes, f"{kind} level" if place % columns == 0 else "")
    sides.legend(figure, sides.lined(names))
    return Picture(
        "relations",
        f"{kind} level against graph and source",
        f"{kind} level of each finished run, mean over devices; lines are least "
        f"squares for each {collection.compared.one} over all its runs, bands their pointwise "
        "95 % intervals. Each panel looks at one quantity alone, whatever else differs between "
        "runs; spectral gap and stationary weight are those of W in the first round."
        f"{_left_out(few)}",
        figure,
    )


def _values(values: pd.Series) -> int:
    """The number of values that differ by more than rounding."""
    return len(np.unique(values.dropna().round(6)))


def _left_out(few: list[str]) -> str:
    """Why there is no panel of some predictors."""
    if not few:
        return ""
    return f" Left out, as two values decide no line: {', '.join(few)}."


def _extent(values: pd.Series) -> float:
    """From the least to the greatest."""
    return float(values.max() - values.min())


def _relation(
    axes: Axes,
    x: pd.Series,
    y: pd.Series,
    least: float,
    name: str,
    names: list[str],
    bounds: tuple[float, float] | None,
) -> None:
    """The dots of a strategy, and its line where x has values enough, at least so far apart."""
    look = sides.looks(name, names)
    dots = look | {"linestyle": "", "markersize": 2.6, "markeredgewidth": 0.4, "alpha": 0.7}
    axes.plot(x, y, clip_on=False, rasterized=len(x) > 200, **dots)
    line = statistics.regress(x, y)
    if not np.isfinite(line.slope) or _values(x) < ENOUGH or _extent(x) < least:
        return
    at = np.linspace(x.min(), x.max(), 40)
    low, high = np.clip(line.band(at), *(bounds or (-np.inf, np.inf)))
    axes.fill_between(at, low, high, color=look["color"], alpha=0.1, linewidth=0)
    axes.plot(at, line.intercept + line.slope * at, linewidth=1.1, **(look | {"marker": ""}))


def distances(collection: Collection) -> Picture | None:
    """The OOD level of devices against their distance from the source, by strategy."""
    devices = statistics.seeded_devices(collection)
    devices = devices[(devices["hops"] >= 0) & np.isfinite(devices["ood_level"])]
    if devices["hops"].nunique() < 2:
        return None
    bounds = statistics.within("ood_level", collection.value)
    names = labels.ordered(devices["strategy"])
    figure = blank(style.HALF, 2.4)
    axes = figure.add_subplot()
    for i, name in enumerate(names):
        offset = 0.06 * (i - (len(names) - 1) / 2)
        groups = devices[devices["strategy"] == name].groupby("hops")["ood_level"]
        ends = np.array([statistics.interval(values, within=bounds) for _, values in groups])
        x = np.array([one for one, _ in groups], float) + offset
        look = sides.looks(name, names)
        axes.plot(x, ends[:, 0], linewidth=1.0, **look)
        axes.vlines(x, ends[:, 1], ends[:, 2], color=look["color"], linewidth=0.8)
    axes.set_xticks(np.unique(devices["hops"].to_numpy()))
    axes.set_xlabel("links from the nearest source")
    if bounds is None:
        # Few devices at a distance have whiskers without end.
        axes.set_ylim(0, 1.5 * devices["ood_level"].max())
    Scale(collection.value).axis(axes, "OOD level")
    axes.set_title(sides.WHISKERS, loc="right")
    sides.legend(figure, sides.lined(names))
    return Picture(
        "distances",
        collection.compared.titled("OOD level against distance"),
        "OOD level of devices so many links from the nearest source, mean "
        "over all devices of finished runs; whiskers are 95 % intervals over devices and seeds, "
        "which take devices as independent.",
        figure,
    )
