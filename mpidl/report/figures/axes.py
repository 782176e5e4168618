"""Axes: what those of several figures have in common."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from mpidl.report import style

Array = npt.NDArray[Any]

VECTOR_POINTS = 3000
"""Points of thin lines beyond which they become pixels."""

VECTOR_CELLS = 30_000
"""Cells of a heat map beyond which it is drawn in the pixels of the figure."""


def rounds(axes: Axes, numbers: Array, label: str = "round") -> None:
    """Let x count rounds, from 1; one round has room to both sides."""
    first, last = (float(numbers[0]), float(numbers[-1])) if len(numbers) else (1.0, 1.0)
    pad = 0.5 if first == last else 0.02 * (last - first)
    axes.set_xlim(first - pad, last + pad)
    axes.xaxis.set_major_locator(FixedLocator(ticks(first, last)))
    axes.set_xlabel(label)


def ticks(first: float, last: float, count: int = 5) -> list[float]:
    """Whole numbers to put at an axis: the first one, and round ones after it."""
    nice = MaxNLocator(count, integer=True, steps=[1, 2, 5, 10]).tick_values(first, last)
    step = nice[1] - nice[0] if len(nice) > 1 else 1
    return [first, *(x for x in nice if first + 0.45 * step < x <= last)]


def missed(rounds: Iterable[float]) -> str:
    """The label at an axis for values that some runs did not reach."""
    counts = {int(one) for one in rounds}
    return f"not in\n{counts.pop()} rounds" if len(counts) == 1 else "not\nreached"


def shares(axes: Axes, label: str) -> None:
    """Let y go from 0 to 1, all of it, so that figures can be compared."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel(label)


def thin(axes: Axes, x: Array, values: Array, color: str) -> None:
    """A thin line for each device; values are ``(R, N)``."""
    lines = [np.column_stack([x, curve]) for curve in values.T]
    alpha = float(np.clip(6 / max(1, len(lines)), 0.015, 0.4))
    many = values.size > VECTOR_POINTS
    axes.add_collection(
        LineCollection(lines, colors=color, linewidths=0.4, alpha=alpha, rasterized=many),
        autolim=False,
    )


def above(axes: Axes, columns: int = 4, more: Sequence[Artist] = ()) -> None:
    """A legend over the axes, where it hides nothing; for what has a label, and for more."""
    handles = [*axes.get_legend_handles_labels()[0], *more]
    where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0)}
    axes.legend(handles=handles, ncols=columns, borderaxespad=0.1, **where)


def alone(color: str) -> Artist:
    """The legend entry of the thin lines of devices."""
    return Line2D([], [], color=color, alpha=0.6, linewidth=0.6, label="a device")


def most(color: str) -> Artist:
    """The legend entry of the band of :func:`bounded`."""
    return Patch(facecolor=color, alpha=0.18, linewidth=0, label="10th to 90th percentile")


def bar(
    axes: Axes | Sequence[Axes], label: str, text: Callable[[float], str], **where: Any
) -> None:
    """A colour bar from 0 to 1 beside axes of a figure; ``text`` gives the value of a place."""
    one = axes if isinstance(axes, Axes) else axes[0]
    figure = one.figure
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), style.accuracies()),
        ax=axes,
        ticks=[0, 0.25, 0.5, 0.75, 1],
        format=FuncFormatter(lambda value, _: text(value)),
        **where,
    )
    bar.set_label(label)
    bar.outline.set_visible(False)


def bounded(values: Array, x: Array, label: str, axes: Axes, color: str) -> None:
    """The mean over devices, ``(R, N)``, with a band from the 10th to the 90th percentile."""
    marker = "o" if len(x) == 1 else ""
    axes.plot(x, np.nanmean(values, axis=1), color=color, label=label, marker=marker, zorder=3)
    if values.shape[1] > 1:
        # Between an infinite loss and another one there is nothing to draw.
        with np.errstate(invalid="ignore"):
            low, high = np.nanpercentile(values, [10, 90], axis=1)
        axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def spread(places: Array, gap: float, low: float, high: float) -> Array:
    """Ascending places moved apart until neighbors differ by a gap, between low and high."""
    moved = np.array(places, float)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    if len(moved):
        moved[-1] = min(moved[-1], high)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - gap)
    return np.maximum(moved, low) if len(moved) * gap <= high - low else moved
