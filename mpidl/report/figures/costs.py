"""Figures of what a run cost: seconds by phase, bytes sent."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidl.report import style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures.picture import Picture, blank
from mpidl.storage.round_values import SECONDS, by_rank, spent

Array = npt.NDArray[Any]

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "byte"))


def seconds(run: xr.Dataset) -> Picture | None:
    """The seconds of each phase, by round and by rank."""
    ranks = run["rank"].to_numpy()
    series = {
        phase: run[f"{SECONDS}{phase}"].to_numpy()
        for phase in style.PHASES
        if f"{SECONDS}{phase}" in run and run.sizes["round"]
    }
    series = {phase: values for phase, values in series.items() if np.nansum(values) > 0}
    if not series:
        return None
    each = {phase: np.nan_to_num(by_rank(values, ranks)) for phase, values in series.items()}
    whole = spent({f"{SECONDS}{phase}": v for phase, v in series.items()}, ranks)
    figure = blank(style.HALF, 3.0)
    upper, lower = figure.subplots(2, 1)
    _stack(upper, whole, first=1)
    upper.set(xlabel="round", ylabel="seconds")
    _stack(lower, {phase: values.sum(axis=0) for phase, values in each.items()}, first=0)
    lower.set(xlabel="rank", ylabel="seconds, all rounds")
    handles, names = upper.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3)
    return Picture(
        "seconds",
        "Where the time went",
        "Seconds by phase. Top: each round, on the rank that worked longest in it, for which the "
        "others waited; the height is what the round took. Bottom: each rank, sum over rounds. A "
        "rank's time is that of all devices that it hosts.",
        figure,
    )


def _stack(axes: Axes, parts: dict[str, Array], first: int) -> None:
    """Bars side by side without gaps, a colour and a hatch for each phase, from the bottom up."""
    base = np.zeros(len(next(iter(parts.values()))))
    edges = np.arange(len(base) + 1) + first - 0.5
    hatches = dict(zip(style.PHASES, style.HATCHES, strict=False))
    for phase, values in parts.items():
        axes.stairs(
            base + values,
            edges,
            baseline=base,
            fill=True,
            facecolor=style.PHASES[phase],
            edgecolor=style.PAPER,
            hatch=hatches[phase],
            linewidth=0,
            label=phase,
        )
        base = base + values
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.04 * base.max()))
    axes.set_xticks(drawn.ticks(first, first + len(base) - 1, count=8))


def sent(run: xr.Dataset) -> Picture | None:
    """Bytes that ranks sent each other, by round and in all."""
    if "bytes_sent" not in run or not run.sizes["round"]:
        return None
    bytes_ = run["bytes_sent"].clip(min=0).sum("device").to_numpy().astype(float)
    if not bytes_.sum() > 0:
        return None
    rounds = run["round"].to_numpy() + 1
    figure = blank(style.HALF, 1.7)
    _line(figure, 1, rounds, bytes_, "sent in a round")
    _line(figure, 2, rounds, np.cumsum(bytes_), "sent so far")
    devices, ranks = run.sizes["device"], len(np.unique(run["rank"].to_numpy()))
    return Picture(
        "bytes",
        "Bytes sent",
        f"Parameter bytes that went from rank to rank in each round, and in all rounds so far; "
        f"{devices} devices on {ranks} rank{'s' if ranks > 1 else ''}, and what devices of the "
        "same rank tell each other is not sent.",
        figure,
    )


def _line(figure: Figure, place: int, rounds: Array, values: Array, what: str) -> None:
    axes = figure.add_subplot(1, 2, place)
    scale, unit = next(one for one in UNITS if values.max() >= one[0])
    marker = "o" if len(rounds) == 1 else ""
    axes.plot(rounds, values / scale, color=style.PHASES["exchange"], marker=marker)
    axes.set_ylim(0, 1.08 * values.max() / scale)
    axes.set_ylabel(f"{what} ({unit})")
    drawn.rounds(axes, rounds)
