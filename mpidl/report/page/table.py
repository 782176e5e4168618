"""Columns and tables of a page, made from data frames: headings, meanings, and cells."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from mpidl.report.labels import Compared

DASH = "\N{EN DASH}"
"""Text in place of a missing number."""

SIGNIFICANT = 3

SPREAD = 1e-3
"""Least ratio of the smallest to the largest number of a column with the same decimals."""

STRATEGIES = Compared()
"""Words for what labels stand for by default."""

SHARES = (
    "by Wilson's score over seeds, each a cluster of answers: with few seeds they are wide, but "
    "never leave 0 to 1. Those of differences are by Student's t."
)
"""How the intervals of shares are made."""

OWN = re.compile("(iid|ood)_(.+)_last")
"""Columns of the values of a task after the last round."""

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Column:
    """A column of a page's table.

    Attributes:
        key: Its name in the data frame.
        head: Its heading.
        unit: Its unit, shown under the heading, or empty.
        why: Its meaning, a sentence.
        decimals: Decimals of all numbers; None to decide from the numbers.
        exact: Whether numbers are shown unrounded, as for settings.
        kind: ``"number"``; ``"text"``, ``"prose"``, which may break, ``"long"`` for more of it;
            ``"strategy"``; ``"spark"``.
    """

    key: str
    head: str
    unit: str = ""
    why: str = ""
    decimals: int | None = None
    exact: bool = False
    kind: str = "number"

    @property
    def text(self) -> bool:
        """Whether it is aligned left, and sorted as text."""
        return self.kind in ("text", "prose", "long", "strategy")


@dataclass(frozen=True)
class Table:
    """A table that can be sorted.

    Attributes:
        name: Name of the element on the page.
        title: Its heading.
        text: Explanation of its rows, or empty.
        columns: The columns.
        rows: The cells of each row as texts; markup for a sparkline.
        few: Number of columns that are shown at first; the others are shown on demand.
        filtered: Whether rows can be filtered.
        links: Target of the first cell of each row, if any.
    """

    name: str
    title: str
    text: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    few: int = 0
    filtered: bool = False
    links: Sequence[str] = field(default=())


def of(
    frame: pd.DataFrame,
    name: str,
    first: Sequence[str] = (),
    extra: Mapping[str, Sequence[str]] | None = None,
    compared: Compared = STRATEGIES,
    **how: Any,
) -> Table:
    """A table of a data frame.

    Args:
        frame: A line for each row; a named index becomes columns.
        name: Of the element on the page; ``words.toml`` has more about it.
        first: Columns that come first, as far as they are there; the others stay hidden until they
            are asked for. None given: all are shown.
        extra: More columns, whose cells are ready.
        compared: What the labels of runs stand for.
        **how: Other fields of :class:`Table`.
    """
    extra = extra or {}
    if any(frame.index.names):
        frame = frame.reset_index()
    frame = frame.rename(columns=str)
    available = [*frame.columns, *extra]
    leading = [key for key in first if key in available]
    keys = [*leading, *(key for key in available if key not in leading)]
    columns, cells = [], []
    for key in keys:
        if key in extra:
            shown, texts = described(key, name, compared), extra[key]
        else:
            shown, texts = column(described(key, name, compared), frame[key])
        columns.append(shown)
        cells.append(texts)
    few = len(leading) if len(leading) < len(keys) else 0
    description = _words(compared)["tables"][name]
    rows = list(zip(*cells, strict=True))
    parts = [description.get("text" if rows else "empty", "")]
    for end, sentence in description.get("where", {}).items():
        parts += [sentence] if any(key.endswith(end) for key in keys) else []
    text = " ".join(filter(None, parts))
    return Table(name, description["title"], text, columns, rows, few, **how)


@cache
def _words(compared: Compared) -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
    more = {"Many": compared.many.capitalize(), "Value": compared.value.capitalize()}
    more["intervals"] = SHARES if compared.span else "by Student's t over seeds."
    more |= {"span": compared.span, "High": "High" if compared.span else "Low"}
    return tomllib.loads(text.format(**vars(compared), **more))


def described(key: str, name: str = "", compared: Compared = STRATEGIES) -> Column:
    """A column as ``words.toml`` describes it for a table; without an entry its name is the key."""
    entries = _words(compared)["columns"]
    for known in (f"{name}/{key}", key):
        if known in entries:
            found = Column(key=key, **entries[known])
            scored = compared.value != "accuracy" and key.startswith(("iid_", "ood_"))
            return replace(found, decimals=None) if scored else found
    if own := OWN.fullmatch(key):
        kind, value = own[1].upper(), own[2].replace("_", " ")
        why = f"The task's value {value} on the {kind} test set after the last round; mean over "
        return Column(key, f"{kind} {value}", why=f"{why}devices.")
    for end, words_ in _words(compared)["ends"].items():
        if key.endswith(end):
            of_ = described(key.removesuffix(end), name, compared)
            return replace(of_, key=key, **words_)
    if "." in key:
        return Column(key, key, why="Setting of the run file.", exact=True)
    return Column(key, key.replace("_", " "))


def column(column: Column, values: "pd.Series[Any]") -> tuple[Column, list[str]]:
    """A column with the kind and unit that follow from its values, and its cells."""
    present = [None if _missing(value) else value for value in values.tolist()]
    numbers = [value for value in present if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        kind = column.kind if column.text else "text"
        return replace(column, kind=kind), [words(value) for value in present]
    if column.text:
        return column, [words(value) for value in present]
    if column.unit == "B":
        power = scale(max((abs(value) for value in numbers), default=0))
        column = replace(column, unit=UNITS[power])
        present = [None if value is None else value / 1000**power for value in present]
    return column, texts(present, column)


def _missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def scale(value: float) -> int:
    """The index in :data:`UNITS` of the unit in which a number of bytes is easy to read."""
    return min(len(UNITS) - 1, int(math.log10(value) // 3)) if value >= 1 else 0


def words(value: Any) -> str:
    """A value that is not a number, as a cell shows it."""
    if _missing(value):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def texts(values: Sequence[float | None], column: Column) -> list[str]:
    """The numbers of a column, with the same decimals if their sizes allow it."""
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value)]
    decimals = _decimals(sizes, column)
    return [DASH if value is None else _number(value, decimals, column.exact) for value in values]


def _decimals(sizes: Sequence[float], column: Column) -> int | None:
    if column.decimals is not None:
        return column.decimals
    if all(size == int(size) for size in sizes):
        return 0
    sizes = [size for size in sizes if size]
    if min(sizes) < SPREAD * max(sizes):
        return None
    return max(0, SIGNIFICANT - 1 - math.floor(math.log10(max(sizes))))


def _number(value: float, decimals: int | None, exact: bool) -> str:
    if not math.isfinite(value):
        return str(value)
    if exact:
        return f"{value}"
    if decimals is not None:
        text = f"{value:,.{decimals}f}"
        return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{SIGNIFICANT - 1}e}".replace("e-0", "e-").replace("e+0", "e+")
    if not value:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, SIGNIFICANT - 1 - magnitude)}f}"
