"""Time of a run: seconds per sample, measured or from a site's file, times its samples."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from mpidl.components import placement
from mpidl.components.datasets import DATASETS
from mpidl.config import runfile
from mpidl.config.runfile import RunFile, Section
from mpidl.devices import loading
from mpidl.ensemble import shapes
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Run, Study

TRAINING = ("batch_size", "batched", "optimizer", "precision", "accelerator", "threads")
"""Settings of training that change how long a sample takes."""

MARGIN = 1.2
"""Factor by which an estimate is multiplied before it is compared with the time left."""


@dataclass(frozen=True, order=True)
class Kind:
    """Kind of run: the settings that decide how long a sample takes (data set, model, training)."""

    data: str
    model: str
    training: str

    def __str__(self) -> str:
        return f"{self.data} with {self.model}"


class Measured(Section):
    """Times that a calibration run measured; an entry of ``figures.toml``.

    Attributes:
        site: Name of the site.
        machine: Name of the host.
        date: Day of the measurement, as ``YYYY-MM-DD``.
        train: Seconds to train on one sample once.
        evaluate: Seconds to evaluate one sample.
        mix: Seconds of one device in one round beside training and evaluation.
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
        """The kind of run that was measured."""
        return Kind(self.data, self.model, self.training)


class Measurements(Section):
    """A ``figures.toml``."""

    figures: list[Measured] = Field(default_factory=list)


@dataclass(frozen=True)
class Rates:
    """Seconds that one place takes, and the source of these numbers; see :class:`Measured`."""

    train: float
    evaluate: float
    mix: float
    fixed: float
    per_rank: float
    source: str


def kind(file: RunFile) -> Kind:
    """The kind of a run."""
    training = {key: getattr(file.training, key) for key in TRAINING}
    return Kind(
        _text(file.data, {"dir", "train_samples", "test_samples"}),
        _text(file.model, set()),
        _listed({**training, "evaluated": file.evaluation.batch_size}),
    )


def _text(section: Any, skipped: set[str]) -> str:
    """A section's name, and its settings that differ from the defaults."""
    chosen = section.model_dump(exclude_defaults=True, exclude_none=True)
    settings = {key: chosen[key] for key in sorted(chosen) if key not in {"name", *skipped}}
    return " ".join([section.name, *([_listed(settings)] if settings else [])])


def _listed(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


def samples(file: RunFile) -> tuple[int, int]:
    """Numbers of training and test samples of a run; a data set of unknown size is loaded."""
    counts = DATASETS.samples(file.data)
    if counts is None:
        _, train, test = loading.load(file)
        counts = len(train["labels"]), len(test["iid_labels"]) + len(test["ood_labels"])
    return counts


def rates(file: RunFile, site: Site, measured: Iterable[Measured]) -> Rates | None:
    """Seconds per sample of a run: measured, or from the site's file; None if neither has them."""
    run_kind = kind(file)
    for entry in measured:
        if entry.kind == run_kind:
            fixed = max(0.0, entry.start - site.start.per_rank)
            source = f"measured on {entry.machine}, {entry.date}"
            return Rates(entry.train, entry.evaluate, entry.mix, fixed, site.start.per_rank, source)
    for figure in site.figures:
        if (figure.data, figure.model) == (file.data.name, file.model.name):
            start = site.start
            return Rates(
                figure.train, figure.evaluate, 0.0, start.fixed, start.per_rank, figure.source
            )
    return None


def estimate(run: Run, site: Site, rates: Rates) -> float:
    """Expected seconds of a run, from mpiexec to its end.

    Every place trains its devices one after the other, and all places wait for the one with the
    most devices.
    """
    file, most = run.file, crowded(run, site)
    train, test = samples(file)
    # Where there are more devices than samples, each has one, and devices share samples.
    samples_each = max(1.0, train / run.devices) * file.training.epochs
    if file.training.steps is not None:
        samples_each = file.training.steps * file.training.batch_size
    rounds, every = file.training.rounds, file.evaluation.every
    evaluations = -(-rounds // every) * (2 if file.evaluation.moment == "both" else 1)
    trained = rounds * samples_each * file.training.participation * rates.train
    evaluated = evaluations * test * rates.evaluate
    start = rates.fixed + rates.per_rank * run.ranks
    return start + most * (trained + evaluated + rounds * rates.mix)


def crowded(run: Run, site: Site) -> int:
    """Number of devices of the place that has the most."""
    hosted = np.bincount(placement.hosts(run.file.placement.hosts, run.devices, run.ranks))
    load = Counter[tuple[int, str]]()
    for binding in shapes.bindings(site, shapes.shape(site, run.ranks)):
        load[binding.node, binding.place.cpus] += int(hosted[binding.rank])
    return max(load.values())


def estimates(study: Study, site: Site, measured: Sequence[Measured]) -> dict[str, float]:
    """Expected seconds of the runs of a study, by name; runs of unknown speed are left out."""
    seconds: dict[str, float] = {}
    known: dict[Kind, Rates | None] = {}
    for run in study.runs:
        run_kind = kind(run.file)
        if run_kind not in known:
            known[run_kind] = rates(run.file, site, measured)
        speed = known[run_kind]
        if speed is not None:
            seconds[run.name] = estimate(run, site, speed)
    return seconds


def corrected(estimates: Mapping[str, float], took: Mapping[str, float]) -> dict[str, float]:
    """Estimates of the runs that are left, times the median ratio of taken to expected seconds.

    Args:
        estimates: Expected seconds by run.
        took: Seconds that completed runs took, by run.
    """
    pairs = [(estimates[name], seconds) for name, seconds in took.items() if name in estimates]
    ratio = float(np.median([seconds / expected for expected, seconds in pairs])) if pairs else 1.0
    return {name: ratio * seconds for name, seconds in estimates.items() if name not in took}
