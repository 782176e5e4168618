"""Strategies side by side: curves, levels, differences, rounds to a threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mpidl.report import labels, recorded, statistics, style
from mpidl.report.collection import Collection
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import sides
from mpidl.report.figures.picture import Picture, panels
from mpidl.report.figures.scale import Scale
from mpidl.storage import schema

Array = npt.NDArray[Any]

OVER = {
    "round": ("curves", "rounds", ""),
    "seconds": (
        "simulated",
        "simulated time",
        ", against the mean of the seconds at which its last device has finished it by the clock "
        "of the run file's network",
    ),
}
"""Names, axes and captions of curves by what they run over."""


def ood_curves(collection: Collection) -> Picture | None:
    """OOD accuracy, or loss, over rounds by strategy."""
    return _curves(collection, "ood")


def iid_curves(collection: Collection) -> Picture | None:
    """IID accuracy, or loss, over rounds by strategy."""
    return _curves(collection, "iid")


def ood_simulated(collection: Collection) -> Picture | None:
    """OOD accuracy, or loss, over simulated seconds by strategy, where a network takes time."""
    return _curves(collection, "ood", "seconds")


def iid_simulated(collection: Collection) -> Picture | None:
    """IID accuracy, or loss, over simulated seconds by strategy, where a network takes time."""
    return _curves(collection, "iid", "seconds")


def _curves(collection: Collection, kind: str, over: str = "round") -> Picture | None:
    runs = collection.runs
    # Where a shorter run ended, the mean would jump.
    runs = runs[runs["completed"]] if runs["completed"].any() else runs
    curves = collection.curves.merge(runs[["run", "strategy", "cell"]], on="run")
    curves = curves[(curves["kind"] == kind) & curves[over].notna()]
    if curves.empty:
        return None
    value, scaled = collection.value, Scale(collection.value)
    cells, left_out = sides.shown(curves["cell"])
    strategies = labels.ordered(curves["strategy"])
    columns = min(len(cells), 4 if len(cells) > 6 else 3 if len(cells) != 4 else 2)
    titles = [sides.wrapped(cell) if len(cells) > 1 else "" for cell in cells]
    height = 1.6 + sides.LINE * max(title.count("\n") for title in titles)
    figure, places = panels(len(cells), columns, 0.3, height)
    for place, (axes, cell) in enumerate(zip(places, cells, strict=True)):
        _panel(axes, curves[curves["cell"] == cell], strategies, over)
        if over == "seconds":
            axes.set_xlim(left=0)
            axes.set_xlabel("simulated seconds")
        scaled.axis(axes, f"{kind.upper()} {value}" if place % columns == 0 else "")
        axes.set_title(titles[place])
    sides.legend(figure, sides.lined(strategies))
    name, axis, condition = OVER[over]
    return Picture(
        f"{name}-{kind}",
        collection.compared.titled(f"{kind.upper()} {value} over {axis}"),
        f"Mean {value} of all devices on the {kind.upper()} test set after each round, mean over "
        f"finished runs{condition}; bands go from the least run to the greatest.{left_out}",
        figure,
    )


def _panel(axes: Axes, curves: pd.DataFrame, strategies: list[str], over: str) -> None:
    for strategy in strategies:
        rounds = curves[curves["strategy"] == strategy].groupby("round")
        of = rounds["accuracy"]
        means = of.mean()
        look: dict[str, Any] = sides.looks(strategy, strategies)
        x = means.index.to_numpy() if over == "round" else rounds[over].mean().to_numpy()
        axes.plot(x, means, markevery=(0, max(1, len(x) // 4)), markersize=2.5, **look)
        if (of.size() > 1).any():
            axes.fill_between(x, of.min(), of.max(), color=look["color"], alpha=0.12, linewidth=0)
    if over == "round":
        drawn.rounds(axes, np.unique(curves["round"].to_numpy()))


def values(collection: Collection) -> Picture | None:
    """The values of tasks beside loss and accuracy over rounds by strategy, over all cells."""
    runs = collection.runs
    runs = runs[runs["completed"]] if runs["completed"].any() else runs
    curves = collection.curves.merge(runs[["run", "strategy"]], on="run")
    wanted = [(kind, name) for name in collection.own for kind in schema.KINDS]
    shown = [
        (kind, name, own)
        for kind, name in wanted
        if len(own := curves[curves["kind"] == f"{kind}_{name}"])
    ][: sides.PANELS]
    if not shown:
        return None
    strategies = labels.ordered(curves["strategy"])
    figure, places = panels(len(shown), min(2, len(shown)), 0.3, 1.7)
    for axes, (kind, name, own) in zip(places, shown, strict=True):
        _panel(axes, own, strategies, "round")
        axes.set_ylabel(f"{kind.upper()} {name}")
    sides.legend(figure, sides.lined(strategies))
    return Picture(
        "values",
        collection.compared.titled("Values of the task"),
        "What the task measures beside its loss, after each round: mean over all devices, and over "
        "finished runs of all cells; bands go from the least run to the greatest.",
        figure,
    )


def levels(collection: Collection) -> Picture | None:
    """The level by cell and strategy, as bars with whiskers."""
    found = statistics.groups(collection)
    measure, kind = collection.measure, collection.kind.upper()
    if not found[measure].notna().any():
        return None
    cells, left_out = sides.shown(found["cell"])
    strategies = labels.ordered(found["strategy"])
    figure, axes = sides.grouped(cells, strategies, 24)
    width = 0.8 / len(strategies)
    handles: dict[str, Any] = {}
    for i, strategy in enumerate(strategies):
        own = found[found["strategy"] == strategy].set_index("cell").reindex(cells)
        x = np.arange(len(cells)) + (i - (len(strategies) - 1) / 2) * width
        heights = np.nan_to_num(own[measure].to_numpy(), posinf=0.0)
        look: dict[str, Any] = {
            "facecolor": style.color(strategy),
            "edgecolor": style.PAPER,
            "linewidth": 0.0,
        }
        hatch = style.HATCHES[i % len(style.HATCHES)]
        handles[strategy] = axes.bar(x, heights, 0.92 * width, hatch=hatch, **look)
        axes.vlines(
            x, own[f"{measure}_low"], own[f"{measure}_high"], color=style.INK, linewidth=0.8
        )
    scaled = Scale(collection.value)
    scaled.axis(axes, f"{kind} level")
    axes.set_title(sides.WHISKERS, loc="right")
    if scaled.shares:
        axes.set_ylim(0, 1.05)
    sides.legend(figure, handles)
    return Picture(
        "levels",
        collection.compared.titled(f"{kind} level"),
        f"{kind} level: area under the {collection.value} curve over its length; mean over "
        "the devices of all seeds of finished runs; whiskers are 95 % intervals over devices and "
        f"seeds, which take devices as independent.{_diverged(found[measure])}{left_out}",
        figure,
    )


def _diverged(levels: "pd.Series[float]") -> str:
    """Why a bar is missing, where one is."""
    return " Where a device diverged there is no bar." if np.isinf(levels).any() else ""


def thresholds(collection: Collection) -> Picture | None:
    """Rounds until mean OOD accuracy, or IID where there is no other, is at the threshold."""
    runs, kind, key = collection.runs, collection.kind.upper(), collection.reaching
    if not runs[key].notna().any():
        return None
    late = 1.1 * runs[key].max()
    filled = runs.assign(**{key: runs[key].fillna(late)})
    figure, axes, left_out = _dots(filled, key, late, _median)
    ticks = MaxNLocator(5, integer=True, min_n_ticks=1).tick_values(0, runs[key].max())
    places = [tick for tick in ticks if 1 <= tick <= runs[key].max()]
    names = [f"{tick:g}" for tick in places]
    if runs[key].isna().any():
        places = [*(tick for tick in places if tick < 0.93 * late), late]
        missed = drawn.missed(runs.loc[runs[key].isna(), "done"])
        names = [*(f"{tick:g}" for tick in places[:-1]), missed]
    axes.set_yticks(places, names)
    axes.set_ylim(0, 1.05 * late)
    axes.set_ylabel(f"rounds to {kind} accuracy {collection.threshold:g}")
    return Picture(
        "thresholds",
        collection.compared.titled("Rounds to threshold"),
        f"Rounds until the mean {kind} accuracy of all devices reaches {collection.threshold:g}. "
        "Dots are runs, hollow where it does not in their rounds; bars are medians (of two the "
        f"greater), with these as the largest number.{left_out}",
        figure,
    )


def _median(values: Array) -> float:
    return float(np.percentile(values, 50, method="higher"))


def differences(collection: Collection) -> Picture | None:
    """The excess of OOD over IID accuracy, in percent."""
    runs = collection.runs
    if not runs["difference"].notna().any():
        return None
    figure, axes, left_out = _dots(runs, "difference", np.inf, np.mean)
    axes.axhline(0, color=style.INK, linewidth=0.6)
    value, behind = collection.value, "above" if recorded.less(collection.value) else "below"
    axes.set_ylabel(f"OOD {value} above IID,\nin percent of their mean")
    return Picture(
        "differences",
        collection.compared.titled("Difference between OOD and IID"),
        f"Area under the OOD {value} curve minus that under the IID one, in percent of the mean of "
        f"both (-200 to 200): {behind} 0 what only the source knows lags behind. Dots are runs, "
        f"bars their means.{left_out}",
        figure,
    )


def _dots(
    runs: pd.DataFrame, key: str, late: float, center: Callable[[Array], float]
) -> tuple[Figure, Axes, str]:
    """A dot for each run over its cell, and a bar at their center; what was left out."""
    cells, left_out = sides.shown(runs["cell"])
    strategies = labels.ordered(runs["strategy"])
    figure, axes = sides.grouped(cells, strategies, 16)
    width = 0.8 / len(strategies)
    groups = runs.groupby(["cell", "strategy"])[key]
    handles: dict[str, Any] = {}
    for i, strategy in enumerate(strategies):
        look = sides.looks(strategy, strategies) | {"linestyle": "", "markersize": 2.8}
        handles[strategy] = Line2D([], [], **look)
        for place, cell in enumerate(cells):
            if (cell, strategy) in groups.groups:
                values = groups.get_group((cell, strategy)).dropna().to_numpy()
                x = place + (i - (len(strategies) - 1) / 2) * width
                _column(axes, x, width, values, late, look)
                ends = x - 0.42 * width, x + 0.42 * width
                if len(values):
                    axes.hlines(center(values), *ends, color=look["color"], linewidth=1.5)
    sides.legend(figure, handles)
    return figure, axes, left_out


def _column(
    axes: Axes, x: float, width: float, values: Array, late: float, look: dict[str, Any]
) -> None:
    at = x + width * 0.6 * (np.arange(len(values)) - (len(values) - 1) / 2) / max(1, len(values))
    there = values < late
    axes.plot(at[there], values[there], alpha=0.75, markeredgewidth=0.4, **look)
    axes.plot(at[~there], values[~there], markerfacecolor="none", markeredgewidth=0.6, **look)
