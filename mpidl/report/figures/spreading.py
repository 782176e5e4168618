"""Figures of how OOD knowledge spreads from its source over the graph."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes

from mpidl.report import measures, recorded, style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing, scale
from mpidl.report.figures.picture import Picture, blank

Array = npt.NDArray[Any]


def chosen(means: Array, count: int = 4) -> list[int]:
    """Positions of a few rounds that tell how a mean rose: first, where it crosses, last.

    Between the first round and the last, the means crossed are those that cut the rise from the
    first to the greatest into equal parts; where they do not lie apart, rounds fill the longest
    gaps.

    Args:
        means: Mean accuracy after each measured round, ``(R,)``, R at least 1.
        count: How many rounds are wanted; all are taken where there are no more.
    """
    last, fine = len(means) - 1, np.isfinite(means)
    means = np.where(fine, means, means[fine].min() if fine.any() else 0.0)
    found = {0, last}
    for share in np.arange(1, count - 1) / (count - 1):
        crossed = np.flatnonzero(means >= means[0] + share * (np.max(means) - means[0]))
        found.add(int(crossed[0]))
    while len(found) < min(count, len(means)):
        known = sorted(found)
        gaps = np.diff(known)
        longest = int(np.argmax(gaps))
        found.add(known[longest] + int(gaps[longest]) // 2)
    return sorted(found)


def graph(run: xr.Dataset) -> Picture | None:
    """The graph, with devices coloured by OOD accuracy, or loss, after a few rounds."""
    curve = recorded.scores(run, "ood")
    values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
    sketch = drawing.of(run)
    scaled = scale.of(run)
    shown = chosen(scaled.rising(np.nanmean(values, axis=1))) if len(rounds) else []
    size = 1.6 if len(shown) > 1 else 2.6
    figure = blank(style.HALF, 2 * size + 0.8 if len(shown) > 2 else size + 0.55)
    rows, columns = (2, 2) if len(shown) > 2 else (1, max(1, len(shown)))
    panels = []
    for place in range(max(1, len(shown))):
        axes = figure.add_subplot(rows, columns, place + 1)
        sketch.links(axes)
        at = values[shown[place]] if shown else np.full(run.sizes["device"], np.nan)
        sketch.devices(axes, scaled.colors(at), 72 * size)
        sketch.marks(axes, 72 * size)
        sketch.numbers(axes, scaled.colors(at), 72 * size)
        if shown:
            mean = f"{np.nanmean(at):{'.2f' if scaled.shares else '.3g'}}"
            title = f"after round {rounds[shown[place]]}, mean {mean}"
            axes.set_title(title, loc="center", pad=1)
        panels.append(axes)
    if shown:
        where = {"orientation": "horizontal", "location": "bottom", "shrink": 0.7}
        drawn.bar(panels, f"OOD {scaled.value}", scaled.text, aspect=28, pad=0.02, **where)
    if handles := sketch.handles():
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    caption = _graph_caption(run, bool(shown), scaled.value)
    return Picture("graph", "OOD knowledge on the graph", caption, figure)


def _graph_caption(run: xr.Dataset, measured: bool, value: str) -> str:
    if measured:
        span = ", from 0 to 1" if value == "accuracy" else ""
        caption = f"Devices coloured by their {value} on the OOD test set{span}; stars are"
        caption += " the devices that hold OOD data."
        if recorded.attackers(run).any():
            caption += f" Attackers have no {value} that counts."
    else:
        caption = f"The graph; devices are grey as no OOD {value} was measured."
    if "W" in run:
        caption += (
            " The half of a link that touches a device is as wide as the weight that the device"
            " gives to the neighbor at the other end."
        )
    if "name" in run.coords and run.sizes["device"] <= drawing.NUMBERED:
        names = (f"{number} {name}" for number, name in enumerate(run["name"].to_numpy()))
        caption += f" They are {', '.join(names)}."
    return caption


def heat(run: xr.Dataset) -> Picture | None:
    """OOD accuracy, or loss, of every device after every round, devices ordered by hops."""
    curve = recorded.scores(run, "ood")
    values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
    devices = run.sizes["device"]
    if not len(rounds) or devices < 2:
        return None
    hops = run["hops"].to_numpy()
    distance = np.where(hops < 0, np.iinfo(np.int64).max, hops)
    scaled = scale.of(run)
    levels = np.nan_to_num(scaled.rising(measures.level(values, rounds)), nan=-np.inf)
    order = np.lexsort((np.arange(devices), -levels, distance))
    figure = blank(style.HALF, float(np.clip(0.75 + 0.045 * devices, 1.8, 3.2)))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    look: dict[str, Any] = {"cmap": style.accuracies(), "vmin": 0, "vmax": 1, "aspect": "auto"}
    image = axes.imshow(scaled.colors(values)[:, order].T, **look)
    image.set_rasterized(values.size > drawn.VECTOR_CELLS)
    wanted = np.searchsorted(rounds, drawn.ticks(rounds[0], rounds[-1]))
    at = np.unique(np.minimum(wanted, len(rounds) - 1))
    axes.set_xticks(at, [str(rounds[i]) for i in at])
    axes.set_xlabel("round")
    _hop_labels(axes, distance[order], figure.get_figheight())
    drawn.bar(axes, f"OOD {scaled.value}", scaled.text, aspect=25, pad=0.02)
    return Picture(
        "heat",
        f"OOD {scaled.value} of each device",
        f"{scaled.value.capitalize()} on the OOD test set after each measured round, a row for "
        "each device: ordered by links from the nearest source, those that know most on "
        "top of their group; grey is not measured.",
        figure,
    )


def _hop_labels(axes: Axes, distance: Array, height: float) -> None:
    """Name the groups of rows of the same distance, and part them."""
    starts = np.flatnonzero(np.diff(distance, prepend=-1))
    ends = np.append(starts[1:], len(distance))
    for start in starts[1:]:
        axes.axhline(start - 0.5, color=style.PAPER, linewidth=0.8)
    rows_in_inch = len(distance) / (height - 0.5)
    places = drawn.spread((starts + ends - 1) / 2, 0.11 * rows_in_inch, -0.5, len(distance) - 0.5)
    axes.set_yticks(places, [_hops(distance[start]) for start in starts])
    axes.tick_params(axis="y", length=0)


def _hops(distance: int) -> str:
    if distance == 0:
        return "source"
    if distance == np.iinfo(np.int64).max:
        return "unreached"
    return f"{distance} hop{'s' if distance > 1 else ''}"


def hops(run: xr.Dataset) -> Picture | None:
    """OOD accuracy, or loss, against links from the source, after a few rounds."""
    curve = recorded.scores(run, "ood")
    values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
    distance = run["hops"].to_numpy()
    if not len(rounds) or distance.max() < 1:
        return None
    scaled = scale.of(run)
    shown = chosen(scaled.rising(np.nanmean(values, axis=1)))
    groups = [int(one) for one in np.unique(distance) if one >= 0]
    figure = blank(style.HALF, 2.1)
    axes = figure.add_subplot()
    for place, (position, color) in enumerate(zip(shown, style.steps(len(shown)), strict=True)):
        offset = 0.12 * (place - (len(shown) - 1) / 2)
        look = {"color": color, "marker": "osD^"[place], "label": f"round {rounds[position]}"}
        _by_distance(axes, groups, distance, values[position], offset, look)
    axes.set_xticks(groups)
    axes.set_xlabel("links from the nearest source")
    scaled.axis(axes, f"OOD {scaled.value}", values[shown])
    drawn.above(axes, columns=5)
    return Picture(
        "hops",
        f"OOD {scaled.value} against distance",
        f"{scaled.value.capitalize()} on the OOD test set of devices so many links from the "
        "nearest source: lines are means over devices after the named round, dots are devices.",
        figure,
    )


def _by_distance(
    axes: Axes, groups: list[int], distance: Array, values: Array, offset: float, look: Any
) -> None:
    """A line through the means of groups of devices, and a dot for each device."""
    found = [one for one in groups if np.isfinite(values[distance == one]).any()]
    means = [np.nanmean(values[distance == one]) for one in found]
    axes.plot(np.array(found) + offset, means, linewidth=1.0, zorder=3, **look)
    reached = distance >= 0
    axes.scatter(
        distance[reached] + offset,
        values[reached],
        s=3,
        color=look["color"],
        alpha=0.35,
        linewidths=0,
        rasterized=len(values) > drawing.VECTOR_DEVICES,
    )
