"""Cost of a run: seconds a sample, from a short run or a site's file, times its samples."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mpidl.components import placement
from mpidl.components.datasets import sizes
from mpidl.config import runfile
from mpidl.config.runfile import RunFile, Section
from mpidl.devices import data
from mpidl.ensemble import sites
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Run, Study

TRAINING = ("batch_size", "batched", "optimizer", "precision", "accelerator", "threads")
"""Settings of training that decide how long a sample takes."""

MARGIN = 1.2
"""By how much an estimate is multiplied before it is compared with the time left."""


@dataclass(frozen=True, order=True)
class Kind:
    """What decides how long a sample takes: data set, model and steps, as texts."""

    data: str
    model: str
    training: str

    def __str__(self) -> str:
        return f"{self.data} with {self.model}"


class Measured(Section):
    """What a calibration run took; an entry of ``figures.toml``.

    Attributes:
        site: Where it ran.
        machine: The name of the host.
        date: When, as ``YYYY-MM-DD``.
        train: Seconds for one training sample, once.
        evaluate: Seconds for one answer.
        mix: Seconds for one device in one round, beside both.
        start: Seconds of everything but the rounds.
    """

    site: str
    machine: str
    date: str
    data: str
    model: str
    training: str
    train: runfile.Rate
    evaluate: runfile.Rate
    mix: float
    start: float

    @property
    def kind(self) -> Kind:
        """What was measured."""
        return Kind(self.data, self.model, self.training)


class Measurements(Section):
    """A ``figures.toml``."""

    figures: list[Measured] = Field(default_factory=list)


@dataclass(frozen=True)
class Rates:
    """Seconds that one place takes, and where they come from; see :class:`Measured`."""

    train: float
    evaluate: float
    mix: float
    fixed: float
    per_rank: float
    source: str


def kind(file: RunFile) -> Kind:
    """What decides how long a sample of a run takes."""
    training = {key: getattr(file.training, key) for key in TRAINING}
    return Kind(
        _text(file.data, {"dir", "train_samples", "test_samples"}),
        _text(file.model, set()),
        _listed({**training, "evaluated": file.evaluation.batch_size}),
    )


def _text(section: Any, skipped: set[str]) -> str:
    """A section's name, and what it sets beside the defaults."""
    chosen = section.model_dump(exclude_defaults=True, exclude_none=True)
    told = {key: chosen[key] for key in sorted(chosen) if key not in {"name", *skipped}}
    return " ".join([section.name, *([_listed(told)] if told else [])])


def _listed(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


def samples(file: RunFile) -> tuple[int, int]:
    """Training and test samples of a run; loads a data set that is not known."""
    known = sizes.samples(file.data)
    if known is None:
        _, train, test = data.load(file)
        known = len(train["labels"]), len(test["iid_labels"]) + len(test["ood_labels"])
    return known


def rates(file: RunFile, site: Site, measured: Iterable[Measured]) -> Rates | None:
    """Seconds a sample of a run: measured, or those of the site's file; None without either."""
    wanted = kind(file)
    for one in measured:
        if one.kind == wanted:
            fixed = max(0.0, one.start - site.start.per_rank)
            source = f"measured on {one.machine}, {one.date}"
            return Rates(one.train, one.evaluate, one.mix, fixed, site.start.per_rank, source)
    for figure in site.figures:
        if (figure.data, figure.model) == (file.data.name, file.model.name):
            start = site.start
            return Rates(
                figure.train, figure.evaluate, 0.0, start.fixed, start.per_rank, figure.source
            )
    return None


def estimate(run: Run, site: Site, rates: Rates) -> float:
    """Seconds of a run, from mpiexec to its end.

    Every place takes its devices one after the other, and all places wait for the one that has
    most of them.
    """
    file, crowd = run.file, crowded(run, site)
    train, test = samples(file)
    # Where there are more devices than samples they share them, one each.
    each = max(1.0, train / run.devices) * file.training.epochs
    if file.training.steps is not None:
        each = file.training.steps * file.training.batch_size
    rounds, every = file.training.rounds, file.evaluation.every
    tests = -(-rounds // every) * (2 if file.evaluation.moment == "both" else 1)
    trained = rounds * each * file.training.participation * rates.train
    evaluated = tests * test * rates.evaluate
    start = rates.fixed + rates.per_rank * run.ranks
    return start + crowd * (trained + evaluated + rounds * rates.mix)


def crowded(run: Run, site: Site) -> int:
    """Devices of the place that has most of them."""
    hosted = np.bincount(placement.hosts(run.file.placement.hosts, run.devices, run.ranks))
    load = Counter[tuple[int, str]]()
    for at in sites.bindings(site, sites.shape(site, run.ranks)):
        load[at.node, at.place.cpus] += int(hosted[at.rank])
    return max(load.values())


def estimates(study: Study, site: Site, measured: Sequence[Measured]) -> dict[str, float]:
    """Seconds of each run of a study, by name, as far as there are figures for it."""
    found: dict[str, float] = {}
    known: dict[Kind, Rates | None] = {}
    for run in study.runs:
        wanted = kind(run.file)
        if wanted not in known:
            known[wanted] = rates(run.file, site, measured)
        figures = known[wanted]
        if figures is not None:
            found[run.name] = estimate(run, site, figures)
    return found


def corrected(estimates: Mapping[str, float], took: Mapping[str, float]) -> dict[str, float]:
    """Estimates of the runs that are left, by what those that ended took of theirs.

    Args:
        estimates: Seconds by run.
        took: Seconds of the runs that ended well.
    """
    known = [(estimates[name], seconds) for name, seconds in took.items() if name in estimates]
    ratio = float(np.median([seconds / expected for expected, seconds in known])) if known else 1.0
    return {name: ratio * seconds for name, seconds in estimates.items() if name not in took}
