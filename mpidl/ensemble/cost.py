"""What a run will take: seconds a sample, from a short run or a site's file, times its samples."""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tomli_w
from pydantic import Field

from mpidl import host, placement, plan, runfile, shards, tables
from mpidl.datasets import sizes
from mpidl.ensemble import launchers, sites, worker
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Run, Study
from mpidl.faults import Fault
from mpidl.runfile import RunFile, Section

FIGURES = "figures.toml"
"""The file in a study's folder that keeps what was measured."""

TRAINING = ("batch_size", "optimizer", "precision", "accelerator", "threads")
"""Settings of training that decide how long a sample takes."""

ROUNDS, DEVICES, BATCHES, SAMPLES = 3, 2, 4, 256
"""Of a calibration run: rounds, the first of which does not count, devices, batches that both
train on in a round, and samples at least, and in the test set."""

MARGIN = 1.2
"""By how much an estimate is multiplied before it is compared with the time left."""

PATIENCE = 900.0
"""Seconds that a calibration run may take."""

LINES = 3
"""Lines of a calibration run's output that are told if it fails."""


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
        _, train, test = shards.load(file)
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
    each = train / run.devices * file.training.epochs
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


def remembered(folder: Path, site: Site, site_name: str) -> list[Measured]:
    """What was measured on a site, with the folder's figures; the latest first.

    Raises:
        Fault: If the file that keeps them is damaged.
    """
    path = folder / FIGURES
    if not path.exists():
        return []
    kept: Measurements = tables.check(f"{path}", Measurements, tables.read(path), None)
    return [one for one in reversed(kept.figures) if _there(one, site, site_name)]


def _there(one: Measured, site: Site, site_name: str) -> bool:
    """Whether a measurement is of a site; where there is no scheduler, a site is one machine."""
    same = site.scheduler != "none" or one.machine == host.name()
    return one.site == site_name and same


def remember(folder: Path, measured: Measured) -> None:
    """Keep a measurement with a study."""
    path = folder / FIGURES
    kept = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept["figures"] = [*kept.get("figures", []), measured.model_dump()]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(kept), encoding="utf-8")


def calibrate(
    study: Study, site: Site, site_name: str, folder: Path, tell: Callable[[str], None] = print
) -> list[str]:
    """Measure here what is not known yet of each kind of run in a study, and keep it.

    Args:
        study: All its runs.
        site: This machine is, or is a node of.
        site_name: As the user calls it.
        folder: Of the study's results.
        tell: Shows a line.

    Returns:
        What went wrong, a sentence for each kind that could not be measured.
    """
    known = {one.kind for one in remembered(folder, site, site_name)}
    wanted = {kind(run.file): run.file for run in reversed(study.runs)}
    faults = []
    for what in sorted(wanted.keys() - known):
        try:
            tell(f"calibrating: {what}, some batches on one place")
            remember(folder, measure(wanted[what], site, site_name))
        except Fault as fault:
            faults += [f"{what} could not be measured: {text}" for text in fault.sentences]
    return faults


def measure(file: RunFile, site: Site, site_name: str) -> Measured:
    """Run a small part of a run on one place of this machine.

    Raises:
        Fault: If that fails.
    """
    short, what = shortened(file), kind(file)
    shards.foresee(short)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.toml"
        path.write_text(short.text(), encoding="utf-8")
        wall = _start(site, path)
        with h5py.File(path.with_suffix(".h5"), "r") as results:
            series = results["series"]
            seconds = {key: series[key][:] for key in series if key.startswith("seconds_")}
    train, test = samples(short)
    own = {key: seconds[f"seconds_{key}"] for key in ("train", "evaluate")}
    # What a rank spends on all its devices together is told of each of them.
    shared = sum(seconds[key][:, 0] for key in seconds if key[8:] not in own)
    return Measured(
        site=site_name,
        machine=host.name(),
        date=date.today().isoformat(),
        **vars(what),
        train=float(own["train"][1:].sum() / (ROUNDS - 1) / train),
        evaluate=float(own["evaluate"][1:].sum() / (ROUNDS - 1) / (DEVICES * test)),
        mix=float(shared[1:].mean() / DEVICES),
        start=float(max(0.0, wall - sum(part.sum() for part in own.values()) - shared.sum())),
    )


def shortened(file: RunFile) -> RunFile:
    """A run of the same kind on a few samples: two devices, three rounds, no OOD data."""
    train, test = samples(file)
    piece: dict[str, Any] = {
        "topology": {"name": "complete", "devices": DEVICES},
        "data": {
            "train_samples": min(train, max(SAMPLES, BATCHES * file.training.batch_size)),
            "test_samples": min(test, SAMPLES),
        },
        "training": {"rounds": ROUNDS, "epochs": 1, "participation": 1.0, "proximal": 0.0},
        "evaluation": {"every": 1, "moment": "mixed"},
    }
    found = tomllib.loads(file.text())
    for section in ("strategy", "schedule", "ood", "placement", "exchange", "record", "checkpoint"):
        found.pop(section)
    found["training"].pop("steps", None)
    piece |= {"strategy": {"name": "unweighted"}, "ood": {"name": "none"}}
    runfile.lay_over(found, piece, plan.KINDS)
    found["topology"] = piece["topology"]
    return runfile.validate({**found, "name": "calibration"}, plan.KINDS)


def _start(site: Site, path: Path) -> float:
    """Start a run on one place, with its results beside its file; the seconds that it took.

    Raises:
        Fault: If it fails.
    """
    shape = sites.shape(site, 1)
    words = [
        *launchers.command(site, shape, [worker.this_node(site)]),
        *(sys.executable, "-m", "mpidl.run", str(path), "--out", str(path.parent)),
    ]
    begun = time.perf_counter()
    try:
        subprocess.run(
            words,
            env=launchers.environment(site, shape, 0, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    except OSError as error:
        raise Fault(f"{words[0]} cannot be started: {error.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise Fault(f"it took more than {PATIENCE:.0f} s.") from None
    except subprocess.CalledProcessError as error:
        last = [line for line in error.output.splitlines() if line.strip()][-LINES:]
        raise Fault(f"exit code {error.returncode}; {' / '.join(last)}") from None
    return time.perf_counter() - begun
