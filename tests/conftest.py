"""One communicator for all tests, and one verdict for all ranks."""

import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Through world, which sets what MPI and HDF5 read when they start.
from mpidl.world import MPI

PATIENCE = 120.0
"""Seconds that a rank waits for the others' verdict before it ends the job."""


@pytest.fixture(scope="session")
def comm(request: pytest.FixtureRequest) -> MPI.Intracomm:
    """All ranks; every rank must use it alike."""
    if not hasattr(request.config, "verdict"):
        request.config.verdict = MPI.COMM_WORLD.Dup()
    return MPI.COMM_WORLD.Dup()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in the same order on every machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shared_path(comm: MPI.Intracomm, tmp_path: Path) -> Path:
    """A folder that all ranks see: that of rank 0."""
    return comm.bcast(tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Only rank 0 reports; the others' temporary folders are their own, and short-lived."""
    if MPI.COMM_WORLD.rank != 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        config.pluginmanager.unregister(name="terminalreporter")
        folder = tempfile.TemporaryDirectory(prefix="mpidl-tests-")
        config.add_cleanup(folder.cleanup)
        config.option.basetemp = str(Path(folder.name) / "rank")


def pytest_report_header() -> str:
    """What the tests run on."""
    first = MPI.Get_library_version().splitlines()[0]
    return f"{MPI.COMM_WORLD.size} MPI rank(s), {' '.join(first.split())}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """After each test give every rank one verdict; end the job if some rank never arrives."""
    report = yield
    if report.failed:
        item.failure = report.longreprtext  # type: ignore[attr-defined]
    failure = getattr(item, "failure", "")
    verdict = getattr(item.config, "verdict", None)
    if (
        verdict is None
        or call.when != "teardown"
        or "comm" not in getattr(item, "fixturenames", ())
    ):
        return report
    failed = np.zeros(verdict.size, dtype=np.int32)
    request = verdict.Iallgather(np.array([bool(failure)], dtype=np.int32), failed)
    deadline = time.monotonic() + PATIENCE
    while not request.Test():
        if time.monotonic() > deadline:
            print(f"rank {verdict.rank}: alone after {item.nodeid}\n{failure}", file=sys.stderr)
            verdict.Abort(1)
        time.sleep(0.001)
    if failed.any() and not failure:
        report.outcome = "failed"
        report.longrepr = f"failed on ranks {np.flatnonzero(failed).tolist()}"
    if failure and verdict.rank != 0:
        print(f"rank {verdict.rank}: {item.nodeid}\n{failure}", file=sys.stderr)
    return report
