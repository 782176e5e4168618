"""How devices weigh each other, and what data each of them has."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpidl.report import style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures.picture import Picture, blank


def matrix(run: xr.Dataset) -> Picture | None:
    """The mixing matrix and the moduli of its eigenvalues."""
    if "W" not in run or run.sizes["device"] < 2:
        return None
    figure = blank(style.HALF, 1.75)
    moduli = run["eigenvalue"].to_numpy() if "eigenvalue" in run else np.empty(0)
    both = len(moduli) > 1
    grid = figure.add_gridspec(1, 2, width_ratios=[1.35, 1]) if both else figure.add_gridspec(1, 1)
    _weights(figure, figure.add_subplot(grid[0]), run)
    told = "Weight that each device (row) gives to each other (column), grey where it hears none."
    if both:
        _moduli(figure.add_subplot(grid[1]), moduli)
        told += (
            " Right: moduli of the eigenvalues, descending; the gap between the first two says how"
            " fast differences between models fade, 1 at once and 0 never."
        )
    return Picture("mixing", "Mixing matrix W", told, figure)


def _weights(figure: Figure, axes: Axes, run: xr.Dataset) -> None:
    weights = run["W"].to_numpy()
    image = axes.imshow(
        np.where(weights == 0, np.nan, weights), cmap=style.amounts(), vmin=0, vmax=weights.max()
    )
    axes.grid(visible=False)
    axes.set(xlabel="hears device j", ylabel="device i")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    bar = figure.colorbar(image, ax=axes, aspect=15, shrink=0.9, pad=0.03)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    bar.ax.set_title("W", loc="left")
    bar.outline.set_visible(False)


def _moduli(axes: Axes, moduli: np.ndarray) -> None:
    places = np.arange(1, len(moduli) + 1)
    axes.vlines(places, 0, moduli, color=style.KINDS["iid"], linewidth=min(1.0, 60 / len(moduli)))
    axes.plot(places[:2], moduli[:2], color=style.KINDS["ood"], marker="o", linestyle="", zorder=3)
    if len(moduli) <= 64:
        axes.plot(
            places[2:], moduli[2:], color=style.KINDS["iid"], marker="o", markersize=2, linestyle=""
        )
    axes.set(ylim=(0, 1.05 * max(1, moduli[0])), xlabel="eigenvalue", ylabel="modulus")
    axes.set_xticks(drawn.ticks(1, len(moduli), count=3))
    axes.set_title(f"gap {np.clip(1 - moduli[1], 0, 1):.3f}", loc="right")


def labels(run: xr.Dataset) -> Picture | None:
    """How many training samples of each label each device has."""
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
