"""Page with everything about some runs: one file, for which a browser is enough."""

import base64
import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from mpidl.config.faults import Fault
from mpidl.report import answers, figures, labels, statistics, style
from mpidl.report.collection import Collection, highest
from mpidl.report.labels import Compared
from mpidl.report.page import sections, table
from mpidl.report.page.table import Table
from mpidl.report.whole import whole
from mpidl.storage import reader

HERE = Path(__file__).parent

FILES = 100
"""Most runs of which the page has all run files; for more runs it has the first one."""

MANY = 20
"""Most rows of a table without a filter."""

FIRST = {
    "devices": (
        *(
            "device",
            "name",
            "source",
            "hops",
            "degree",
            "stationary",
            "passage",
            "rounds_to_threshold",
        ),
        *("ood_level", "ood_last", "iid_level", "iid_last"),
    ),
    "groups": (
        *("cell", "strategy", "seeds"),
        *("ood_level", "ood_level_seeds_low", "ood_level_seeds_high", "iid_level", "difference"),
        *("ood_last", "ood_worst", "iid_last", "rounds_to_threshold", "reached"),
        *("iid_rounds_to_threshold", "unfinished"),
    ),
    "paper": (
        *("what", "strategy", "ours", "low", "high", "theirs", "theirs_low", "theirs_high"),
        *("difference", "percent", "comparable", "graph", "data", "rank", "axis", "x"),
    ),
    "ranking": (
        *("strategy", "rank", "wins", "mean", "low", "high"),
        *("blocks", "critical", "p"),
    ),
    "runs": (
        *("run", "strategy", "cell", "seed", "curve", "ood_level", "iid_level", "difference"),
        *(
            "rounds_to_threshold",
            "iid_rounds_to_threshold",
            "ood_last",
            "ood_worst",
            "iid_last",
            "done",
            "rounds",
        ),
    ),
}
"""Columns of a table that are shown at first; the others are shown on demand."""

SPARK = Markup('<svg class="s k{}" viewBox="0 0 72 18" aria-hidden="true"><path d="{}"/></svg>')


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        name: Name for links.
        title: Title in a few words.
        caption: Explanation of how to read it.
        svg: The drawing.
        shape: ``"wide"`` for the full width, ``"tall"`` for double height, else empty.
    """

    name: str
    title: str
    caption: str
    svg: Markup
    shape: str


def write(
    collection: Collection,
    path: Path,
    *,
    comparison: pd.DataFrame | None = None,
    refresh: float | None = None,
) -> Path:
    """Write the page at once, so that a reader never opens half of it.

    Args:
        collection: The runs.
        path: The HTML file.
        comparison: Published numbers beside those of these runs.
        refresh: Seconds after which the page reloads itself.
    """
    html = text(collection, comparison=comparison, refresh=refresh)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as beside:
        beside.write_text(html, encoding="utf-8", errors="replace", newline="\n")
    return path


def text(
    collection: Collection,
    *,
    comparison: pd.DataFrame | None = None,
    refresh: float | None = None,
) -> str:
    """The page as HTML; it is the same for the same runs unless it reloads itself.

    Args:
        collection: The runs.
        comparison: Published numbers beside those of these runs.
        refresh: Seconds after which the page reloads itself.
    """
    script = (HERE / "page.js").read_text(encoding="utf-8")
    strategies = labels.ordered(collection.runs["strategy"])
    ranks = {name: rank for rank, name in enumerate(strategies)}
    beside = {} if comparison is None else {"paper": _table(comparison, "paper")}
    differing, same = sections.settings(collection)
    return _template().render(
        title=sections.title(collection),
        abstract=sections.abstract(collection),
        late=answers.sentences(collection),
        made=sections.made(collection),
        compared=collection.compared,
        several=len(collection.summaries) > 1,
        headline=sections.headline(collection),
        concerns=sections.concerns(collection),
        drawings=_drawings(collection),
        tables={**beside, **_tables(collection, ranks)},
        differing=differing,
        same=same,
        versions=sections.versions(collection),
        files=_files(collection),
        total=len(collection.summaries),
        colors={name: style.color(name) for name in strategies},
        ranks=ranks,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=_digest(script),
        refresh=refresh,
        now=datetime.datetime.now().strftime("%H:%M:%S") if refresh else None,
    )


def _digest(script: str) -> str:
    """The digest with which a browser compares the script before it runs it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html")


def _drawings(collection: Collection) -> list[Drawing]:
    if len(collection.summaries) > 1:
        pictures = figures.of_runs(collection)
    else:
        (only,) = collection.summaries.values()
        pictures = figures.of_run(reader.open(only.path), collection.threshold)
    return [
        Drawing(one.name, one.title, one.caption, Markup(figures.svg(one)), _shape(one))
        for one in pictures
    ]


def _shape(picture: figures.Picture) -> str:
    width, height = picture.figure.get_size_inches()
    if width > 1.25 * style.HALF:
        return "wide"
    return "tall" if height > 0.9 * width else ""


def _tables(collection: Collection, ranks: Mapping[str, int]) -> dict[str, Table]:
    """The tables of the page by name, as far as they make sense for these runs."""
    if len(collection.summaries) == 1:
        devices = collection.devices.drop(columns="run")
        devices = devices.assign(source=devices["source"] == 1)
        if collection.value != "accuracy":
            devices = devices.drop(columns=[key for key in devices if devices[key].isna().all()])
        return {"devices": _table(devices, "devices", collection.compared)}
    frames = statistics.tables(collection)
    tables = {
        name: _table(_informative(frame, collection), name, collection.compared)
        for name, frame in frames.items()
        if len(frame)
    }
    return {**tables, "runs": _runs(collection, ranks)}


def _informative(frame: pd.DataFrame, collection: Collection) -> pd.DataFrame:
    """A table without labels that are the same in all lines, and without empty columns."""
    same = [key for key in ("strategy", "cell") if key in frame and frame[key].nunique() == 1]
    kept = [collection.reaching] if collection.value == "accuracy" else []
    none = [key for key in frame if frame[key].isna().all() and key not in kept]
    none += ["reached"] if "reached" in frame and not kept else []
    return frame.drop(columns=[*none, *(same if len(frame) > 1 else [])])


def _table(frame: pd.DataFrame, name: str, compared: Compared = table.STRATEGIES) -> Table:
    first = [*FIRST.get(name, ()), *filter(table.OWN.fullmatch, map(str, frame))]
    return table.of(frame, name, first, None, compared, filtered=len(frame) > MANY)


def _runs(collection: Collection, ranks: Mapping[str, int]) -> Table:
    frame, runs = collection.runs, collection.summaries.values()
    most = highest(collection)
    curves = [
        _drawn(
            sections.sparkline((one.curves[collection.kind].mean / most).tolist()), ranks[strategy]
        )
        for one, strategy in zip(runs, frame["strategy"], strict=True)
    ]
    links = [f"#file-{at}" for at in range(len(frame))] if len(frame) <= FILES else []
    extra = {"curve": curves}
    shown, compared = _informative(frame, collection), collection.compared
    first = [*FIRST["runs"], *filter(table.OWN.fullmatch, map(str, shown))]
    return table.of(shown, "runs", first, extra, compared, filtered=True, links=links)


def _drawn(path: str, rank: int) -> str:
    if not path:
        return table.DASH
    return SPARK.format(rank, path)


def _files(collection: Collection) -> list[tuple[str, str]]:
    """Run files by the name of their run: all of them, or the first of many."""
    runs = list(collection.summaries.items())
    return [(name, _file(one.path)) for name, one in runs[: len(runs) if len(runs) <= FILES else 1]]


def _file(path: Path) -> str:
    try:
        return str(reader.open(path, ()).attrs["run_file"])
    except Fault as fault:
        return "\n".join(fault.sentences)
