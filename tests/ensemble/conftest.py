"""A study of four small runs, and the command that works it off."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mpidl.ranks import host

LIMIT = 300.0
"""Seconds after which a job or a study hangs, on however busy a machine."""

BASE = """
[topology]
name = "ring"
devices = 4

[data]
name = "digits"
train_samples = 120
test_samples = 60

[ood]
sources = 0

[model]
name = "mlp"
hidden = [4]

[training]
rounds = 2
accelerator = "cpu"
"""

STUDY = """
base = "base.toml"
prefix = ["strategy", "seed"]
ranks = 2

[[axes]]
name = "seed"
set = "training.seed"
values = [0, 1]

[[axes]]
name = "strategy"
set = "strategy.name"
values = ["unweighted", "degree"]
"""


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """The folder of a study of four runs of two ranks, a second or two each."""
    folder = tmp_path / "four"
    folder.mkdir()
    (folder / "base.toml").write_text(BASE)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture
def two(four: Path) -> Path:
    """The same with one seed, and so two runs."""
    study = four / "study.toml"
    study.write_text(study.read_text().replace("[0, 1]", "[0]"))
    return four


@pytest.fixture
def environment() -> dict[str, str]:
    """The variables of a shell in which this environment is active, outside any launcher."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**host.unlaunched(os.environ), "PATH": path}


@pytest.fixture
def begin(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """As ``begin(*arguments)``: the command, started; it is killed if the test leaves it."""
    started = []

    def start(
        *arguments: object, python: str = sys.executable, **more: str
    ) -> "subprocess.Popen[str]":
        words = [python, "-m", "mpidl.ensemble", *map(str, arguments)]
        process = subprocess.Popen(
            words,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            cwd=tmp_path,
            env={**environment, **more},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def command(begin: Callable[..., Any]) -> Callable[..., tuple[int, str, str]]:
    """As ``command(*arguments)``: exit code, output and errors of the command."""

    def run(*arguments: object, **more: str) -> tuple[int, str, str]:
        process = begin(*arguments, **more)
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err

    return run
