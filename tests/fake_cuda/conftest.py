"""Jobs of several ranks on the fake GPU, or a reason why there is none."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from mpidl.ranks import host
from tests.fake_cuda import build
from tests.fake_cuda.cases import Case

MPIEXEC = Path(sys.executable).with_name("mpiexec")

ENTRY = Path(__file__).with_name("__main__.py")

LIMIT = 300.0
"""Seconds that a job of many cases may take, on a machine with much else to do."""

MOST, FEW = 40, 10
"""Cases of a job, and of one where the time for all tests is limited."""


@pytest.fixture(scope="session")
def fake() -> None:
    """The fake GPU, built; skips where there can be none."""
    if (reason := build.obstacle()) is not None:
        pytest.skip(f"no fake GPU: {reason}")
    build.library()


@pytest.fixture(scope="session")
def entry() -> Path:
    """The script that runs a module on the fake GPU."""
    return ENTRY


@pytest.fixture(scope="session")
def on_fake(fake: None) -> Callable[..., subprocess.CompletedProcess[str]]:
    """As ``on_fake(ranks, *words, **variables)``: what a module of Python does on the fake GPU."""

    def start(ranks: int, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(MPIEXEC), "-n", str(ranks), sys.executable, str(ENTRY), *words]
        process = subprocess.Popen(
            command,
            env=host.unlaunched(os.environ) | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            told, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told = f"it hung\n{process.communicate()[0]}"
        return subprocess.CompletedProcess(command, process.returncode, told)

    return start


@pytest.fixture(scope="session")
def outcome(
    on_fake: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Callable[[Case], Mapping[str, Any]]:
    """As ``outcome(case)``: what came out of it, or the ``failure`` that ended its job.

    The first case of a number of ranks has those run that were chosen after it, in one job, though
    not too many, as a job has a limit; where there is little time, only a few.
    """
    params = (getattr(item, "callspec", None) for item in request.session.items)
    values = (call.params.get("case") for call in params if call is not None)
    chosen = [value for value in values if isinstance(value, Case)]
    most = MOST if request.config.option.rest is None else FEW
    known: dict[str, dict[str, Any]] = {}

    def find(case: Case) -> Mapping[str, Any]:
        if case.name not in known:
            after = chosen[chosen.index(case) :]
            alike = [other for other in after if other.way.ranks == case.way.ranks][:most]
            known.update(_outcomes(on_fake, alike, tmp_path_factory.mktemp("job")))
        return known[case.name]

    return find


def _outcomes(
    on_fake: Callable[..., subprocess.CompletedProcess[str]], cases: Iterable[Case], folder: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What came out of cases; that which ends a job is told its end, and the others go on."""
    left = list(cases)
    while left:
        (folder / "cases").write_text(json.dumps([asdict(case) for case in left]))
        out = folder / f"out{len(left)}"
        out.touch()
        job = on_fake(left[0].way.ranks, "tests.fake_cuda.compare", str(folder / "cases"), str(out))
        found = [json.loads(line) for line in out.read_text().splitlines()]
        yield from ((told["name"], told) for told in found)
        left = left[len(found) :]
        if left:
            yield left.pop(0).name, {"failure": f"exit code {job.returncode}\n{job.stdout}"}
