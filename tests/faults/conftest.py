"""Which faults are tried, and the table of those that were survived."""

import datetime
import itertools
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from mpidl.ranks import mpi_library
from tests.faults import jobs
from tests.faults.jobs import Job, Numbers

HERE = Path(__file__).parent

COLUMNS = (
    "fault",
    "where",
    "ranks",
    "times",
    "ended after s, at worst",
    "exit code",
    "what is said",
    "then",
    "left behind",
    "commit",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What only the tests in this folder know."""
    group = parser.getgroup("faults")
    group.addoption(
        "--cycles", type=int, default=3, help="how often a run is killed at a random moment"
    )
    group.addoption("--reliability", type=Path, help="a table of what was survived (Markdown)")


@dataclass
class Row:
    """What is known of a fault that was tried in one way.

    Attributes:
        times: How often.
        worst: The longest that it took until nothing ran any more, in seconds; None where the run
            had to go on.
        codes: Exit codes.
        said: What was said of it.
        then: What became of the run.
        left: What stayed behind.
    """

    times: int = 0
    worst: float | None = None
    codes: dict[int, None] = field(default_factory=dict)
    said: dict[str, None] = field(default_factory=dict)
    then: dict[str, None] = field(default_factory=dict)
    left: dict[str, None] = field(default_factory=dict)


class Table:
    """All faults that were tried and survived."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], Row] = defaultdict(Row)
        self._commit = _git("rev-parse", "--short", "HEAD")

    def add(
        self,
        fault: str,
        where: str,
        ranks: int,
        code: int,
        then: str,
        seconds: float | None = None,
        said: str = "",
        left: str = "nothing",
    ) -> None:
        """Take down that a fault was survived."""
        row = self._rows[fault, where, str(ranks)]
        row.times += 1
        if seconds is not None:
            row.worst = max(seconds, row.worst or 0.0)
        row.codes[code] = None
        row.said[said or "-"] = None
        row.then[then] = None
        row.left[left] = None

    def write(self, path: Path) -> None:
        """Write it; what an earlier table has of other faults stays."""
        lines = dict[tuple[str, ...], str]()
        if path.exists():
            for line in path.read_text().splitlines():
                if line.startswith("| ") and not line.startswith(("| fault |", "| --- |")):
                    lines[tuple(cell.strip() for cell in line.split("|")[1:4])] = line
        for (fault, where, ranks), row in self._rows.items():
            cells = [
                *(fault, where, ranks, str(row.times)),
                "-" if row.worst is None else f"{row.worst:.1f}",
                ", ".join(map(str, sorted(row.codes))),
                "; ".join(row.said).replace("|", "/"),
                "; ".join(row.then),
                "; ".join(row.left),
                self._commit,
            ]
            lines[fault, where, ranks] = f"| {' | '.join(cells)} |"
        head = [
            "# Faults that a run survives",
            "",
            "Calls of the test add up here, and the last column says at which commits a fault was "
            "tried. *Left behind* is",
            "about shared memory that ranks had just before the fault: what one makes after that "
            "look, while MPI starts, is not seen.",
            "",
            "Made by `python -m pytest tests/faults --all --cycles 200 --reliability "
            "results/reliability.md`, which does each",
            "fault to a small run (digits, a ring, 12 rounds, a checkpoint every 3; the killed "
            "again and again has 60 rounds). Only",
            "what ran and was survived is here. Each time the job must have ended by itself within "
            f"{jobs.SOON:.0f} s of the fault, or of the end",
            "of `--patience`, on all ranks; each row that the file counts must be that of a run "
            "without a fault; and no process,",
            "no shared memory may be left. *Same numbers*: all series but `seconds_*` equal those "
            "of a run without a fault, bit by bit.",
            "",
            f"{datetime.date.today()}, {_machine()}, {jobs.cores()} cores, "
            f"{mpi_library.version()}, Linux {platform.release()}, "
            f"Python {platform.python_version()}. Exit code 9 is that "
            "of mpiexec for ranks that were killed;",
            "it is joined bit by bit with those of other ranks.",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{' --- |' * len(COLUMNS)}",
        ]
        path.write_text("\n".join([*head, *lines.values(), ""]))


def _git(*words: str) -> str:
    told = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
    return told.stdout.strip()


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """What was survived, which is written where the command line says."""
    found = Table()
    yield found
    path = request.config.getoption("--reliability", default=None)
    if path is not None:
        found.write(path)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Numbers]:
    """As ``reference(ranks, settings)``: the numbers of a run without a fault."""

    def told(ranks: int, settings: tuple[str, ...] = jobs.SAVED) -> Numbers:
        # How it is recorded makes no difference.
        return run(ranks, tuple(s for s in settings if not s.startswith("record.")))

    @cache
    def run(ranks: int, settings: tuple[str, ...]) -> Numbers:
        job = Job(tmp_path_factory.mktemp("reference"), ranks, settings)
        assert job.ended(jobs.STARTING) == 0, job.err
        assert job.told() == []
        return jobs.contents(job.file)

    return told


@pytest.fixture
def resumed(reference: Callable[..., Numbers]) -> Callable[..., str]:
    """As ``resumed(job)``: go on after a fault and compare; what to write down of it."""

    def go_on(
        job: Job, settings: tuple[str, ...] = jobs.SAVED, told: str = "", **more: object
    ) -> str:
        again = Job(job.folder, job.ranks, settings, options=["--resume"], **more)  # type: ignore[arg-type]
        assert again.ended(jobs.STARTING) == 0, again.err
        assert all(told and told in line for line in again.told()), again.err
        assert not told or again.told(), again.out
        jobs.check_whole(again.file, reference(job.ranks, settings))
        hidden = [entry.name for entry in job.results.iterdir() if entry.name.startswith(".")]
        assert hidden == []
        assert not (job.results / "default.checkpoints").exists()
        begins = "the run begins" in again.out
        over = "nothing is left to do" in again.out
        return (
            "`--resume` begins anew: same numbers"
            if begins
            else "`--resume` finds it completed: same numbers"
            if over
            else "`--resume`: same numbers"
        )

    return go_on


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, where this user may mount one."""
    place = tmp_path / "results"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "mpidl-test", str(place)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip(f"no tmpfs can be mounted: {told.stderr.strip() or told.returncode}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


BOUND = "-dac_override,-dac_read_search"
"""The capabilities of root by which permissions do not bind it."""


@pytest.fixture
def bound(tmp_path: Path) -> list[str]:
    """What starts a program that permissions bind."""
    if os.geteuid():
        return []
    prefix = ["setpriv", f"--bounding-set={BOUND}", f"--inh-caps={BOUND}"]
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    try:
        told = subprocess.run([*prefix, "touch", str(locked / "a")], capture_output=True)
    except OSError as error:
        pytest.skip(f"permissions do not bind root: {error}")
    if told.returncode == 0:
        pytest.skip("permissions do not bind root")
    return prefix


def fill(folder: Path) -> Path:
    """Take all that is left of a disk; the file to remove."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                for _ in itertools.count():
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast
