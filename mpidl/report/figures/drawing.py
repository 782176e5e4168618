"""The graph as a drawing: where devices are put, and how links and devices look."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from mpidl.report import recorded, style

Array = npt.NDArray[Any]

CAREFUL = 130
"""Devices up to which the stress of the drawing is minimized; it takes a second for so many."""

VECTOR_LINKS, VECTOR_DEVICES = 800, 100
"""Links and devices beyond which they are drawn as pixels."""

NUMBERED = 40
"""Devices up to which their numbers can be read."""

BRIGHT = 0.55
"""Accuracy from which on a device is so bright that its number is black."""

MARKS = {"attacker": ("s", "#dc2626", 2.3), "straggler": ("o", "#cf7f1b", 2.0)}
"""Outline, colour and area, in areas of a device, of what is marked."""


@dataclass(frozen=True)
class Drawing:
    """A graph laid out in the square from -1 to 1.

    Attributes:
        places: ``(N, 2)``.
        halves: The half of each link at the device that hears it, ``(E, 2, 2)``.
        widths: Of the halves, in points, ``(E,)``.
        sources: Which devices hold OOD data, ``(N,)``.
        marked: Other devices that are marked, ``(N,)`` each, by a key of :data:`MARKS`.
    """

    places: Array
    halves: Array
    widths: Array
    sources: Array
    marked: Mapping[str, Array]

    def links(self, axes: Axes) -> None:
        """Draw the links, and set the axes up for a graph."""
        # One path for all links of about the same width: a page gets a few elements, not thousands.
        thinner = float(np.clip(300 / max(1, len(self.halves)), 0.12, 1))
        levels = np.round(self.widths * 4) / 4
        for width in np.unique(levels):
            own = self.halves[levels == width].reshape(-1, 2)
            axes.add_patch(
                PathPatch(
                    Path(own, [Path.MOVETO, Path.LINETO] * (len(own) // 2)),
                    linewidth=float(width) * thinner,
                    edgecolor="#8b929c",
                    facecolor="none",
                    capstyle="butt",
                    clip_on=False,
                    zorder=1,
                    rasterized=len(self.halves) > VECTOR_LINKS,
                )
            )
        axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
        axes.axis("off")

    def devices(self, axes: Axes, values: Array, points: float) -> tuple[PathCollection, ...]:
        """Draw the devices coloured by values from 0 to 1; sources are stars and come last.

        Args:
            axes: With the links.
            values: ``(N,)``.
            points: Width of the axes, by which the size of devices goes.
        """
        area = self._area(points)
        drawn = []
        for chosen, marker, more in ((~self.sources, "o", 1.0), (self.sources, "*", 3.2)):
            drawn.append(
                axes.scatter(
                    self.places[chosen, 0],
                    self.places[chosen, 1],
                    c=values[chosen],
                    s=max(area, 14 * (more > 1)) * more,
                    marker=marker,
                    cmap=style.accuracies(),
                    vmin=0,
                    vmax=1,
                    edgecolors=style.INK if marker == "o" else style.KINDS["ood"],
                    linewidths=float(np.clip(area / 40, 0.15, 0.5)) * (1 + (marker == "*")),
                    plotnonfinite=True,
                    clip_on=False,
                    zorder=3,
                    rasterized=len(self.places) > VECTOR_DEVICES,
                )
            )
        return tuple(drawn)

    def marks(self, axes: Axes, points: float) -> None:
        """Draw an outline around the devices that are marked; ``points`` as for devices."""
        for what, chosen in self.marked.items():
            marker, color, more = MARKS[what]
            area, (x, y) = max(self._area(points), 8) * more, self.places[chosen].T
            look: dict[str, Any] = {"marker": marker, "facecolors": "none", "edgecolors": color}
            axes.scatter(x, y, s=area, linewidths=1.1, clip_on=False, zorder=4, **look)

    def numbers(self, axes: Axes, values: Array, points: float) -> None:
        """Write the numbers of few devices into them; arguments as for devices."""
        if len(values) > NUMBERED:
            return
        size = 0.5 * self._area(points) ** 0.5
        for device, ((x, y), value) in enumerate(zip(self.places, values, strict=True)):
            color = style.INK if np.isnan(value) else "white" if value < BRIGHT else "black"
            look: dict[str, Any] = {"color": color, "fontsize": min(size, 6.5), "zorder": 5}
            axes.text(x, y, f"{device}", ha="center", va="center_baseline", **look)

    def handles(self) -> list[Line2D]:
        """The legend entries of sources and marks, if there are any."""
        shown = [("source", "*", style.KINDS["ood"])] if self.sources.any() else []
        shown += [(what, *MARKS[what][:2]) for what in self.marked]
        look: dict[str, Any] = {"linestyle": "", "markerfacecolor": "none", "markersize": 6}
        return [
            Line2D([], [], label=what, marker=marker, markeredgecolor=color, **look)
            for what, marker, color in shown
        ]

    def _area(self, points: float) -> float:
        return float(np.clip((points / 7) ** 2 * 9 / len(self.places), 2.5, (points / 14) ** 2))


def of(run: xr.Dataset) -> Drawing:
    """The drawing of a run's graph; the same whenever it is the same graph."""
    devices = run.sizes["device"]
    edges = tuple(map(tuple, run["edges"].to_numpy().tolist()))
    places = layout(edges, devices)
    ends = run["edges"].to_numpy().astype(int).reshape(-1, 2)
    hearing = places[ends[:, 1]]
    middles = (places[ends[:, 0]] + hearing) / 2
    halves = np.stack([hearing, middles], axis=1)
    widths = np.full(len(ends), 0.7)
    if "W" in run and len(ends):
        weights = run["W"].to_numpy()[ends[:, 1], ends[:, 0]]
        widths = 0.4 + 2.1 * weights / max(weights.max(), 1e-12)
    found = {"attacker": recorded.attackers(run), "straggler": recorded.stragglers(run)}
    marked = {what: chosen for what, chosen in found.items() if chosen.any()}
    return Drawing(places, halves, widths, run["source"].to_numpy() == 1, marked)


@lru_cache(maxsize=64)
def layout(edges: tuple[tuple[int, int], ...], devices: int) -> Array:
    """The positions of devices, ``(N, 2)`` in -1 to 1.

    Each connected part by itself: up to :data:`CAREFUL` devices by Kamada and Kawai, whose
    distances follow the number of links, else by springs. Parts stand side by side, large first.
    """
    graph = nx.empty_graph(devices)
    graph.add_edges_from(edges)
    parts = sorted(map(sorted, nx.connected_components(graph)), key=lambda part: (-len(part), part))
    places = np.zeros((devices, 2))
    left, top, tall, wide = 0.0, 0.0, 0.0, 2.1 * np.sqrt(sum(map(len, parts)))
    for part in parts:
        size = np.sqrt(len(part))
        if left and left + size > wide / 2:
            left, top, tall = 0.0, top - tall - 0.4, 0.0
        places[part] = (_connected(graph.subgraph(part)) / 2 + 0.5) * size + [left, top - size]
        left, tall = left + size + 0.4, max(tall, size)
    low, high = places.min(axis=0), places.max(axis=0)
    extent = max((high - low).max(), 1e-9)
    return np.asarray((places - (low + high) / 2) * 2 / extent)


def _connected(part: nx.Graph) -> Array:
    """Places of the devices of a connected graph in ascending order, from -1 to 1."""
    order = sorted(part)
    if len(order) == 1:
        return np.zeros((1, 2))
    graph = nx.Graph()
    graph.add_nodes_from(order)
    graph.add_edges_from(sorted(map(sorted, part.edges)))
    if len(order) <= CAREFUL:
        found = nx.kamada_kawai_layout(graph)
    else:
        start = dict(zip(order, _scaled(graph, order), strict=True))
        turns = 40 if len(order) <= 600 else 15
        found = nx.spring_layout(graph, pos=start, iterations=turns, seed=0)
    places = np.array([found[device] for device in order])
    places -= (places.min(axis=0) + places.max(axis=0)) / 2
    places = _apart(places / max(np.abs(places).max(), 1e-9), 1.2 / np.sqrt(len(order)))
    return np.asarray(places / np.abs(places).max())


def _scaled(graph: nx.Graph, order: list[int], pivots: int = 40) -> Array:
    """Places of many devices whose distances follow those to a few of them, in -1 to 1.

    Source: Brandes and Pich, Eigensolver Methods for Progressive Multidimensional Scaling of Large
    Data, 2007. Devices that are alike are moved apart a little, by chance but always the same.
    """
    nearest = np.full(len(order), np.inf)
    columns = []
    for _ in range(min(pivots, len(order))):
        pivot = order[int(np.argmax(nearest))]
        hops = nx.single_source_shortest_path_length(graph, pivot)
        columns.append(np.array([hops[device] for device in order], float))
        nearest = np.minimum(nearest, columns[-1])
    squares = np.stack(columns, axis=1) ** 2
    centered = squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()
    places = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    places = places / np.abs(places).max(axis=0, initial=1e-9)
    return np.asarray(places + np.random.default_rng(0).normal(0, 0.03, places.shape))


def _apart(places: Array, gap: float, turns: int = 30) -> Array:
    """Push devices that overlap away from each other, until they are a gap apart or nearly so."""
    if len(places) > CAREFUL:
        return places
    for _ in range(turns):
        away = places[:, None] - places[None, :]
        distance = np.linalg.norm(away, axis=2)
        np.fill_diagonal(distance, np.inf)
        push = np.clip(gap - distance, 0, None) / np.maximum(distance, 1e-9)
        places = places + 0.4 * (push[:, :, None] * away).sum(axis=1)
    return places
