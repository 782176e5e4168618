"""Starts small runs as a user does, and tells what became of them.

The time limits only guard against the hang that is tested for.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from mpidl.ranks import host, standin

MPIEXEC = Path(sys.executable).with_name("mpiexec")
STARTING, ENDING = 180.0, 60.0
"""Seconds that a job may take to start, on a machine with much else to do, and to end."""

SOON = 15.0
"""Seconds after a fault in which a job has to end."""

ROUNDS = 12

SMALL = (
    "topology.name=ring",
    "data.train_samples=60",
    "data.test_samples=20",
    "training.steps=1",
    "training.accelerator=cpu",
    "record.every=2",
)

SAVED = (*SMALL, f"training.rounds={ROUNDS}", "checkpoint.every=3")
"""A run that can go on after its checkpoints."""

KILLED = 9
"""Hydra joins the codes of all ranks bit by bit; this is that of the ranks it had to kill."""

BANNER = ("=", "YOUR APPLICATION", "This typically", "Please see", "Abort(")
"""How the lines begin that Hydra prints of a killed rank, and MPICH of one that ends the job."""

RUN = ("-m", "mpidl.run")


def at(place: str, rank: int, call: int, folder: Path) -> tuple[str, ...]:
    """The script of a run that pauses there; see ``inject.py``."""
    script = Path(__file__).with_name("inject.py")
    return (str(script), place, str(rank), str(call), str(folder))


class Traces:
    """What a job leaves: the folder of its results, and what it printed.

    Args:
        folder: Of the job; the results are in a folder in it.
        ranks: How many it had.
    """

    def __init__(self, folder: Path, ranks: int) -> None:
        self.folder, self.results, self.ranks = folder, folder / "results", ranks
        self.file = self.results / "default.h5"

    @property
    def out(self) -> str:
        """What it printed so far."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it printed as errors so far."""
        return (self.folder / "err").read_text()

    def told(self) -> list[str]:
        """Each line of its errors that is not of Hydra or MPICH."""
        return [line for line in self.err.splitlines() if line and not line.startswith(BANNER)]


class Job(Traces):
    """A run under mpiexec, whose processes know the folder as an argument.

    Args:
        folder: Of this job; the results go into a folder in it.
        ranks: How many.
        settings: Overrides.
        script: What each rank runs.
        options: Of the command.
        fork: Whether one process imports for all.
        prefix: What starts mpiexec.
        environment: More variables.
        mpiexec: What starts the ranks.
    """

    def __init__(
        self,
        folder: Path,
        ranks: int,
        settings: Iterable[str] = SAVED,
        script: Sequence[str] = RUN,
        options: Sequence[str] = (),
        fork: int = 1,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        mpiexec: Path = MPIEXEC,
    ) -> None:
        super().__init__(folder, ranks)
        for name in ("paused", "heard", "go"):
            (folder / name).unlink(missing_ok=True)
        overrides = [part for setting in settings for part in ("--set", setting)]
        variables = host.unlaunched(os.environ) | {standin.SWITCH: str(fork)} | (environment or {})
        words = [*prefix, str(mpiexec), "-n", str(ranks), sys.executable, *script, *overrides]
        with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
            self.process = subprocess.Popen(
                [*words, *options, "--out", str(self.results)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=variables,
                start_new_session=True,
            )
        self.shared: set[str] = set()

    def until(self, wanted: Callable[[], bool], what: str) -> None:
        """Wait for something; a job that ends first, or never does it, fails the test."""
        deadline = time.monotonic() + STARTING
        while not wanted():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                if wanted():
                    return
                pytest.fail(f"the job never {what}\n{self.out}\n{self.err}")
            time.sleep(0.01)

    def wait_for(self, text: str) -> None:
        """Wait until a line begins so."""
        self.until(
            lambda: any(line.startswith(text) for line in self.out.splitlines()), f"said {text}"
        )

    def paused(self) -> int:
        """Wait until a rank pauses; its process."""
        there = self.folder / "paused"
        self.until(there.exists, "paused")
        self.shared |= segments(self.folder)
        return int(there.read_text())

    def heard(self) -> None:
        """Wait until the rank that pauses has heard a signal."""
        self.until((self.folder / "heard").exists, "heard a signal")

    def go(self) -> float:
        """Let it go on; when."""
        (self.folder / "go").touch()
        return time.monotonic()

    def signal(self, process: int, number: signal.Signals) -> float:
        """Send one of its processes a signal; when."""
        self.shared |= segments(self.folder)
        os.kill(process, number)
        return time.monotonic()

    def end(self) -> None:
        """End what is left of it."""
        for number in left_over(self.folder):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def ended(self, limit: float = ENDING) -> int:
        """The exit code of a job that ends by itself, in time, and leaves nothing behind."""
        deadline = time.monotonic() + limit
        try:
            self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            told = [Path(f"/proc/{n}/stat").read_text() for n in left_over(self.folder)]
            self.end()
            pytest.fail(f"the job hung\n{self.out}\n{self.err}\n{told}")
        deadline = max(deadline, time.monotonic() + 1)
        while left_over(self.folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        stray = left_over(self.folder)
        self.end()
        assert stray == []
        assert [name for name in self.shared if os.path.exists(name)] == []
        return int(self.process.returncode)


def left_over(folder: Path) -> list[int]:
    """Processes that were started for a folder and live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
            if re.search(re.escape(str(folder)) + r"(/|\0|$)", words):
                found.append(int(entry.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found


def parent(number: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def roles(job: Job) -> dict[str, list[int]]:
    """The processes of a job, by what they are."""
    parents = {n: parent(n) for n in left_over(job.folder) if n != job.process.pid}
    ranks = [n for n, p in parents.items() if parents.get(p) in parents]
    importers = {parents[n] for n in ranks}
    stand_ins = [n for n in parents if ranks and n not in importers and n not in ranks]
    return {
        "a rank": ranks or [n for n, p in parents.items() if p not in parents],
        "the importer": list(importers),
        "the importer's parent": [parents[n] for n in importers],
        "a stand-in": [n for n in stand_ins if n not in {parents[i] for i in importers}],
    }


def segments(folder: Path) -> set[str]:
    """Names of the memory that the processes of a job share."""
    return {name for process in left_over(folder) for name in segments_of(process)}


def segments_of(process: int) -> set[str]:
    """Names of the memory that a process shares with others, or is about to."""
    found = []
    try:
        found += Path(f"/proc/{process}/maps").read_text().splitlines()
        for handle in os.listdir(f"/proc/{process}/fd"):
            found.append(os.readlink(f"/proc/{process}/fd/{handle}"))
    except OSError:
        pass
    names = {line[line.index("/dev/shm/") :] for line in found if "/dev/shm/" in line}
    return {name.removesuffix(" (deleted)") for name in names}


cores = host.cores

Numbers = Mapping[str, np.ndarray]


def contents(path: Path) -> Numbers:
    """All that a results file says of its rounds but how long they took, by name."""
    import h5py

    with h5py.File(path, "r") as file:
        series = {
            f"series/{key}": value[()]
            for key, value in file["series"].items()
            if not key.startswith("seconds_")
        }
        return {key: file[key][()] for key in ("rounds_done", "completed")} | series


def check_rows(path: Path, reference: Numbers) -> int:
    """See that each counted row is whole, and that of the run without a fault; how many."""
    found = contents(path)
    done = int(found["rounds_done"])
    assert np.isfinite(found["series/train_loss"][:done]).all()
    for key in reference:
        if key.startswith("series/") and key.count("/") == 1 and reference[key].ndim > 1:
            np.testing.assert_array_equal(found[key][:done], reference[key][:done], key)
    return done


def check_whole(path: Path, reference: Numbers) -> None:
    """See that a file holds the same numbers as that of the run without a fault."""
    found = contents(path)
    assert found.keys() == reference.keys()
    for key, values in reference.items():
        np.testing.assert_array_equal(found[key], values, key)
