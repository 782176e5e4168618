"""Page with everything about some runs: one file, for which a browser is enough."""

import base64
import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from mpidl.config.faults import Fault
from mpidl.report import answers, figures, labels, style
from mpidl.report.collection import Collection
from mpidl.report.page import page_tables, sections
from mpidl.report.whole import whole
from mpidl.storage import reader

HERE = Path(__file__).parent


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
    beside = {} if comparison is None else {"paper": page_tables.of(comparison, "paper")}
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
        tables={**beside, **page_tables.all_of(collection, ranks)},
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


def _files(collection: Collection) -> list[tuple[str, str]]:
    """Run files by the name of their run: all of them, or the first of many."""
    runs = list(collection.summaries.items())
    count = len(runs) if len(runs) <= page_tables.FILES else 1
    return [(name, _file(one.path)) for name, one in runs[:count]]


def _file(path: Path) -> str:
    try:
        return str(reader.open(path, ()).attrs["run_file"])
    except Fault as fault:
        return "\n".join(fault.sentences)
