"""The published numbers, settings and sources, read from the files beside their study."""

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mpidl.config import shipped

FOLDER = shipped.folder() / "launch" / "studies" / "paper" / "published"

NUMERIC = ("x", "value", "low", "high", "uncertainty")
"""Columns of numbers.csv that are numbers, NaN where empty."""

SPAN = 199
"""Width of the published areas: 200 local epochs from 0 to 199."""

NEEDS = {
    "strategy.frozen_rounds": ("strategy.draw", "frozen"),
    "evaluation.batch_size": ("evaluation.accuracy", "padded"),
    "strategy.temperature": ("strategy.normalize", "softmax"),
}
"""Settings that decide something only where another one has a value."""


@dataclass(frozen=True)
class Differences:
    """In what a run differs from the published ones, as texts such as ``"rounds 10, not 40"``.

    Attributes:
        study: What makes other numbers whoever computes them: size, data, model, learning rate.
        testbed: Where the published code did otherwise than the published method says, and the
            run does not follow it.
    """

    study: tuple[str, ...]
    testbed: tuple[str, ...]


@cache
def numbers() -> tuple[Mapping[str, Any], ...]:
    """Every number that could be recovered of the publication.

    ``table`` (T1 to T6), ``graph``, ``data``, ``strategy`` (``a+b``: several; ``a/b``: a compared
    with b), ``rank`` of the source (``1-4``: all four), ``measure``; ``axis`` and ``x``, where it
    is a point of a regression line; ``value``, NaN where the figure hides it, ``low`` and ``high``
    of its whiskers or range; ``uncertainty`` of reading it off, to either side; ``confidence``
    that it is what it says, H, M or L; ``note``. Areas are on the scale of :data:`SPAN`, last
    accuracies in percent.
    """
    with (FOLDER / "numbers.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            {key: float(value or "nan") if key in NUMERIC else value for key, value in row.items()}
            for row in csv.DictReader(file)
        )


@cache
def settings(data: str) -> Mapping[str, Mapping[str, Any]]:
    """The published settings on a data set, ``"study"`` and ``"testbed"``, by section.key."""
    return tomllib.loads((FOLDER / "settings" / f"{data}.toml").read_text(encoding="utf-8"))


@cache
def data() -> tuple[str, ...]:
    """The data sets of the publication."""
    return tuple(sorted(path.stem for path in (FOLDER / "settings").glob("*.toml")))


@cache
def _sources() -> dict[tuple[str, int, int], int]:
    with (FOLDER / "sources.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["kind"], int(row["seed"]), int(row["device"])): int(row["rank"])
            for row in csv.DictReader(file)
        }


def rank(kind: str, seed: int, device: int) -> int | None:
    """Which of the four published sources of a graph a device is, 1 to 4; else None."""
    return _sources().get((kind, seed, device))


def differences(told: Mapping[str, Any]) -> Differences:
    """In what settings, as ``"section.key"``, differ from the published ones on their data set.

    What a run does not set leaves the choice to the builder, which takes what is published: all
    samples, for one.
    """
    known = settings(str(told["data.name"]))
    study = _differing(told, known["study"])
    if "training.steps" in told:
        epochs = known["study"]["training.epochs"]
        study = (*study, f"steps {told['training.steps']}, not {epochs} epochs")
    return Differences(study, _differing(told, known["testbed"]))


def _differing(told: Mapping[str, Any], published: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for key, theirs in published.items():
        ours = told.get(key, theirs)
        if key == "evaluation.moment" and ours != theirs:
            # A report takes accuracy after mixing wherever it was measured.
            ours = "mixed"
        needed, value = NEEDS.get(key, (key, ours))
        idle = needed != key and told.get(needed) != value
        steps = key == "training.epochs" and "training.steps" in told
        if ours != theirs and not idle and not steps:
            found.append(f"{_label(key)} {ours}, not {theirs}")
    return tuple(found)


def _label(key: str) -> str:
    section, _, setting = key.partition(".")
    return section if setting == "name" else setting.replace("_", " ")
