"""Tools that check packages, in an environment of their own, as some want old libraries."""

import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = (
    "build>=1",
    "cffconvert>=2",
    "check-wheel-contents>=0.6",
    "py-rattler-build>=0.60",
    # cffconvert imports pkg_resources.
    "setuptools<81",
    "twine>=6",
    "validate-pyproject[all]>=0.20",
)


@pytest.fixture(scope="session")
def do() -> Callable[..., str]:
    """As ``do(*words, **options)``: what a command prints, which must end with exit code 0.

    It finds no path to this checkout.
    """
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
        told = [str(word) for word in words]
        ended = subprocess.run(
            told, capture_output=True, text=True, env=alone | (env or {}), cwd=cwd
        )
        assert ended.returncode == 0, f"{' '.join(told)}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    return run


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs in an environment with :data:`TOOLS`."""
    home = tmp_path_factory.mktemp("tools")
    venv.create(home, with_pip=True, symlinks=True)
    words = [home / "bin/python", "-m", "pip", "install", "-q", *TOOLS]
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode != 0:
        pytest.skip(f"the tools cannot be installed: {ended.stderr[-300:]}")
    return home / "bin"
