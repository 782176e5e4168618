"""Colours that can be told from both papers, and looks that need no colour."""

import re
import tomllib
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.strategies import STRATEGIES
from mpidl.config import shipped
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


LEAST = 0.065
"""Oklab distance of two colours in one figure; from about 0.02 on colours are told apart."""

SIGHTS = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
"""What eyes make of linear RGB; source: Machado, Oliveira and Fernandes, 2009, severity 1."""

STUDIES = Path(shipped.find(Path("launch/studies")))


def named(table, section):
    """What the axes of a study name in a section of the run file, and what all its runs have."""
    if isinstance(table, list):
        return set().union(*(named(one, section) for one in table))
    if not isinstance(table, dict):
        return set()
    found = set(table["values"]) if table.get("set") == f"{section}.name" else set()
    own = table.get(section)
    if isinstance(own, dict) and isinstance(own.get("name"), str):
        found.add(own["name"])
    return found.union(*(named(one, section) for one in table.values()))


def of_studies(section):
    """The sets of what stands in one figure of a study."""
    files = STUDIES.glob("*/study.toml")
    return {f.parent.name: named(tomllib.loads(f.read_text()), section) for f in files}


TOGETHER = {
    **{f"strategies of {key}": found for key, found in of_studies("strategy").items()},
    "rules against liars": {
        *(name for name in STRATEGIES if STRATEGIES.properties(name).least),
        *("unweighted", "clipped_gossip", "metropolis_hastings", "sinkhorn", "degree"),
    },
    "algorithms": {*ALGORITHMS},
}
"""Names whose colours stand in one figure of the project's own studies."""

FIGURES = {
    **{key: {name: style.color(name) for name in found} for key, found in TOGETHER.items()},
    "phases": style.PHASES,
    "devices": {**style.KINDS, **{name: color for name, (_, color, _) in drawing.MARKS.items()}},
}


def seen(color, sight):
    """A colour as some eyes see it, in Oklab; source: B. Ottosson, 2020."""
    parts = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponents = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return opponents @ np.cbrt(cones @ np.clip(SIGHTS[sight] @ linear, 0, 1))


def apart(first, second, sight):
    return float(np.linalg.norm(seen(first, sight) - seen(second, sight)))


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("figure", FIGURES)
def test_colours_of_one_figure_are_told_apart_by_all_eyes(figure, sight):
    colors = FIGURES[figure]
    assert len(colors) <= 8
    alike = {
        pair: apart(colors[pair[0]], colors[pair[1]], sight)
        for pair in combinations(sorted(colors), 2)
    }
    assert {pair: way for pair, way in alike.items() if way < LEAST} == {}


def test_studies_show_as_many_strategies_as_they_name():
    sizes = {key: len(found) for key, found in TOGETHER.items()}
    assert max(sizes.values()) == 8
    assert sizes["strategies of paper"] == 6
    assert sizes["strategies of heterogeneous"] == 8


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("#4d8f3a", "#5f8a3a"),
        ("#0072b2", "#5261af"),
        ("#8a63c9", "#0072b2"),
        ("#d17d29", "#a99026"),
    ],
)
def test_colours_that_some_eyes_confuse_are_found(first, second):
    assert min(apart(first, second, sight) for sight in SIGHTS) < LEAST


def test_distances_are_those_of_oklab():
    assert apart("#000000", "#ffffff", "usual") == pytest.approx(1, abs=1e-6)
    assert apart("#ff0000", "#00ff00", "usual") == pytest.approx(0.5197, abs=1e-3)
    # Red and green of the same lightness are what these eyes confuse.
    assert apart("#c04000", "#7a6a00", "deuteranopia") < apart("#c04000", "#7a6a00", "usual") / 2


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
