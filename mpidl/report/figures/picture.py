"""A figure with its words, as a file or as part of a page."""

import hashlib
import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpidl.config.faults import Fault, shown
from mpidl.report import style

METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Type": None, "Format": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What must be told to each format, so that the same figure is the same bytes."""

LIMIT = 140_000
"""Characters that an embedded figure may have."""

DOTS = (220, 160, 110, 80, 55)
"""Resolutions of the parts that are pixels; the first that keeps the limit is taken."""


@dataclass(frozen=True)
class Picture:
    """A figure and what is said about it.

    Attributes:
        name: For a file's name.
        title: A few words.
        caption: What is shown, in which units, how to read it.
        figure: Belongs to no window.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def blank(width: float, height: float) -> Figure:
    """An empty figure that lays itself out; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, columns: int, top: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with panels in rows, half a page wide for two columns and fewer.

    Args:
        count: How many panels there are.
        columns: Panels in a row.
        top: Height over the panels, in inches.
        height: Height of a row, in inches.
    """
    rows = -(-count // columns)
    figure = blank(style.HALF if columns < 3 else style.FULL, top + height * rows)
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def save(picture: Picture, folder: Path, format: str) -> Path:
    """Write a figure as ``folder/name.format``; the same bytes whenever it is the same figure.

    Args:
        picture: The figure.
        folder: Is made.
        format: ``"png"``, ``"svg"`` or ``"pdf"``.

    Raises:
        Fault: If the format is another.
    """
    if format not in METADATA:
        known = ", ".join(METADATA)
        raise Fault(f"Figures are not written as {shown(format)}; formats: {known}.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{picture.name}.{format}"
    with style.context():
        picture.figure.savefig(path, format=format, metadata=METADATA[format])
    return path


def svg(picture: Picture) -> str:
    """A figure as an ``<svg>`` element of a page.

    Ink, faint and paper colours are the page's: ``var(--ink)``, ``var(--faint)``,
    ``var(--paper)``. Text is text, in the page's font.
    """
    text = ""
    for dots in DOTS:
        drawn = io.StringIO()
        with style.context():
            picture.figure.savefig(
                drawn,
                format="svg",
                dpi=dots,
                facecolor="none",
                edgecolor="none",
                metadata=METADATA["svg"],
            )
        text = _element(picture, drawn.getvalue())
        if len(text) <= LIMIT or "<image" not in text:
            break
    return text


def _element(picture: Picture, text: str) -> str:
    """The element that matplotlib wrote, without parts that would affect the page around it."""
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Its style sheet would hold for the whole page.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, text)
    text = _named(text, picture.name)
    for name in ("ink", "faint", "paper"):
        value = getattr(style, name.upper())
        text = text.replace(value, f"var(--{name}, {value})")
    label = f"{picture.name}-{_digest(text)}-title"
    head, body = text.split(">", 1)
    head = re.sub(r' (version|xmlns)="[^"]*"', "", head)
    opened = (
        f'{head} xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{label}" '
        'font-family="system-ui, sans-serif" stroke-linejoin="round" stroke-linecap="butt">'
    )
    return f'{opened}\n<title id="{label}">{escape(picture.title)}</title>{body}'


def _named(text: str, name: str) -> str:
    """Drop the ids that nothing points to, and make the others the picture's own."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    own = {one: f"{name}-{_digest(text)}-{place}" for place, one in enumerate(used)}

    def renamed(found: re.Match[str]) -> str:
        return f' id="{own[found[1]]}"' if found[1] in own else ""

    text = re.sub(r' id="([^"]*)"', renamed, text)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda found: found[1] + own[found[2]], text)


def _rounded(found: re.Match[str]) -> str:
    """Lengths to a hundredth of a point: nobody sees more, and it halves what is read."""
    return re.sub(r"(\.\d\d)\d+", r"\1", found[0]).replace("\n", "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
