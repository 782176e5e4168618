"""Figures of what devices know after each round, and how far apart their models are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from mpidl.report import labels, recorded, style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing, scale
from mpidl.report.figures.picture import Picture, blank, panels
from mpidl.storage import schema

Array = npt.NDArray[Any]

DEVIANT = {"source": style.KINDS["ood"], "attacker": drawing.MARKS["attacker"][1]}
"""Devices that are told by name where models are compared, and their colour."""

MOMENTS: dict[str, LineStyleType] = {"trained": (0, (2, 1)), "mixed": "-"}
"""Lines of what was measured after training and after mixing."""

BAND = "the band from the 10th to the 90th percentile of devices"


MANY = 12
"""Most values that a figure shows."""

SHOWN = {
    "accuracy": "Share of correct predictions",
    "loss": "Loss on the test sets, of which less is better,",
}
"""What a curve shows, by what devices are measured by."""


def scores(run: xr.Dataset) -> Picture | None:
    """IID and OOD accuracy, or loss, over rounds: mean, band, and each device."""
    curves = _measured(run)
    if not curves:
        return None
    figure = blank(style.HALF, 2.2)
    axes = figure.add_subplot()
    ends = []
    for kind, curve in curves.items():
        values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
        drawn.thin(axes, rounds, values, style.KINDS[kind])
        drawn.bounded(values, rounds, f"{kind.upper()} mean", axes, style.KINDS[kind])
        ends += [rounds[0], rounds[-1]]
    drawn.rounds(axes, np.array([min(ends), max(ends)]))
    value = _axis(axes, run, curves)
    moment = "mixing" if any("mixed" in str(one.name) for one in curves.values()) else "training"
    return Picture(
        value,
        f"{value.capitalize()} over rounds",
        f"{SHOWN[value]} after {moment}, by round: thick lines are means over "
        f"devices, with {BAND}; thin lines are single devices.",
        figure,
    )


def simulated(run: xr.Dataset) -> Picture | None:
    """IID and OOD accuracy, or loss, over the simulated seconds of the run file's network."""
    curves, ends = _measured(run), recorded.simulated(run)
    if not curves or ends is None:
        return None
    figure = blank(style.HALF, 2.2)
    axes = figure.add_subplot()
    for kind, curve in curves.items():
        values, seconds = curve.to_numpy(), ends.sel(round=curve["round"]).to_numpy()
        drawn.thin(axes, seconds, values, style.KINDS[kind])
        drawn.bounded(values, seconds, f"{kind.upper()} mean", axes, style.KINDS[kind])
    axes.set_xlabel("simulated seconds")
    axes.set_xlim(left=0)
    value = _axis(axes, run, curves)
    return Picture(
        "simulated",
        f"{value.capitalize()} over simulated time",
        f"{SHOWN[value]} against the seconds, by the clock of the run file's network, at which "
        f"the last device has finished the round: thick lines are means, with {BAND}.",
        figure,
    )


def _axis(axes: Axes, run: xr.Dataset, curves: Mapping[str, xr.DataArray]) -> str:
    """The axis of what devices are measured by, its name, and what lines and bands are."""
    scaled = scale.of(run)
    scaled.axis(axes, scaled.value, np.concatenate([c.to_numpy() for c in curves.values()]))
    more = [drawn.alone(style.INK), drawn.most(style.INK)]
    drawn.above(axes, columns=2, more=more if run.sizes["device"] > 1 else [])
    return scaled.value


def _measured(run: xr.Dataset) -> dict[str, xr.DataArray]:
    return _of(run, recorded.value(run))


def moments(run: xr.Dataset) -> Picture | None:
    """Accuracy after training beside accuracy after mixing, or losses, where both were recorded."""
    kinds, scaled = [], scale.of(run)
    value = scaled.value
    for kind in schema.KINDS:
        keys = [f"{kind}_{value}_{moment}" for moment in schema.MOMENTS]
        if all(key in run and bool(run[key].notnull().any()) for key in keys):
            kinds.append(kind)
    if not kinds or run.sizes["device"] < 2:
        return None
    figure = blank(style.HALF, 2.1)
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), place + 1)
        for moment, line in MOMENTS.items():
            curve = run[f"{kind}_{value}_{moment}"].dropna("round", how="all")
            values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
            axes.plot(
                rounds,
                np.nanmean(values, axis=1),
                color=style.KINDS[kind],
                linestyle=line,
                marker="o" if len(rounds) == 1 else "",
            )
            drawn.rounds(axes, rounds)
        scaled.axis(axes, f"mean {value}" if not place else "")
        axes.set_title(kind.upper())
    names = ("after training", "after mixing")
    looks = zip(MOMENTS.values(), names, strict=True)
    handles = [Line2D([], [], color=style.INK, linestyle=one, label=name) for one, name in looks]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return Picture(
        "moments",
        "After training and after mixing",
        f"Mean {value} over devices in each round, after training on own data and after mixing "
        f"with neighbors: where the solid line is {'lower' if scaled.less else 'higher'}, mixing "
        "helps.",
        figure,
    )


def values(run: xr.Dataset) -> Picture | None:
    """Values beside loss and accuracy, of a task or of a loop, over rounds: mean and band."""
    names = dict.fromkeys([*recorded.own_values(run), *recorded.free_series(run)])
    shown = [(name, curves) for name in names if (curves := _of(run, name))][:MANY]
    if not shown:
        return None
    figure, places = panels(len(shown), min(2, len(shown)), 0.4, 1.7)
    for axes, (name, curves) in zip(places, shown, strict=True):
        for kind, curve in curves.items():
            numbers, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
            color, label = style.KINDS.get(kind, style.INK), f"{kind.upper()} mean".strip()
            drawn.bounded(numbers, rounds, label, axes, color)
            drawn.rounds(axes, rounds)
        axes.set_ylabel(name)
    lines = [axes.get_legend_handles_labels() for axes in figure.axes]
    labels = {
        label: line for lines_, named in lines for line, label in zip(lines_, named, strict=True)
    }
    figure.legend(labels.values(), labels, loc="outside upper left", ncols=3)
    return Picture(
        "values",
        "Other values over rounds",
        f"What else is measured, by round: lines are means over devices, with {BAND}.",
        figure,
    )


def _of(run: xr.Dataset, name: str) -> dict[str, xr.DataArray]:
    """A value on the test sets on which it was measured, or of a series without a test set."""
    curves = {kind: recorded.of_value(run, kind, name) for kind in schema.KINDS}
    if name in run:
        curves[""] = run[name].dropna("round", how="all")
    return {kind: curve for kind, curve in curves.items() if curve.sizes["round"]}


def consensus(run: xr.Dataset) -> Picture | None:
    """The distance of models from their mean, over rounds."""
    if "consensus_distance" not in run or run.sizes["device"] < 2:
        return None
    curve = run["consensus_distance"].dropna("round", how="all")
    values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
    values = np.where(np.isfinite(values), values, np.nan)
    if not np.nansum(values) > 0:
        return None
    fine = np.isfinite(values).any(axis=1)
    values, rounds = values[fine], rounds[fine]
    figure = blank(style.HALF, 1.9)
    axes = figure.add_subplot()
    drawn.thin(axes, rounds, values, style.KINDS["iid"])
    for what, color in DEVIANT.items():
        _deviant(axes, rounds, values, run, what, color)
    marker = "o" if len(rounds) == 1 else ""
    root = np.sqrt(np.nanmean(values**2, axis=1))
    axes.plot(rounds, root, color=style.INK, label="root mean square", marker=marker)
    positive = values[values > 0]
    # A device that is the mean itself would stretch a logarithmic scale without end.
    if np.nanpercentile(positive, 95) > 20 * np.nanpercentile(positive, 5):
        axes.set_yscale("log")
        axes.set_ylim(np.nanpercentile(positive, 1) / 2, positive.max() * 2)
    else:
        axes.set_ylim(0, 1.05 * positive.max())
    drawn.rounds(axes, rounds)
    axes.set_ylabel("consensus distance")
    drawn.above(axes, columns=2, more=[drawn.alone(style.KINDS["iid"])])
    return Picture(
        "consensus",
        "Consensus distance over rounds",
        "2-norm of each device's parameters minus the mean of all, after mixing: root mean square "
        "over devices (thick) and single devices (thin); 0 is full agreement.",
        figure,
    )


def _deviant(
    axes: Axes, rounds: Array, values: Array, run: xr.Dataset, what: str, color: str
) -> None:
    """Lines that stand out, for devices whose models may well differ from all others."""
    there = run[what].to_numpy() == 1 if what in run.coords else np.zeros(0)
    found = np.flatnonzero(there)
    for place, device in enumerate(found):
        names = f"{what} {labels.device(run, int(device))}" if len(found) == 1 else f"{what}s"
        look: dict[str, Any] = {"color": color, "linewidth": 0.8, "alpha": 0.8}
        axes.plot(rounds, values[:, device], label=None if place else names, **look)
