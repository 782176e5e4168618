"""One communicator for all tests, and one verdict for all ranks."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

# It sets what MPI and HDF5 read when they start.
from mpidl.ranks import mpi_library
from tests import deal

mpi_library.load()
from mpi4py import MPI  # noqa: E402

PATIENCE = 120.0
"""Seconds that a rank waits for the others' verdict before it ends the job."""

OVER = pytest.StashKey[float]()
"""When the time for the rest is over, where there is one."""

# A busy machine is slow, and what an example showed is to be written down as one.
hypothesis.settings.register_profile("mpidl", deadline=None, database=None)
hypothesis.settings.load_profile("mpidl")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is run; without these options what the deal of the commit has."""
    add = parser.getgroup("mpidl").addoption
    add("--all", action="store_true", help="all cases under all numbers of ranks, and slow tests")
    add("--deal", type=int, metavar="K", help="the deal of another commit: its number")
    add(
        "--rest",
        type=float,
        metavar="SECONDS",
        help="what --all has and a deal has not, in an order that is the deal's, for so long",
    )


@pytest.fixture(scope="session")
def comm(request: pytest.FixtureRequest) -> MPI.Intracomm:
    """All ranks; every rank must use it alike."""
    if not hasattr(request.config, "verdict"):
        request.config.verdict = MPI.COMM_WORLD.Dup()
    return MPI.COMM_WORLD.Dup()


@pytest.fixture(scope="module", autouse=True)
def _registries() -> Iterator[None]:
    """What a module of tests registers is its own."""
    from mpidl.plan import KINDS

    before = {section: {*registry} for section, registry in KINDS.items()}
    yield
    for section, registry in KINDS.items():
        for name in {*registry} - before[section]:
            del registry[name]


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """As ``forget()``: what the test has loaded of the user's code is forgotten, as at its end."""
    from mpidl.config import own_code, own_traceback, plugins
    from mpidl.plan import KINDS

    before = {section: {*registry} for section, registry in KINDS.items()}
    modules = {*sys.modules}

    def begin() -> None:
        for section, registry in KINDS.items():
            for name in {*registry} - before[section]:
                del registry[name]
        for name in {*sys.modules} - modules:
            if name.rstrip("_").endswith("_py"):
                del sys.modules[name]
        monkeypatch.setattr(plugins, "_loaded", {})
        monkeypatch.setattr(plugins, "_failed", {})
        monkeypatch.setattr(plugins, "_before", [])
        monkeypatch.setattr(own_code, "_known", {})
        monkeypatch.setattr(own_traceback, "_own", set())

    monkeypatch.setattr(sys, "path", [*sys.path])
    begin()
    yield begin
    begin()


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
    option = config.option
    if option.deal is None:
        option.deal = deal.number()
    option.deal = MPI.COMM_WORLD.bcast(option.deal)
    # Drawn examples are those of the deal, too.
    option.hypothesis_seed = option.hypothesis_seed or str(option.deal)
    if option.rest is not None:
        config.stash[OVER] = time.monotonic() + option.rest
    if MPI.COMM_WORLD.rank != 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        config.pluginmanager.unregister(name="terminalreporter")
        folder = tempfile.TemporaryDirectory(prefix="mpidl-tests-")
        config.add_cleanup(folder.cleanup)
        config.option.basetemp = str(Path(folder.name) / "rank")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What the tests run on, and which they are."""
    first, number = MPI.Get_library_version().splitlines()[0], config.option.deal
    if _all(config):
        which = "all tests that are named"
    elif config.option.rest is not None:
        which = f"what deal {number} leaves out, in its order, for {config.option.rest:.0f} s"
    else:
        which = f"deal {number}: --deal {number} repeats it, --all leaves nothing out"
    return [f"{MPI.COMM_WORLD.size} MPI rank(s), {' '.join(first.split())}", which]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes give a case no name: a gzip file has its second in it, and workers must agree."""
    return argname if isinstance(val, bytes) else None


def _all(config: pytest.Config) -> bool:
    """Whether nothing is left out: it was asked for, or tests are called by their names."""
    return config.option.all or any("::" in word for word in config.args)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only what is wanted, before other options choose among it."""
    if _all(config):
        return
    tried, rest = deal.parted(items, config.option.deal, MPI.COMM_WORLD.size)
    if config.option.rest is not None:
        tried, rest = deal.shuffled(rest, config.option.deal), tried
    config.hook.pytest_deselected(items=rest)
    items[:] = tried


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Begin no test when the time is over; all ranks take it from the first one's clock."""
    if OVER not in item.config.stash:
        return None
    return MPI.COMM_WORLD.bcast(time.monotonic() > item.config.stash[OVER]) or None


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
