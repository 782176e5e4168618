"""Colours that can be told from both papers, and looks that need no colour."""

import re
from pathlib import Path

import pytest

from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.strategies import STRATEGIES
from mpidl.report import page, style
from mpidl.report.figures import drawing

CSS = (Path(page.__file__).parent / "page.css").read_text()
PAPERS = set(re.findall(r"--paper: (#[0-9a-f]{6})", CSS))
COLORS = {
    **style.KINDS,
    **style.PHASES,
    **{name: style.color(name) for name in (*STRATEGIES, *ALGORITHMS)},
    **dict(enumerate(style.OTHERS)),
    **{
        f"step {count}, {at}": c for count in range(1, 9) for at, c in enumerate(style.steps(count))
    },
    **{name: color for name, (_, color, _) in drawing.MARKS.items()},
}


def contrast(first, second):
    low, high = sorted(map(style.luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("name", COLORS, ids=str)
def test_every_colour_is_seen_on_light_and_on_dark_paper(name):
    assert len(PAPERS) >= 2
    for paper in (*PAPERS, style.PAPER):
        assert contrast(COLORS[name], paper) >= 3


def test_steps_and_hatches_differ():
    assert len(set(style.steps(6))) == 6
    assert len(set(style.HATCHES)) == len(style.HATCHES) >= len(style.PHASES)
