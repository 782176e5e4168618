"""The style of figures: one style file, and the same colour for the same thing everywhere.

No colour stands alone: strategies also differ in markers, variants of one in lines, and areas in
hatches. Each colour has a contrast of 3 to 1 with white and with the page's dark paper. Up to
eight that stand in one figure are apart for eyes that confuse red and green, too. Those of
strategies and algorithms are declared by these.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.colors import Colormap, to_hex, to_rgb
from matplotlib.typing import ColorType, LineStyleType

from mpidl.report.labels import JOINT, base, drawn, ordered

FILE = Path(__file__).with_name("mpidl.mplstyle")
"""For ``matplotlib.style.use`` too."""

_PARAMETERS = matplotlib.rc_params_from_file(FILE, use_default_template=False)

INK = to_hex(_PARAMETERS["text.color"])
"""Text, axes and outlines."""

FAINT = to_hex(_PARAMETERS["grid.color"])
"""Grids, links, and what is not there."""

PAPER = to_hex(_PARAMETERS["figure.facecolor"])
"""What lies under everything."""

LEGIBLE = (0.135, 0.285)
"""Luminances that have a contrast of 3 to 1 and more with white and with dark paper, 12161a."""

HALF = 3.4
"""Width of half a page's column pair, in inches."""

FULL = 7.0
"""Width of a page, in inches."""

KINDS = {"iid": "#64748b", "ood": "#d02f63"}
"""In-distribution and out-of-distribution."""

PHASES = {
    "train": "#3e71cd",
    "weights": "#b177be",
    "wait": "#909091",
    "exchange": "#d37708",
    "mix": "#9c915f",
    "evaluate": "#46856b",
    "record": "#9166a2",
}
"""Of a round, in order."""

OTHERS = ("#5b7f2b", "#c05a9a", "#4a5fc1", "#9a8b2f", "#b0423f", "#3f8f8a", "#7b5a9e", "#6e7f95")
"""Colours of strategies that are not known here."""

LINES: tuple[LineStyleType, ...] = (
    "-",
    (0, (4, 1.5)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (8, 2)),
)
"""The first is that of a plain name, the others are for variants of a strategy."""

HATCHES = ("", "////", "....", "xxxx", "----", "||||", "\\\\\\\\", "++++", "oo")
"""What tells bars and stacked areas apart where nobody sees their colours."""

MARKERS = "osv^D<>Phdp*X"


@contextmanager
def context() -> Iterator[None]:
    """Within it matplotlib is set up as the style file says, whatever the user's own settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_PARAMETERS)
        yield


def accuracies() -> Colormap:
    """The map of accuracies, whose range is always 0 to 1; grey where there is no number."""
    return matplotlib.colormaps["cividis"].with_extremes(bad=(0.55, 0.55, 0.55, 0.25))


def amounts() -> Colormap:
    """The map of weights and counts."""
    return matplotlib.colormaps["viridis"].with_extremes(bad=(0.55, 0.55, 0.55, 0.12))


def steps(count: int) -> list[str]:
    """Colours for a few rounds, early to late, legible on white and on dark paper."""
    colors = matplotlib.colormaps["plasma"]
    return [_legible(colors(0.15 + 0.65 * i / max(1, count - 1))) for i in range(count)]


def luminance(color: ColorType) -> float:
    """Relative luminance, 0 to 1; source: WCAG 2.2, by which contrast is computed from it."""
    parts = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def _legible(color: ColorType) -> str:
    """A colour, mixed with white or black until it has contrast with both papers."""
    least, most = LEGIBLE
    end = 1.0 if luminance(color) < least else 0.0
    mixed = to_rgb(color)
    while not least <= luminance(mixed) <= most:
        red, green, blue = (0.98 * part + 0.02 * end for part in mixed)
        mixed = red, green, blue
    return to_hex(mixed)


def color(strategy: str) -> str:
    """The colour of a strategy, by the name in its label."""
    name = base(strategy)
    return drawn(name).color or OTHERS[zlib.crc32(name.encode()) % len(OTHERS)]


def line(strategy: str, among: Sequence[str] = ()) -> LineStyleType:
    """The line style of a strategy: solid, or another one for a variant.

    Args:
        strategy: Its label.
        among: The labels of the same figure, so that variants of one name are told apart.
    """
    return LINES[variant(strategy, among, len(LINES))]


def marker(strategy: str, among: Sequence[str] = ()) -> str:
    """The marker of a strategy; arguments as of :func:`line`."""
    own = drawn(base(strategy)).marker or MARKERS[0]
    place = variant(strategy, among, len(MARKERS))
    return MARKERS[(MARKERS.index(own) + place) % len(MARKERS)] if own in MARKERS else own


def variant(strategy: str, among: Sequence[str], count: int) -> int:
    """The number of a strategy's look: 0 for a plain name, others for its variants.

    Args:
        strategy: Its label.
        among: The labels of the same figure.
        count: How many looks there are, at least 2.
    """
    name = base(strategy)
    if strategy == name:
        return 0
    if JOINT in strategy:
        # What follows the first name looks the same whatever that name is.
        ends = dict.fromkeys(one.removeprefix(base(one)) for one in ordered([*among, strategy]))
        return list(ends).index(strategy.removeprefix(name)) % count
    variants = [one for one in ordered(among) if base(one) == name and one != name]
    if strategy in variants:
        # Where all are variants, the first may have the plain look.
        return (variants.index(strategy) + (name in among)) % count
    return 1 + zlib.crc32(strategy.encode()) % (count - 1)
