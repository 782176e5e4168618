"""What the checks of a stack are told by the command that starts them."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from mpidl.ranks import host
from tests.faults.jobs import Numbers, contents
from tests.stacks.environments import unchosen


def pytest_addoption(parser: pytest.Parser) -> None:
    """What only the tests in this folder know."""
    group = parser.getgroup("stacks")
    group.addoption("--at-most", type=int, default=8, help="ranks that a stack may be given")
    group.addoption("--reference", help="the Python of another stack, whose numbers are compared")
    group.addoption("--foreign", help="the mpiexec of another MPI")


def option(request: pytest.FixtureRequest, name: str, default: object = None) -> object:
    """An option of this folder, which is not known where more than this folder is run."""
    return request.config.getoption(name, default=default)


@pytest.fixture(scope="session")
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Numbers]:
    """As ``reference(*settings)``: the numbers of a run in one process, without mpiexec."""
    python = str(option(request, "--reference") or sys.executable)
    variables = host.unlaunched(os.environ)
    if python != sys.executable:
        variables = unchosen(variables)

    @cache
    def numbers(*settings: str) -> Numbers:
        folder = tmp_path_factory.mktemp("reference")
        overrides = [part for setting in settings for part in ("--set", setting)]
        subprocess.run(
            [python, "-m", "mpidl.run", *overrides, "--out", str(folder)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=variables,
        )
        return told(folder / "default.h5")

    return numbers


def told(path: Path) -> Numbers:
    """What a results file says, but for times and traffic, which depend on the ranks."""
    return {k: v for k, v in contents(path).items() if not k.startswith("series/bytes_")}
