"""Calibration: a short run of each kind in a study is timed, and the times are kept."""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from mpidl import plan
from mpidl.config import runfile, toml
from mpidl.config.faults import Fault
from mpidl.config.runfile import RunFile
from mpidl.devices import loading
from mpidl.ensemble import launchers, shapes, worker
from mpidl.ensemble.cost import Measured, Measurements, kind, samples
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Study
from mpidl.ranks import hdf5, host
from mpidl.storage import round_values

FIGURES = "figures.toml"
"""The file in a study's folder that keeps the measured times."""

ROUNDS, DEVICES, BATCHES, SAMPLES = 3, 2, 4, 256
"""Size of a calibration run: rounds (the first is not timed), devices, batches that both devices
train on in a round, and samples: the fewest for training, the most in the test set."""

UNLIKE = (
    "strategy",
    "schedule",
    "algorithm",
    "ood",
    "placement",
    "exchange",
    "network",
    "attack",
    "record",
    "checkpoint",
)
"""Sections of a run file that a calibration run leaves at their defaults."""

PATIENCE = 900.0
"""Seconds that a calibration run may take."""

LINES = 3
"""Lines of a calibration run's output that are shown if it fails."""


def remembered(folder: Path, site: Site, site_name: str) -> list[Measured]:
    """The measured times of a site that a study's folder keeps, the latest first.

    Raises:
        Fault: If the file that keeps them is damaged.
    """
    path = folder / FIGURES
    if not path.exists():
        return []
    measurements: Measurements = toml.check(f"{path}", Measurements, toml.read(path), None)
    return [
        measured
        for measured in reversed(measurements.figures)
        if _measured_here(measured, site, site_name)
    ]


def _measured_here(measured: Measured, site: Site, site_name: str) -> bool:
    """Whether a measurement was made on a site; without a scheduler a site is one machine."""
    same_machine = site.scheduler != "none" or measured.machine == host.name()
    return measured.site == site_name and same_machine


def remember(folder: Path, measured: Measured) -> None:
    """Keep a measurement with a study."""
    path = folder / FIGURES
    tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    tables["figures"] = [*tables.get("figures", []), measured.model_dump()]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(tables), encoding="utf-8")


def calibrate(
    study: Study, site: Site, site_name: str, folder: Path, tell: Callable[[str], None] = print
) -> list[str]:
    """Measure on this machine each kind of run in a study that is not measured yet, and keep it.

    Args:
        study: The study.
        site: The site that this machine is, or is a node of.
        site_name: Its name on the command line.
        folder: The folder of the study's results.
        tell: Shows a line.

    Returns:
        A sentence for each kind that could not be measured.
    """
    known = {measured.kind for measured in remembered(folder, site, site_name)}
    files = {kind(run.file): run.file for run in reversed(study.runs)}
    faults = []
    for run_kind in sorted(files.keys() - known):
        try:
            tell(f"calibrating: {run_kind}, some batches on one place")
            remember(folder, measure(files[run_kind], site, site_name))
        except Fault as fault:
            faults += [f"{run_kind} could not be measured: {text}" for text in fault.sentences]
    return faults


def measure(file: RunFile, site: Site, site_name: str) -> Measured:
    """Measure a shortened run on one place of this machine.

    Raises:
        Fault: If the run fails.
    """
    short, run_kind = shortened(file), kind(file)
    loading.foresee(short)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.toml"
        path.write_text(short.text(), encoding="utf-8")
        wall = _start(site, path)
        with hdf5.File(path.with_suffix(".h5"), "r") as results:
            series = results["series"]
            timed = {key: series[key][:] for key in series if key.startswith(round_values.SECONDS)}
    train, test = samples(short)
    seconds = round_values.spent(timed, np.zeros(DEVICES, np.int64))
    by_device = {key: seconds.pop(key) for key in ("train", "evaluate")}
    shared = np.sum(list(seconds.values()), axis=0)
    return Measured(
        site=site_name,
        machine=host.name(),
        date=date.today().isoformat(),
        **vars(run_kind),
        train=float(by_device["train"][1:].sum() / (ROUNDS - 1) / train),
        evaluate=float(by_device["evaluate"][1:].sum() / (ROUNDS - 1) / (DEVICES * test)),
        mix=float(shared[1:].mean() / DEVICES),
        start=float(max(0.0, wall - sum(part.sum() for part in by_device.values()) - shared.sum())),
    )


def shortened(file: RunFile) -> RunFile:
    """A run of the same kind on a few samples: two devices, three rounds, no OOD data, D-SGD."""
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
    tables = tomllib.loads(file.text())
    for section in UNLIKE:
        tables.pop(section)
    tables["training"].pop("steps", None)
    piece |= {"strategy": {"name": "unweighted"}, "ood": {"name": "none"}}
    runfile.lay_over(tables, piece, plan.KINDS)
    tables["topology"] = piece["topology"]
    return runfile.validate({**tables, "name": "calibration"}, plan.KINDS)


def _start(site: Site, path: Path) -> float:
    """Run a file on one place, with the results beside it, and return the seconds that it took.

    Raises:
        Fault: If the run fails.
    """
    shape = shapes.shape(site, 1)
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
