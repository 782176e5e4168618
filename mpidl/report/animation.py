"""Animation of OOD knowledge that spreads over the graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from mpidl.config.faults import Fault
from mpidl.report import recorded, style
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing, scale
from mpidl.report.figures.picture import blank
from mpidl.storage import schema

Array = npt.NDArray[Any]

LIMIT = 3_000_000
"""Most bytes of the file."""

SIZES = ((80, 110), (80, 80), (60, 70), (40, 60), (24, 50), (12, 40), (6, 30))
"""Pairs of most frames and pixels per inch; the first that keeps the limit is taken."""

PAUSE = 4
"""Factor by which the last frame is shown longer than others."""


class _Writer(PillowWriter):
    """Shows the last frame longer, so that the end is seen.

    Args:
        milliseconds: Time that each other frame is shown.
    """

    def __init__(self, milliseconds: int) -> None:
        super().__init__()
        self._milliseconds = milliseconds

    def finish(self) -> None:
        """Write the file."""
        frames: list[Any] = self._frames  # type: ignore[attr-defined]
        durations = [self._milliseconds] * len(frames)
        durations[-1] *= PAUSE
        first, *others = (frame.convert("RGB") for frame in frames)
        first.save(self.outfile, save_all=True, append_images=others, duration=durations, loop=0)


def animate(run: xr.Dataset, path: Path, seconds: float = 8.0) -> Path:
    """Write a GIF of at most 3 MB, with a frame for each measured round, or for some of many.

    Devices are coloured by OOD accuracy, or loss, the source is a star, and the half of a link at a
    device is as wide as the weight that the device gives to its neighbor. A curve beside it shows
    the means, with a mark at the frame's round.

    Args:
        run: An opened results file.
        path: The file; its folder is made.
        seconds: Time of all frames, without the extra time of the last one.

    Raises:
        Fault: If nothing was measured on the OOD test set.
    """
    curve = recorded.scores(run, "ood")
    if not curve.sizes["round"]:
        missing = f"OOD {recorded.value(run)}" if run.attrs["rounds_done"] else "complete round"
        raise Fault(f"{run.attrs['path']} has no {missing}, so there is nothing to animate.")
    if not seconds > 0:
        raise Fault(f"An animation of {seconds:g} seconds: must be above 0.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with style.context():
        figure, show = _stage(run, curve)
        for most, dots in SIZES:
            count = min(most, curve.sizes["round"])
            positions = np.unique(np.linspace(0, curve.sizes["round"] - 1, count).round())
            writer = _Writer(max(20, round(1000 * seconds / len(positions))))
            with writer.saving(figure, str(path), dots):
                for position in positions.astype(int):
                    show(position)
                    writer.grab_frame(facecolor=style.PAPER)
            if path.stat().st_size <= LIMIT:
                break
    return path


def _stage(run: xr.Dataset, curve: xr.DataArray) -> tuple[Figure, Callable[[int], None]]:
    """The figure, and a function that makes it show a position in the curve."""
    figure = blank(6.0, 3.5)
    grid = figure.add_gridspec(1, 2, width_ratios=[1.35, 1])
    left, right = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    sketch = drawing.of(run)
    values, rounds = curve.to_numpy(), curve["round"].to_numpy() + 1
    sketch.links(left)
    scaled = scale.of(run)
    colors = scaled.colors(values)
    nodes = sketch.devices(left, colors[0], 72 * 3.0)
    title = left.set_title(f"after round {rounds[-1]}", loc="center", fontsize=9)
    star = " (\u2605 source)" if sketch.sources.any() else ""
    where = {"orientation": "horizontal", "location": "bottom", "shrink": 0.7}
    drawn.bar(left, f"OOD {scaled.value}{star}", scaled.text, aspect=30, pad=0.02, **where)
    markers = []
    for kind in reversed(schema.KINDS):
        of = recorded.scores(run, kind).reindex(round=curve["round"])
        fine = of.notnull().any("device").to_numpy()
        means = np.full(len(rounds), np.nan)
        means[fine] = np.nanmean(of.to_numpy()[fine], axis=1)
        look: dict[str, Any] = {"color": style.KINDS[kind]}
        if fine.any():
            right.plot(rounds[fine], means[fine], label=f"{kind.upper()} mean", **look)
            markers.append((right.plot([], [], marker="o", markersize=6, **look)[0], means))
    drawn.rounds(right, rounds)
    scaled.axis(right, scaled.value)
    drawn.above(right)
    figure.canvas.draw()
    figure.set_layout_engine("none")

    def show(position: int) -> None:
        for group, chosen in zip(nodes, (~sketch.sources, sketch.sources), strict=True):
            group.set_array(colors[position][chosen])
        title.set_text(f"after round {rounds[position]}")
        for marker, means in markers:
            marker.set_data([rounds[position]], [means[position]])

    return figure, show
