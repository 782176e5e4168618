"""Figures of what devices know after each round, and how far apart their models are."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from mpidl.report import labels, measures, style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing
from mpidl.report.figures.picture import Picture, blank
from mpidl.storage import schema

Array = npt.NDArray[Any]

DEVIANT = {"source": style.KINDS["ood"], "attacker": drawing.MARKS["attacker"][1]}
"""Devices that are told by name where models are compared, and their colour."""

MOMENTS: dict[str, LineStyleType] = {"trained": (0, (2, 1)), "mixed": "-"}
"""Lines of what was measured after training and after mixing."""

BAND = "the band from the 10th to the 90th percentile of devices"


def accuracy(run: xr.Dataset) -> Picture | None:
    """IID and OOD accuracy over rounds: mean, band, and each device."""
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
    _shares(axes, run)
    moment = "mixing" if any("mixed" in str(one.name) for one in curves.values()) else "training"
    return Picture(
        "accuracy",
        "Accuracy over rounds",
        f"Share of correct predictions after {moment}, by round: thick lines are means over "
        f"devices, with {BAND}; thin lines are single devices.",
        figure,
    )


def simulated(run: xr.Dataset) -> Picture | None:
    """IID and OOD accuracy over the simulated seconds of the run file's network."""
    curves, ends = _measured(run), measures.simulated(run)
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
    _shares(axes, run)
    return Picture(
        "simulated",
        "Accuracy over simulated time",
        "Share of correct predictions against the seconds, by the clock of the run file's network, "
        f"at which the last device has finished the round: thick lines are means, with {BAND}.",
        figure,
    )


def _shares(axes: Axes, run: xr.Dataset) -> None:
    """The axis of accuracies, and what lines and bands are."""
    drawn.shares(axes, "accuracy")
    more = [drawn.alone(style.INK), drawn.most(style.INK)]
    drawn.above(axes, columns=2, more=more if run.sizes["device"] > 1 else [])


def _measured(run: xr.Dataset) -> dict[str, xr.DataArray]:
    curves = {kind: measures.accuracy(run, kind) for kind in schema.KINDS}
    return {kind: curve for kind, curve in curves.items() if curve.sizes["round"]}


def moments(run: xr.Dataset) -> Picture | None:
    """Accuracy after training beside accuracy after mixing, where both were recorded."""
    kinds = []
    for kind in schema.KINDS:
        keys = [f"{kind}_accuracy_{moment}" for moment in schema.MOMENTS]
        if all(key in run and bool(run[key].notnull().any()) for key in keys):
            kinds.append(kind)
    if not kinds or run.sizes["device"] < 2:
        return None
    figure = blank(style.HALF, 2.1)
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), place + 1)
        for moment, line in MOMENTS.items():
            curve = run[f"{kind}_accuracy_{moment}"].dropna("round", how="all")
            values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
            axes.plot(
                rounds,
                np.nanmean(values, axis=1),
                color=style.KINDS[kind],
                linestyle=line,
                marker="o" if len(rounds) == 1 else "",
            )
            drawn.rounds(axes, rounds)
        drawn.shares(axes, "mean accuracy" if not place else "")
        axes.set_title(kind.upper())
    names = ("after training", "after mixing")
    looks = zip(MOMENTS.values(), names, strict=True)
    handles = [Line2D([], [], color=style.INK, linestyle=one, label=name) for one, name in looks]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return Picture(
        "moments",
        "After training and after mixing",
        "Mean accuracy over devices in each round, after training on own data and after mixing "
        "with neighbors: where the solid line is higher, mixing helps.",
        figure,
    )


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
