"""The command as it is typed: its exit code, and what each rank writes to the terminal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import host
from mpidl.run.command import patience

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")

BIN = Path(sys.executable).parent
MPIEXEC = shutil.which("mpiexec", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
PATIENCE = 120.0
"""Seconds after which a start counts as hanging, on however busy a machine."""


def launch(folder, *arguments, ranks=4):
    """Start the command on some ranks in a folder of its own."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "mpidl.run", *arguments]
    # This process is no part of what it starts.
    environment = host.unlaunched(os.environ)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rounds", "3"], "Unrecognized arguments: --rounds; see python -m mpidl.run --help."),
        pytest.param(
            ["none.toml"],
            "Cannot read the run file none.toml: No such file or directory; looked for",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--set", "training.lr=nan"],
            "training.lr = nan: should be a finite number.",
            marks=pytest.mark.slow,
        ),
        (
            ["--set", "topology.devices=3"],
            "4 ranks are too many: each needs a device, and the graph has 3",
        ),
        (["--set", "data.name=mnist", "--set", "data.dir=."], "mnist needs the file train-images"),
        pytest.param(
            ["--set", "model.name=vgg16"],
            "model.name = 'vgg16': needs images of at least 32x32",
            marks=pytest.mark.slow,
        ),
        (["--set", "model.hidden=[1000000, 1000000]"], "model.name = 'mlp', hidden = [1000000, 1"),
        (["--check", "--set", "model.name=vgg16"], "model.name = 'vgg16': needs images of at lea"),
    ],
)
def test_a_users_fault_is_told_once_and_ends_with_2(tmp_path, arguments, sentence):
    ended = launch(tmp_path, *arguments)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"mpidl: {sentence}")
    assert ended.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_users_fault_on_one_rank(tmp_path):
    ended = launch(tmp_path, "--out", "/dev/null", ranks=1)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("mpidl: Cannot write results to /dev/null/default.h5: /dev/null is not")


def test_all_faults_are_told_at_once(tmp_path):
    (tmp_path / "bad.toml").write_text("[training]\nrounds = 0\nlr = -1\n[modle]\n")
    ended = launch(tmp_path, "bad.toml")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines() == [
        "mpidl: Unknown section [modle]; did you mean 'model'?",
        "mpidl: training.rounds = 0: should be greater than or equal to 1.",
        "mpidl: training.lr = -1: should be greater than 0.",
    ]


def test_patience_is_a_number_of_seconds():
    assert patience("2.5") == 2.5
    for text in ("", "soon", "0", "-1", "inf", "nan"):
        with pytest.raises(Fault, match=f"--patience '{text}': must be a number of seconds"):
            patience(text)
