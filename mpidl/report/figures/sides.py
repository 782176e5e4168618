"""Cells and strategies side by side in a figure."""

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpidl.report import style
from mpidl.report.figures.picture import blank

PANELS = 12
"""Cells that a figure shows; it says how many are left out."""


WHISKERS = "whiskers: 95 % intervals over devices and seeds"

LINES = 7
"""Of a cell's label, after which it is cut."""

LINE = 0.13
"""Height of a line of text, in inches."""


def grouped(cells: list[str], strategies: list[str], most: int) -> tuple[Figure, Axes]:
    """Axes with a place for each cell, half a page wide for up to so many marks."""
    width = style.FULL if len(cells) * len(strategies) > most else style.HALF
    letters = int((width - 0.5) / len(cells) / 0.065)
    names = [wrapped(cell, letters) for cell in cells] if cells != ["-"] else [""]
    figure = blank(width, 2.2 + LINE * max(name.count("\n") for name in names))
    axes = figure.add_subplot()
    axes.set_xticks(range(len(cells)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.5, len(cells) - 0.5)
    return figure, axes


def shown(cells: pd.Series) -> tuple[list[str], str]:
    """The cells that a figure shows, and a sentence on those that it leaves out."""
    found = sorted(set(cells), key=_natural)
    more = len(found) - PANELS
    return found[
        :PANELS
    ], f" {more} more cell{'s are' if more > 1 else ' is'} left out." if more > 0 else ""


def _natural(cell: str) -> list[tuple[float, str]]:
    """The key that sorts labels as people count: 8 devices before 16."""
    words = re.split(r"(\d+(?:\.\d+)?)", cell)
    return [(float(word), "") if i % 2 else (0.0, word) for i, word in enumerate(words)]


def wrapped(cell: str, letters: int = 24) -> str:
    """A cell's label on short lines, broken between settings where these are short enough."""
    width, tied = max(8, letters), "\N{NO-BREAK SPACE}"
    parts = [one.replace(" ", tied) if len(one) < width else one for one in cell.split(", ")]
    lines = textwrap.wrap(
        ", ".join(parts), width, break_on_hyphens=False, max_lines=LINES, placeholder=" ..."
    )
    return "\n".join(lines).replace(tied, " ")


def looks(strategy: str, among: list[str]) -> dict[str, Any]:
    """Colour, line and marker of a strategy in a figure that shows others too."""
    return {
        "color": style.color(strategy),
        "linestyle": style.line(strategy, among),
        "marker": style.marker(strategy, among),
    }


def legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """All strategies of a figure, over it; the figure grows by the lines that this takes."""
    width = max(map(len, handles)) * 0.062 + 0.35
    columns = max(1, min(len(handles), int(figure.get_figwidth() / width)))
    figure.set_figheight(figure.get_figheight() + LINE * (-(-len(handles) // columns) - 1))
    figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=columns)


def lined(strategies: list[str]) -> dict[str, Artist]:
    """The legend entries of lines with markers."""
    return {one: Line2D([], [], **looks(one, strategies)) for one in strategies}
