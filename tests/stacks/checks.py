"""Checks of a stack: what is run in its environment, and what came of it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stacks.environments import ROOT, Environment

STACK_TESTS = "tests/stacks/test_stack.py"

ROWS = {
    "test_the_main_job_gives_the_same_numbers_and_a_line_a_round": "main job",
    "test_several_devices_on_a_rank_give_the_same_numbers": "several devices on a rank",
    "test_a_killed_rank_ends_the_job_and_the_run_goes_on": "killed rank, `--resume`",
    "test_a_signal_to_mpiexec_stops_the_run_with_a_checkpoint": "{} to mpiexec, `--resume`",
    "test_bad_input_is_told_once": "bad input",
    "test_every_backend_gives_the_same_numbers": "backend `{}`",
    "test_the_mpiexec_of_another_mpi_is_told_in_a_sentence": "mpiexec of another MPI",
}
"""By test: the name of its row, with its case."""

WORLDS = (2, 4)
"""Numbers of ranks for the quick tests of tests/mpi."""

LIMIT = 1800.0
"""Seconds after which tests on ranks hang."""


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        row: The name of its row in the table.
        good: Whether it is as promised; None where it was not tried.
        told: The cell of the table.
    """

    row: str
    good: bool | None
    told: str


def behave(
    environment: Environment, reference: str | None, foreign: Path | None, within: float | None
) -> list[Outcome]:
    """What a user does: jobs, stops, faults, and each backend.

    Args:
        environment: That of the stack.
        reference: A Python with the same torch, whose numbers are compared; None for its own.
        foreign: The mpiexec of another MPI, where there is one.
        within: Seconds after which no check begins; None for all.
    """
    report = environment.folder / "checks.xml"
    report.unlink(missing_ok=True)
    words = [STACK_TESTS, f"--junitxml={report}", f"--at-most={environment.stack.ranks}"]
    words += ["--all"] if within is None else [f"--rest={within:.0f}"]
    words += [f"--reference={reference}"] if reference else []
    words += [f"--foreign={foreign}"] if foreign else []
    _, told = _pytest(environment, [], words, "checks")
    if within is not None:
        print(told, end="", flush=True)
    if not report.exists():
        return [Outcome("main job", False, f"**no report**: {_log(environment, 'checks')}")]
    return [_outcome(case) for case in ET.parse(report).iter("testcase")]


def _outcome(case: ET.Element) -> Outcome:
    name, _, parameters = case.attrib["name"].partition("[")
    row = ROWS[name].format(parameters.rstrip("]"))
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            reason = found.attrib.get("message", kind).strip().splitlines()[0]
            return Outcome(row, False, f"**fails**: {cell(reason)}")
    if (found := case.find("skipped")) is not None:
        return Outcome(row, None, cell(found.attrib.get("message", "skipped")))
    return Outcome(row, True, "yes")


def cell(text: str, most: int = 90) -> str:
    """A text as it goes into the table."""
    text = text.replace("|", "/").replace("`", "'")
    return text if len(text) <= most else f"{text[: most - 3]}..."


def on_ranks(environment: Environment, ranks: int) -> Outcome:
    """The quick tests of tests/mpi, under a number of ranks."""
    mpiexec = [str(environment.mpiexec), "-n", str(ranks)]
    code, told = _pytest(environment, mpiexec, ["tests/mpi"], f"mpi-{ranks}")
    failed = re.findall(r"^(?:FAILED|ERROR) tests/mpi/(\S+)", told, re.MULTILINE)
    counts = re.findall(r"\d+ (?:passed|failed|errors?)\b", told.rpartition("\n=")[2])
    text = ", ".join(counts) or f"exit code {code}"
    if code == 0:
        return Outcome(_row(ranks), True, text)
    some = ", ".join(failed[:3]) + (" ..." if len(failed) > 3 else "")
    return Outcome(_row(ranks), False, f"**{text}**: {cell(some)}" if some else f"**{text}**")


def too_many(ranks: int) -> Outcome:
    """What is said of a number of ranks that a stack cannot have on this machine."""
    return Outcome(_row(ranks), None, "not tried: ranks that wait here keep their core")


def _row(ranks: int) -> str:
    return f"`tests/mpi`, {ranks} ranks"


def _pytest(
    environment: Environment, prefix: Sequence[str], words: Sequence[str], log: str
) -> tuple[int | str, str]:
    """Run tests in an environment; exit code and output, which is kept as a file too."""
    command = [*prefix, str(environment.python), "-m", "pytest", "-ra", "--color=no", *words]
    if environment.stack.lowest:
        # Old libraries use what newer ones below them call deprecated.
        command += ["-W", "ignore::DeprecationWarning"]
    path = _log(environment, log)
    with path.open("w") as file:
        try:
            code: int | str = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment.variables(),
                cwd=ROOT,
                timeout=LIMIT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"none within {LIMIT:.0f} s"
    if code:
        print(f"stacks: {environment.stack.name}: see {path}", file=sys.stderr, flush=True)
    return code, path.read_text(errors="replace")


def _log(environment: Environment, name: str) -> Path:
    return environment.folder / f"{name}.txt"
