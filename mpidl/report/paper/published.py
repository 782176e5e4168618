"""Published numbers, settings and sources, read from the files beside their study."""

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
"""Settings that have an effect only if another one has a value."""


@dataclass(frozen=True)
class Differences:
    """Differences of a run from the published ones, as texts such as ``"rounds 10, not 40"``.

    Attributes:
        study: Differences that change the numbers: size, data, model, learning rate.
        testbed: Differences from the published code where it departs from the published method.
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
    """The rank, 1 to 4, of a device among the four published sources of a graph; else None."""
    return _sources().get((kind, seed, device))


def differences(own: Mapping[str, Any]) -> Differences:
    """Differences of settings, as ``"section.key"``, from the published ones on their data set.

    A setting that a run does not have is the builder's default, which is the published value: all
    samples, for example.
    """
    known = settings(str(own["data.name"]))
    study = _differing(own, known["study"])
    if "training.steps" in own:
        epochs = known["study"]["training.epochs"]
        study = (*study, f"steps {own['training.steps']}, not {epochs} epochs")
    return Differences(study, _differing(own, known["testbed"]))


def _differing(own: Mapping[str, Any], published: Mapping[str, Any]) -> tuple[str, ...]:
    texts = []
    for key, theirs in published.items():
        ours = own.get(key, theirs)
        if key == "evaluation.moment" and ours != theirs:
            # A report uses accuracy after mixing if it was measured.
            ours = "mixed"
        needed, value = NEEDS.get(key, (key, ours))
        idle = needed != key and own.get(needed) != value
        steps = key == "training.epochs" and "training.steps" in own
        if ours != theirs and not idle and not steps:
            texts.append(f"{_label(key)} {ours}, not {theirs}")
    return tuple(texts)


def _label(key: str) -> str:
    section, _, setting = key.partition(".")
    return section if setting == "name" else setting.replace("_", " ")
