"""Terminal report: a table, and a sparkline of every run."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpidl.config.faults import printable
from mpidl.report import answers
from mpidl.report.collection import Collection, highest

BARS = "▁▂▃▄▅▆▇█"

WIDTH = 20
"""Most characters of a sparkline; a longer curve is averaged."""

OWN = 3
"""Most values of a task that are shown."""

ROWS = 100
"""Most runs that are shown."""

LEGEND = (
    "{value} over devices: mean and worst after the last round; level (area under the curve over "
    "its length){interval}{until}."
)


def sparkline(curve: npt.NDArray[np.float64], width: int = WIDTH) -> str:
    """A curve between 0 and 1, ``(R,)``, as one line of bars; a blank for NaN."""
    parts = np.array_split(curve, min(width, len(curve))) if len(curve) else []
    line = ""
    for part in parts:
        fine = part[np.isfinite(part)]
        height = float(np.clip(fine.mean(), 0, 1)) if len(fine) else None
        line += " " if height is None else BARS[min(int(height * len(BARS)), len(BARS) - 1)]
    return line


def console() -> Console:
    """The console: as wide as the terminal, or 120 columns for a pipe."""
    here = Console()
    return here if here.is_terminal else Console(width=120)


def show(collection: Collection, console: Console) -> None:
    """Print warnings, a line for each group of runs if there are several, and one for each run.

    Args:
        collection: The runs.
        console: The console to print on.
    """
    tell(warned(collection), console)
    for sentence in answers.sentences(collection):
        console.print(Text(printable(sentence)), soft_wrap=True)
    together = collection.runs["seed"].nunique() > 1 or len(collection.runs) > ROWS
    if together:
        console.print(_groups(collection))
    console.print(_runs(collection))
    if len(collection.summaries) > ROWS:
        more = len(collection.summaries) - ROWS
        console.print(f"... and {more:,} more; --csv and --html have all.")
    legend = LEGEND.format(
        interval=", with its 95 % interval over devices and seeds" if together else "",
        value=collection.value.capitalize(),
        until=_until(collection),
    )
    console.print(legend, style="dim")


def _until(collection: Collection) -> str:
    """A clause about the rounds until the threshold; losses have none."""
    if collection.value != "accuracy":
        return ""
    kind, threshold = collection.kind.upper(), collection.threshold
    return f"; rounds until the mean {kind} accuracy is {threshold:g}"


def _groups(collection: Collection) -> Table:
    """Table of groups of runs that differ only in their seeds."""
    from mpidl.report import statistics

    groups, shown = statistics.groups(collection), _shown(collection)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("cell", overflow="fold")
    table.add_column(collection.compared.head.lower(), overflow="fold")
    kinds = dict.fromkeys(("iid", collection.kind))
    for head in ("runs", *(f"{kind.upper()} level" for kind in kinds), "95 %"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in groups.to_dict("records"):
        low, high = (shown(row[f"{collection.measure}_{end}"]) for end in ("low", "high"))
        levels = [shown(row[f"{kind}_level"]) for kind in kinds]
        names = Text(row["cell"]), Text(row["strategy"])
        table.add_row(*names, str(row["runs"]), *levels, f"{low} to {high}")
    return table


def _columns(collection: Collection) -> dict[str, str]:
    """The numbers of a run that are shown, with their headings."""
    kind = collection.kind
    reaching = {collection.reaching: f"rounds\nto {collection.threshold:g}"}
    own = {
        f"{test}_{name}_last": f"{test.upper()}\n{name}"
        for name in collection.own[:OWN]
        for test in dict.fromkeys(("iid", kind))
    }
    return {
        "iid_last": "IID\nlast",
        f"{kind}_last": f"{kind.upper()}\nlast",
        f"{kind}_worst": "\nworst",
        f"{kind}_level": "\nlevel",
        **own,
        **(reaching if collection.value == "accuracy" else {}),
    }


def _shown(collection: Collection) -> Callable[[float], str]:
    """How scores are shown: accuracies with three decimals, losses with three digits."""
    return number if collection.value == "accuracy" else digits


def _runs(collection: Collection) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=20)
    table.add_column("rounds", justify="right", no_wrap=True)
    most, shown = highest(collection), _shown(collection)
    table.add_column(f"{collection.kind.upper()},\n0 to {digits(most)}", no_wrap=True)
    columns = _columns(collection)
    for head in columns.values():
        table.add_column(head, justify="right", no_wrap=True)
    for name, one in list(collection.summaries.items())[:ROWS]:
        cells = [
            _rounds(value) if key == collection.reaching else shown(value)
            for key in columns
            for value in [one.numbers.get(key, math.nan)]
        ]
        course = sparkline(one.curves[collection.kind].mean / most)
        table.add_row(Text(name), f"{one.done}/{one.rounds}", course, *cells)
    return table


def _rounds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def compare(collection: Collection, console: Console) -> None:
    """Print the published numbers beside those of these runs, and reasons why they may differ."""
    from mpidl.report.paper import compare as paper

    table = paper.compare(collection)
    if table.empty:
        tell([f"Nothing to compare with arXiv 2505.11760: {paper.reason(collection)}"], console)
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("", "arXiv 2505.11760"):
        shown.add_column(head, overflow="fold")
    for head in ("runs", "ours", "95 %", "theirs", "difference"):
        shown.add_column(head, justify="right", no_wrap=True)
    shown.add_column("comparable", no_wrap=True)
    whys = list(dict.fromkeys(table["why"]))
    for row in table.to_dict("records"):
        low, high = digits(row["low"]), digits(row["high"])
        spread = "" if math.isnan(row["low"]) else f"{low} to {high}"
        note = f" [{whys.index(row['why']) + 1}]" if row["why"] else ""
        numbers = digits(row["ours"]), spread, digits(row["theirs"]), digits(row["difference"])
        verdict = Text(f"{row['comparable']}{note}")
        shown.add_row(row["table"], Text(_subject(row)), str(row["runs"]), *numbers, verdict)
    console.print(shown)
    for count, why in enumerate(whys, 1):
        if why:
            console.print(Text(f"[{count}] {why}"), style="dim", soft_wrap=True)


def _subject(row: Mapping[Hashable, Any]) -> str:
    """A text about a published number; one of T1 is about all graphs and data sets."""
    where = [] if row["table"] == "T1" else [row["graph"], row["data"]]
    parts = [
        row["what"],
        row["strategy"].replace("+", ", ").replace("/", " against "),
        *where,
        f"source ranked {row['rank']}",
    ]
    return "; ".join(parts)


def digits(value: float) -> str:
    """A number with three significant digits; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3g}"


def number(value: float) -> str:
    """A number with three decimals; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}"


def warned(collection: Collection) -> list[str]:
    """All warnings: about files that are left out, and about runs, with their names first."""
    runs = [
        f"{name}: {warning}"
        for name, one in collection.summaries.items()
        for warning in one.warnings
    ]
    return [*collection.skipped, *runs]


def tell(sentences: Sequence[str], console: Console) -> None:
    """Print warnings, the first dozen of them."""
    for sentence in sentences[:12]:
        console.print(Text(f"! {printable(sentence)}", style="yellow"), soft_wrap=True)
    if len(sentences) > 12:
        console.print(f"! and {len(sentences) - 12:,} more; --html lists all", style="yellow")


def where(files: Iterable[Path], console: Console) -> None:
    """Print the paths of files: one by one, or together for each folder."""
    folders: dict[Path, list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in folders.items():
        if len(paths) == 1:
            line = str(paths[0])
        else:
            line = f"{folder}/: {', '.join(path.name for path in paths)}"
        console.print(Text(printable(line)), soft_wrap=True)
