"""Batch systems to try the launch scripts on: a stand-in for PBS, and a real Slurm of one node."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mpidl import host

ROOT = Path(__file__).parents[3]
STAND_INS = Path(__file__).with_name("stand_ins")
LIMIT = 120.0
"""Seconds after which a job hangs, on however busy a machine."""

STUDY = """
base = "../run.toml"
prefix = ["seed"]

[[axes]]
name = "seed"
set = "training.seed"
values = [0, 1]
"""

RUN = """
name = "small"

[topology]
name = "ring"
devices = 3

[data]
name = "digits"
train_samples = 120
test_samples = 60

[model]
name = "mlp"
hidden = [4]

[training]
rounds = 2
steps = 1
accelerator = "cpu"
"""

MODULE = """() {
  echo "module $*"
  if [ "$1" = load ]; then export LOADEDMODULES="$2/2026" PYTHONPATH="$STAND_IN_PBS/python"; fi
}"""
"""What a login shell on a cluster has, as a function that bash takes from its environment."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder to submit from: the launch scripts, a run file, a study, and an environment."""
    if sys.prefix == sys.base_prefix:
        pytest.skip("this Python is in no virtual environment, of which there could be a copy")
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "launch", folder / "launch", ignore=shutil.ignore_patterns("studies"))
    (folder / "run.toml").write_text(RUN)
    (folder / "two").mkdir()
    (folder / "two/study.toml").write_text(STUDY)
    copied(folder / ".venv")
    return folder


def copied(venv: Path) -> Path:
    """An environment with the packages of this one, and room for other commands."""
    (venv / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    (venv / "bin/python").symlink_to(Path(sys.executable).resolve())
    # Parsl's programs.
    for program in (Path(sys.prefix) / "bin").glob("*.py"):
        copy = venv / "bin" / program.name
        copy.write_text(f"#!{venv}/bin/python\n{program.read_text().partition(chr(10))[2]}")
        copy.chmod(0o755)
    return venv


class Pbs:
    """A stand-in for PBS: ``qsub`` takes jobs down, :meth:`work_off` does them one by one."""

    def __init__(self, site: str, checkout: Path, state: Path) -> None:
        self.site, self.checkout, self.state = site, checkout, state
        state.mkdir()
        shutil.copy(ROOT / f"launch/sites/{site}.toml", state / "rules.toml")
        binaries = checkout / ".venv/bin"
        for name in ("qsub", "qstat", "mpiexec"):
            (binaries / name).symlink_to(STAND_INS / f"{name}.py")
        self.environment = {
            "HOME": os.environ.get("HOME", "/"),
            "PATH": f"{binaries}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "STAND_IN_PBS": str(state),
            "STAND_IN_HYDRA": str(Path(sys.executable).with_name("mpiexec")),
            "BASH_FUNC_module%%": MODULE,
            "BASH_FUNC_conda%%": '() { echo "conda $*"; }',
        }

    def qsub(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Submit from the checkout, as a user would."""
        return subprocess.run(
            ["qsub", *words],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def job(self, number: int) -> dict[str, Any]:
        """What is known of a job."""
        found: dict[str, Any] = json.loads((self.state / f"{number}.pbs.json").read_text())
        return found

    def work_off(self) -> list[tuple[int, str]]:
        """Do all jobs, also those that jobs submit; the exit code and the output of each."""
        done: list[tuple[int, str]] = []
        while (self.state / f"{len(done) + 1}.pbs.json").exists():
            done.append(self._do(len(done) + 1))
        return done

    def _do(self, number: int) -> tuple[int, str]:
        job, name = self.job(number), f"{number}.pbs"
        nodes = self.state / f"{name}.nodes"
        count = job["Resource_List"]["nodect"]
        # All nodes are this machine; their domains tell them apart.
        names = [f"{host.name()}.{self.site}{node}.alcf.anl.gov\n" for node in range(count)]
        nodes.write_text("".join(names))
        self._put(name, job | {"job_state": "R", "stime": time.ctime()})
        # PBS copies the script, and gives it nothing of the submitter's environment.
        body = shutil.copy(job["script"], self.state / f"{name}.SC")
        told = {"PBS_JOBID": name, "PBS_NODEFILE": str(nodes), "PBS_O_WORKDIR": job["folder"]}
        ended = subprocess.run(
            ["bash", "-l", body],
            cwd=self.environment["HOME"],
            env=self.environment | told | job["Variable_List"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        self._put(name, job | {"job_state": "F"})
        return ended.returncode, ended.stdout

    def _put(self, name: str, job: dict[str, Any]) -> None:
        (self.state / f"{name}.json").write_text(json.dumps(job))


@pytest.fixture
def pbs(checkout: Path, tmp_path: Path) -> Callable[[str], Pbs]:
    """``pbs(site)``: a PBS with the rules of that site."""
    return lambda site: Pbs(site, checkout, tmp_path / "pbs")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Mapping[str, str]]:
    """The environment of a cluster of two nodes with a real Slurm; both nodes are this machine."""
    missing = [name for name in ("munged", "slurmctld", "slurmd") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {missing[0]} here: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own takes root")
    # Sockets need a short path, and munge one that anybody may enter.
    folder = Path(tempfile.mkdtemp(prefix="mpidl", dir="/tmp")) / "slurm"
    folder.parent.chmod(0o755)
    cluster = Path(__file__).with_name("slurm_cluster")
    try:
        begun = subprocess.run(
            [cluster, "start", folder, "2"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if begun.returncode:
            pytest.skip(f"Slurm does not start here: {begun.stderr.splitlines()[-1]}")
        environment = host.unlaunched(os.environ) | {"SLURM_CONF": str(folder / "slurm.conf")}
        environment.pop("SLURM_MPI_TYPE", None)
        binaries = Path(sys.executable).parent
        yield environment | {"PATH": f"{binaries}{os.pathsep}{environment['PATH']}"}
    finally:
        subprocess.run([cluster, "stop", folder], check=True)
        folder.parent.rmdir()
