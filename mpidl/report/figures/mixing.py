"""Figures of how devices weigh each other, and what data each of them has."""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpidl.report import style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures.picture import Picture, blank

Array = npt.NDArray[Any]

CELLS = 256
"""Rows of W that a figure tells apart."""


def matrix(run: xr.Dataset) -> Picture | None:
    """The mixing matrix and the moduli of its eigenvalues."""
    if "W" not in run or run.sizes["device"] < 2:
        return None
    figure = blank(style.HALF, 1.75)
    moduli = run["eigenvalue"].to_numpy() if "eigenvalue" in run else np.empty(0)
    both = len(moduli) > 1
    grid = figure.add_gridspec(1, 2, width_ratios=[1.35, 1]) if both else figure.add_gridspec(1, 1)
    weights = run["W"].to_numpy()
    side = -(-len(weights) // CELLS)
    _weights(figure, figure.add_subplot(grid[0]), weights, side)
    caption = (
        "Weight that each device (row) gives to each other (column), grey where it hears none."
    )
    if side > 1:
        caption += f" A cell is the greatest weight among {side} by {side} devices."
    if both:
        _moduli(figure.add_subplot(grid[1]), moduli)
        caption += (
            " Right: moduli of the eigenvalues, descending; the gap between the first two says how"
            " fast differences between models fade, 1 at once and 0 never."
        )
    return Picture("mixing", "Mixing matrix W", caption, figure)


def _weights(figure: Figure, axes: Axes, weights: Array, side: int) -> None:
    """Draw W, a cell for the greatest of ``side`` by ``side`` weights."""
    padded = np.pad(weights, (0, -len(weights) % side))
    cells = padded.reshape(len(padded) // side, side, -1, side).max(axis=(1, 3))
    image = axes.imshow(
        np.where(cells == 0, np.nan, cells),
        cmap=style.amounts(),
        vmin=0,
        vmax=weights.max(),
        extent=(-0.5, len(padded) - 0.5, len(padded) - 0.5, -0.5),
    )
    axes.grid(visible=False)
    axes.set(xlabel="hears device j", ylabel="device i")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    bar = figure.colorbar(image, ax=axes, aspect=15, shrink=0.9, pad=0.03)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.set_title("W", loc="left")
    bar.outline.set_visible(False)


def _moduli(axes: Axes, moduli: Array) -> None:
    places = np.arange(1, len(moduli) + 1)
    if len(moduli) <= 64:
        axes.vlines(places, 0, moduli, color=style.KINDS["iid"], linewidth=0.8)
        look: dict[str, Any] = {"marker": "o", "markersize": 2, "linestyle": ""}
        axes.plot(places[2:], moduli[2:], color=style.KINDS["iid"], **look)
    else:
        axes.fill_between(places, 0, moduli, color=style.KINDS["iid"], linewidth=0, alpha=0.6)
    axes.plot(places[:2], moduli[:2], color=style.KINDS["ood"], marker="o", linestyle="", zorder=3)
    axes.set(ylim=(0, 1.05 * max(1, moduli[0])), xlabel="eigenvalue", ylabel="modulus")
    axes.set_xticks(drawn.ticks(1, len(moduli), count=3))
    axes.set_title(f"gap {np.clip(1 - moduli[1], 0, 1):.3f}", loc="right")


def labels(run: xr.Dataset) -> Picture | None:
    """The number of training samples of each label on each device."""
    if "labels" not in run or not run["labels"].size:
        return None
    counts = run["labels"].to_numpy()
    if not counts.sum() > 0:
        return None
    devices, classes = counts.shape
    figure = blank(style.HALF, float(np.clip(0.9 + 0.06 * devices, 1.5, 3.2)))
    axes = figure.add_subplot()
    axes.grid(visible=False)
    image = axes.imshow(counts, cmap=style.amounts(), vmin=0, aspect="auto")
    image.set_rasterized(counts.size > drawn.VECTOR_CELLS)
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    step = -(-classes // 20)
    axes.set_xticks(range(0, classes, step), [str(one) for one in run["class"].to_numpy()[::step]])
    axes.set(xlabel="label", ylabel="device")
    for device in np.flatnonzero(run["source"].to_numpy() == 1)[:64]:
        axes.annotate(
            "\u2605", (1, device), xycoords=("axes fraction", "data"), va="center", fontsize=6
        )
    bar = figure.colorbar(image, ax=axes, aspect=25, pad=0.05)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar.set_label("training samples")
    bar.outline.set_visible(False)
    few, most = counts.sum(axis=1).min(), counts.sum(axis=1).max()
    return Picture(
        "labels",
        "Labels of each device",
        f"Training samples by device and label, in-distribution and out-of-distribution together; "
        f"devices have {few} to {most}. Stars are the devices that hold OOD data.",
        figure,
    )
