"""Products of a report, each made on demand."""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from mpidl.config.faults import Fault, shown
from mpidl.report.collection import Collection
from mpidl.report.whole import whole
from mpidl.storage import reader

if TYPE_CHECKING:
    import pandas as pd

Step = Callable[[int, int], None]
Steps = Callable[[str], Step]


@dataclass(frozen=True)
class Wanted:
    """The products that a user asks for.

    Attributes:
        figures: Format of the figures, ``"png"``, ``"svg"`` or ``"pdf"``; None for no figures.
        html: Whether to make the page.
        csv: Whether to make the tables.
        animate: Whether to make the animation of each run.
        paper: Whether to compare with the published numbers.
    """

    figures: str | None = None
    html: bool = False
    csv: bool = False
    animate: bool = False
    paper: bool = False


def make(collection: Collection, wanted: Wanted, folder: Path, progress: Steps) -> list[Path]:
    """Make the products that are asked for in a folder, and return their files.

    Raises:
        Fault: If the folder cannot be written, or no run has anything to animate.
    """
    files: list[Path] = []
    if wanted == Wanted():
        return files
    prepare(folder)
    try:
        if wanted.csv:
            files += _tables(collection, folder, progress("writing tables"))
        if wanted.figures:
            files += _figures(collection, folder, wanted.figures)
        if wanted.animate:
            files += _animations(collection, folder, progress("drawing"))
        if wanted.paper:
            files.append(folder / "paper.csv")
            with whole(files[-1]) as beside:
                comparison(collection).to_csv(beside, index=False)
        if wanted.html:
            files.append(page(collection, wanted, folder))
    except OSError as error:
        raise Fault(f"Cannot write to {folder}: {error.strerror or error}.") from None
    return files


def prepare(folder: Path) -> None:
    """Make a folder, or check that files can be written into it.

    Raises:
        Fault: If they cannot.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise Fault(f"Cannot write to {folder}: it is not a folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Fault(f"Cannot write to {shown(str(folder))[1:-1]}: {error.strerror}.") from None


def page(
    collection: Collection, wanted: Wanted, folder: Path, refresh: float | None = None
) -> Path:
    """Write the page, which reloads itself every ``refresh`` seconds."""
    from mpidl.report import page as room

    beside = comparison(collection) if wanted.paper else None
    return room.write(collection, folder / "report.html", comparison=beside, refresh=refresh)


def comparison(collection: Collection) -> "pd.DataFrame":
    """The published numbers beside those of these runs."""
    from mpidl.report.paper import compare

    return compare.compare(collection)


def _tables(collection: Collection, folder: Path, step: Step) -> list[Path]:
    from mpidl.report import statistics, tidy

    files = tidy.write(collection, folder, step)
    for name, table in statistics.tables(collection).items():
        path = folder / f"{name}.csv"
        with whole(path) as beside:
            table.to_csv(beside, index=False)
        files.append(path)
    return files


def _figures(collection: Collection, folder: Path, format_: str) -> list[Path]:
    from mpidl.report import figures

    if len(collection.summaries) > 1:
        pictures = figures.of_runs(collection)
    else:
        (only,) = collection.summaries.values()
        pictures = figures.of_run(reader.open(only.path), collection.threshold)
    return [figures.save(picture, folder, format_) for picture in pictures]


def _animations(collection: Collection, folder: Path, step: Step) -> list[Path]:
    from mpidl.report import animation

    moving = {
        name: one for name, one in collection.summaries.items() if len(one.curves["ood"].mean)
    }
    if not moving:
        missing = f"OOD {collection.value}"
        raise Fault(f"There is nothing to animate: no run has a round with {missing}.")
    files: list[Path] = []
    for count, (name, one) in enumerate(moving.items(), 1):
        path = folder / f"{name.replace('/', '_')}.gif"
        if path in files:
            path = path.with_stem(f"{path.stem}-{count}")
        with whole(path) as beside:
            animation.animate(reader.open(one.path), beside)
        files.append(path)
        step(count, len(moving))
    return files


def as_json(collection: Collection, wanted: Wanted) -> str:
    """All numbers as JSON: runs with their curves and warnings, tables over runs."""
    from mpidl.report import statistics

    runs = []
    for row in _records(collection.runs):
        one = collection.summaries[row["run"]]
        curves = {
            kind: {"rounds": curve.rounds.tolist(), "mean": curve.mean.tolist()}
            for kind, curve in one.curves.items()
        }
        runs.append({**row, "path": str(one.path), "warnings": one.warnings, "curves": curves})
    numbers: dict[str, Any] = {"runs": runs, "skipped": collection.skipped}
    numbers |= {name: _records(table) for name, table in statistics.tables(collection).items()}
    if wanted.paper:
        numbers["paper"] = _records(comparison(collection))
    return json.dumps(_finite(numbers), indent=1)


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _finite(value: Any) -> Any:
    """A copy of a value for JSON, which has neither NaN nor numpy's numbers."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress(brief: bool = False) -> Iterator[Steps]:
    """Yield a function that makes a bar for each long work, shown on a terminal only.

    Args:
        brief: Whether not even there.
    """
    watched = sys.stderr.isatty() and not brief
    with Progress(console=Console(stderr=True), transient=True, disable=not watched) as bars:

        def steps(title: str) -> Step:
            task = bars.add_task(title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield steps
