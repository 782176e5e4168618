"""Whole jobs of ranks, and their results files side by side."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from findings import left

SMALL = ("data.train_samples=800", "data.test_samples=200", "training.epochs=1")
CURVES = ("train_loss", "iid_accuracy_mixed", "ood_accuracy_mixed", "consensus_distance")


@dataclass(frozen=True)
class Job:
    """What came of a job: exit code, seconds, all that it printed, its results file."""

    code: int
    seconds: float
    said: str
    path: Path

    @property
    def chosen(self) -> str:
        """What the run said of exchange, kernel and accelerator."""
        lines = [line for line in self.said.splitlines() if "; exchange " in line]
        return lines[0].partition("; exchange ")[2].partition("; recording")[0] if lines else ""

    @property
    def last(self) -> str:
        """What it said of its end: its fault or error if there is one, else its last line."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"mpidl: |[\w.]*(Error|Exception)\b", line)]
        told = errors[-1:] if self.code else []
        return (told or lines[-1:] or [""])[0][:300]

    @property
    def ended(self) -> str:
        """Exit code and seconds, and why where it did not end well."""
        return f"exit {self.code} in {self.seconds:.1f} s" + (f": {self.last}" if self.code else "")


def slower() -> float:
    """Times all limits, where a slow machine rehearses."""
    return float(os.environ.get("MPIDL_DAY_SLOWER", "1"))


def folder() -> Path:
    """A new folder for results."""
    return Path(tempfile.mkdtemp(dir=os.environ.get("MPIDL_DAY_FOLDER")))


def command(ranks: int, settings: Sequence[str], out: Path, *more: str) -> list[str]:
    """How a run is started."""
    sets = [word for setting in settings for word in ("--set", setting)]
    run = [sys.executable, "-m", "mpidl.run", "--out", str(out), *sets, *more]
    return ["mpiexec", "-n", str(ranks), *run]


def run(
    ranks: int,
    settings: Sequence[str],
    *more: str,
    out: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit: float = 30,
    call: Sequence[str] = (),
) -> Job:
    """Run a job to its end, or for so many seconds.

    Args:
        ranks: How many.
        settings: Of the run file.
        more: Further words of the command.
        out: Where the results go.
        environment: What is added to it.
        limit: Seconds.
        call: What is started on each rank, in place of mpidl.run.
    """
    out = folder() if out is None else out
    words = ["mpiexec", "-n", str(ranks), *call] if call else command(ranks, settings, out, *more)
    began = time.monotonic()
    said = folder() / "said"
    with open(said, "w") as file:
        job = subprocess.Popen(
            words,
            env={**os.environ, **(environment or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        over = ended(job, max(1.0, min(slower() * limit, left() - 2)))
    seconds = time.monotonic() - began
    text = said.read_text(errors="replace")
    if over:
        text += f"\nended after {seconds:.0f} s, unfinished"
    print(f"$ {' '.join(words)}\n{text}", flush=True)
    path = next(iter(out.glob("*.h5")), out / "none.h5")
    return Job(job.returncode, seconds, text, path)


def ended(job: subprocess.Popen, limit: float) -> bool:
    """Whether a job had to be ended, as it took longer."""
    try:
        job.wait(limit)
        return False
    except subprocess.TimeoutExpired:
        job.terminate()
    with suppress(subprocess.TimeoutExpired):
        job.wait(2)
        return True
    job.kill()
    job.wait(2)
    return True


def series(path: Path) -> dict[str, np.ndarray]:
    """The series of a results file, ``(R, N)`` or ``(R, N, C)``."""
    import h5py

    with h5py.File(path) as file:
        found = {name: item[()] for name, item in file["series"].items()}
    return {name: values for name, values in found.items() if values.dtype.kind == "f"}


def complete(path: Path) -> bool:
    """Whether a run came to its end."""
    import h5py

    with h5py.File(path) as file:
        return bool(file["completed"][()])


def attributes(path: Path) -> dict[str, object]:
    """What a results file says of itself."""
    import h5py

    with h5py.File(path) as file:
        return dict(file.attrs)


def apart(one: Path, other: Path) -> str:
    """How far the curves of two runs are apart, in words."""
    if not (one.exists() and other.exists()):
        return "a results file is missing"
    if not (complete(one) and complete(other)):
        return "a run is not complete"
    a, b = series(one), series(other)
    found = []
    for name in CURVES:
        if a[name].shape != b[name].shape:
            return f"{name} has {a[name].shape} and {b[name].shape}"
        if not np.array_equal(a[name], b[name], equal_nan=True):
            found.append(f"{name} by up to {np.nanmax(np.abs(a[name] - b[name])):.2g}")
    return ", ".join(found) or "equal bit for bit"


def seconds(path: Path) -> dict[str, float]:
    """Milliseconds of each phase of the last round, those of all devices together."""
    if not path.exists():
        return {}
    last = {name: values[-1] for name, values in series(path).items()}
    return {
        name.removeprefix("seconds_"): round(1e3 * float(np.nansum(values)), 2)
        for name, values in last.items()
        if name.startswith("seconds_")
    }
