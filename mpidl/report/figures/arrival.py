"""Figures of the arrival of OOD knowledge, predicted and seen."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mpidl.report import measures, recorded, style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing
from mpidl.report.figures.picture import Picture, blank
from mpidl.report.summary import THRESHOLD

Array = npt.NDArray[Any]

LABELLED = 5
"""Distances from the source that the legend names."""

WIDE = 20
"""Times the least prediction; where the greatest is more, their axis is logarithmic."""


def passage(run: xr.Dataset, threshold: float = THRESHOLD) -> Picture | None:
    """Rounds until devices reached a threshold, against those that W predicts."""
    curve = recorded.scores(run, "ood")
    others = run["source"].to_numpy() != 1
    predicted = measures.passage(run)[others]
    if recorded.value(run) != "accuracy" or not len(curve) or np.isfinite(predicted).sum() < 3:
        return None
    when = curve["round"].to_numpy()
    values = recorded.learned(run, "ood")[:, others]
    measured = np.array([measures.reached(one, when, threshold) for one in values.T])
    hops = np.where(run["hops"] < 0, np.nan, run["hops"])[others]
    last = float(when[-1] + 1)
    late = 1.12 * last
    figure = blank(style.HALF, 2.3)
    axes = figure.add_subplot()
    _devices(axes, predicted, np.where(np.isnan(measured), late, measured), hops, late)
    _predictions(axes, predicted, last)
    _rounds(axes, last, late if np.isnan(measured).any() else None)
    axes.set_ylabel(f"rounds to OOD accuracy {threshold:g}")
    axes.set_title(_ranked(predicted, hops, measured), loc="right")
    figure.legend(loc="outside upper left", ncols=LABELLED, handletextpad=0.1)
    return Picture(
        "passage",
        "Arrival of OOD knowledge, predicted and measured",
        "Round in which each device that is no source first had an OOD accuracy of at least "
        f"{threshold:g} (triangles: not in {last:.0f} rounds), against the predicted rounds: the "
        "mean first-passage time to the nearest source of a walk by the mixing matrix of the first "
        "round. On the dashed line both are the same; Spearman's rank correlations say how well "
        "prediction and links from the nearest source put devices in order.",
        figure,
    )


def _devices(axes: Axes, predicted: Array, measured: Array, hops: Array, late: float) -> None:
    """A mark for each device, coloured by links from the source; triangles lie at late."""
    groups = np.unique(hops[np.isfinite(predicted)])
    named = set(np.linspace(0, len(groups) - 1, LABELLED).round().astype(int))
    for place, (distance, color) in enumerate(zip(groups, style.steps(len(groups)), strict=True)):
        look: dict[str, Any] = {"s": 9, "color": color, "linewidths": 0}
        label = f"{distance:.0f} hop{'s' if distance > 1 else ''}" if place in named else None
        axes.scatter([], [], label=label, **look)
        for there, marker in ((measured < late, "o"), (measured == late, "^")):
            own = there & (hops == distance)
            axes.scatter(
                predicted[own],
                measured[own],
                marker=marker,
                alpha=0.75,
                clip_on=False,
                zorder=3,
                rasterized=len(predicted) > drawing.VECTOR_DEVICES,
                **look,
            )


def _predictions(axes: Axes, predicted: Array, last: float) -> None:
    """The axis of what is predicted, and the line on which it comes true."""
    low, high = np.nanmin(predicted), np.nanmax(predicted)
    true = np.linspace(min(low, last), min(high, last), 60)
    look: dict[str, Any] = {"color": style.KINDS["iid"], "linewidth": 0.7, "dashes": (4, 3)}
    axes.plot(true, true, zorder=1, **look)
    if high > WIDE * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("predicted rounds")


def _rounds(axes: Axes, last: float, late: float | None) -> None:
    """The axis of rounds, with a place after them where it is needed."""
    places = drawn.ticks(1, last)
    names = [f"{place:g}" for place in places]
    if late is not None:
        places, names = [*places, late], [*names, drawn.missed([last])]
    axes.set_ylim(0, 1.05 * places[-1] if late is not None else 1.05 * last)
    axes.set_yticks(places, names)


def _ranked(predicted: Array, hops: Array, measured: Array) -> str:
    """The rank correlations of prediction and distance with the measured order of devices."""
    ranks = {"prediction": predicted, "hops": hops}
    found = {name: measures.spearman(values, measured) for name, values in ranks.items()}
    correlations = [f"{name} {rank:.2f}" for name, rank in found.items() if np.isfinite(rank)]
    return f"Spearman: {', '.join(correlations)}" if correlations else ""
