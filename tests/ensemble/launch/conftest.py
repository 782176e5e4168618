"""Batch systems to try the launch scripts on: a stand-in for PBS, and a real Slurm of one node."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mpidl.ranks import host
from tests.ensemble.conftest import LIMIT

ROOT = Path(__file__).parents[3]
STAND_INS = Path(__file__).with_name("stand_ins")

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

PROFILE = """
export PATH="{path}"
module() {{
  echo "module $*"
  [ "$1" = load ] || return 0
  export LOADEDMODULES="$2/2026" PYTHONPATH="$STAND_IN_PBS/python:{root}"
}}
conda() {{ echo "conda $*"; }}
"""
"""What a login shell on a cluster reads, and no other shell."""

COMMANDS = ("qsub", "qstat", "qdel", "qhold", "qrls", "qrerun")


def profile_for(path: str) -> str:
    """The profile of a user whose commands lie in the folders of a path."""
    return PROFILE.format(path=path, root=ROOT)


@pytest.fixture
def profile() -> Callable[[str], str]:
    """``profile(path)``: the profile of a user, for tests in other folders."""
    return profile_for


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
    """PBS with the rules of a site: ``qsub`` takes jobs down, ``mom.py`` runs them."""

    def __init__(self, site: str, checkout: Path, state: Path) -> None:
        self.site, self.checkout, self.state = site, checkout, state
        binaries, home = checkout / ".venv/bin", state / "home"
        home.mkdir(parents=True)
        (home / ".bash_profile").write_text(profile_for(f"{binaries}:/usr/bin:/bin"))
        shutil.copy(ROOT / f"launch/sites/{site}.toml", state / "rules.toml")
        for name in COMMANDS:
            (binaries / name).symlink_to(STAND_INS / "pbs.py")
        (binaries / "mpiexec").symlink_to(STAND_INS / "mpiexec.py")
        self.environment = {
            "HOME": str(home),
            "PATH": f"{binaries}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "STAND_IN_PBS": str(state),
            "STAND_IN_HYDRA": str(Path(sys.executable).with_name("mpiexec")),
        }

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Give a command in the checkout, as a user would."""
        return subprocess.run(
            words,
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def qsub(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Submit a job."""
        return self.ask("qsub", *words)

    def job(self, number: int) -> dict[str, Any]:
        """What is known of a job."""
        found: dict[str, Any] = json.loads((self.state / f"{number}.pbs.json").read_text())
        return found

    def begin(self, number: int) -> None:
        """Say that a job runs, though it does not."""
        self._put(number, {"job_state": "R"})

    def end(self, number: int) -> None:
        """Say that a job has ended."""
        self._put(number, {"job_state": "F"})

    def _put(self, number: int, told: dict[str, Any]) -> None:
        (self.state / f"{number}.pbs.json").write_text(json.dumps(self.job(number) | told))

    def log(self, number: int) -> str:
        """What a job has printed so far."""
        path = self.state / f"{number}.pbs.log"
        return path.read_text() if path.exists() else ""

    def work_off(self) -> list[tuple[int, str]]:
        """Do all jobs, also those that jobs submit; the exit code and the output of each."""
        subprocess.run([*self._mom(), "--drain"], env=self.environment, timeout=LIMIT, check=True)
        return self.done()

    def done(self) -> list[tuple[int, str]]:
        """The exit code and the output of each job that has ended."""
        count = len(list(self.state.glob("*.pbs.json")))
        jobs = [(self.job(number), self.log(number)) for number in range(1, count + 1)]
        return [(job["Exit_status"], log) for job, log in jobs if "Exit_status" in job]

    @contextmanager
    def serving(self, *words: str) -> Iterator[None]:
        """Do jobs as they come."""
        with subprocess.Popen([*self._mom(), *words], env=self.environment) as mom:
            try:
                yield
            finally:
                mom.terminate()

    def wait_for(self, what: Callable[[], object]) -> None:
        """Wait until something is true of the jobs, or the time is over."""
        deadline = time.monotonic() + LIMIT
        while not what():
            if time.monotonic() > deadline:
                logs = [path.read_text() for path in self.state.glob("*.log")]
                pytest.fail("\n".join(["what was waited for does not come", *logs]))
            time.sleep(0.05)

    def _mom(self) -> list[str]:
        return [sys.executable, str(STAND_INS / "mom.py"), str(self.state), "--site", self.site]


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
