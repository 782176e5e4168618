"""launch/slurm.sh on a real Slurm, whose nodes are this machine."""

import re
import subprocess
import sys
import time
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.storage import results_file

LIMIT = 180.0
"""Seconds after which a job hangs, on however busy a machine."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(
        not Path(sys.executable).with_name("mpiexec").exists(), reason="no mpiexec beside Python"
    ),
]


class Job:
    """A job of launch/slurm.sh, submitted from the checkout."""

    def __init__(self, environment, checkout, *words, **variables):
        self.environment = environment | {"MPIDL_VENV": sys.prefix} | variables
        self.log = checkout / "log"
        options = ["--parsable", f"--output={self.log}", "--time=10"]
        self.number = self.ask("sbatch", *options, *words, folder=checkout).strip()

    def ask(self, *words, folder=None):
        """What a command of Slurm prints."""
        return subprocess.run(
            words, cwd=folder, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def state(self, *keys):
        """Its state and exit code, or other facts."""
        told = self.ask("scontrol", "show", "job", self.number)
        wanted = keys or ("JobState", "ExitCode")
        return {key: re.search(rf"{key}=(\S+)", told)[1] for key in wanted}

    def text(self):
        """Its output so far."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, reached):
        """Wait until something is true of the job, or its time is over."""
        deadline = time.monotonic() + LIMIT
        while not reached(self):
            if time.monotonic() > deadline:
                self.cancel()
                pytest.fail(f"the job hangs\n{self.state()}\n{self.text()}")
            time.sleep(0.2)

    def start_again_soon(self):
        """Wait until it is to be started again, and see to it.

        Slurm would let it wait two minutes, until nobody takes it for the start that was ended.
        """
        wanted = {"JobState": "PENDING", "Restarts": "1"}
        self.wait_for(lambda job: job.state(*wanted) == wanted)
        self.ask("scontrol", "update", f"JobId={self.number}", "StartTime=now+3")

    def cancel(self):
        """Take it out of the queue, or end it."""
        self.ask("scancel", self.number)

    def ended(self):
        """Whether it came to its end."""
        return self.state()["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


def test_a_run_on_two_nodes_by_srun_comes_to_its_results(slurm, checkout):
    text = (checkout / "launch/sites/slurm.toml").read_text()
    for old, new in (
        ('launcher = "hydra"', 'launcher = "srun"'),
        ("options = []", 'options = ["--mpi=pmi2"]'),
        ('cpus = "auto"', "cpus = 2"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (checkout / "own.toml").write_text(text)
    words = ["--nodes=2", "launch/slurm.sh", "run", "run.toml"]
    job = Job(slurm, checkout, *words, MPIDL_SITE="own.toml")
    job.wait_for(Job.ended)
    assert job.state() == {"JobState": "COMPLETED", "ExitCode": "0:0"}, job.text()
    assert results_file.completed(checkout / "results/small.h5")
    assert "$ srun --overlap --nodes 2 --ntasks 3 --nodelist n1,n1,n2" in job.text()
    assert f"{job.number}, 2 nodes, 00:09:" in job.text()


def test_a_warned_job_stops_after_its_round_and_is_started_again(slurm, checkout):
    rounds = ["--set", "training.rounds=5000"]
    job = Job(slurm, checkout, "launch/slurm.sh", "run", "run.toml", *rounds)
    try:
        job.wait_for(lambda job: "round 2/" in job.text())
        job.ask("scancel", "--signal=USR1", "--batch", job.number)
        job.start_again_soon()
        job.wait_for(lambda job: job.text().count("mpidl: job ") == 2)
    finally:
        job.cancel()
    text = job.text()
    assert "interrupted; the rounds so far are in results/small.h5" in text
    assert "mpidl: exit code 75" in text


def test_scancel_ends_a_job_for_good(slurm, checkout):
    rounds = ["--set", "training.rounds=100000"]
    job = Job(slurm, checkout, "launch/slurm.sh", "run", "run.toml", *rounds)
    job.wait_for(lambda job: "round 2/" in job.text())
    job.cancel()
    job.wait_for(Job.ended)
    job.wait_for(lambda job: "No job follows: SIGTERM came 00:0" in job.text())
    assert "interrupted; the rounds so far are in results/small.h5" in job.text()
    assert job.state()["JobState"] == "CANCELLED"


def test_a_preempted_job_is_started_again_once_and_goes_on(slurm, checkout):
    rounds = ["--set", "training.rounds=100000"]
    job = Job(slurm, checkout, "launch/slurm.sh", "run", "run.toml", *rounds)
    try:
        job.wait_for(lambda job: "round 2/" in job.text())
        other = ["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
        job.ask("sbatch", *other, "--wait", "--wrap=true")
        job.start_again_soon()
        job.wait_for(lambda job: "goes on after round" in job.text())
        assert job.ask("squeue", "--noheader", "--format=%i").split() == [job.number]
    finally:
        job.cancel()


def test_a_run_that_is_longer_than_its_job_goes_on_in_the_next(slurm, checkout):
    rounds = ["--set", "training.rounds=100000"]
    job = Job(slurm, checkout, "--time=2", "launch/slurm.sh", "run", "run.toml", *rounds)
    try:
        job.start_again_soon()
        assert "asked to stop after this round" in job.text()
        job.wait_for(lambda job: "goes on after round" in job.text())
    finally:
        job.cancel()


@pytest.mark.skipif(MPI.get_vendor()[0] != "MPICH", reason="other MPIs speak other languages")
@pytest.mark.parametrize("kind", ["none", "pmix", "cray_shasta"])
def test_ranks_of_srun_that_cannot_join_are_refused_in_a_sentence(slurm, checkout, kind):
    listed = subprocess.run(["srun", "--mpi=list"], env=slurm, capture_output=True, text=True)
    if kind not in (listed.stdout + listed.stderr).split():
        pytest.skip(f"this Slurm has no {kind}")
    if kind == "pmix" and "pmix" in MPI.Get_library_version():
        pytest.skip("this MPICH speaks PMIx")
    ended = subprocess.run(
        ["srun", f"--mpi={kind}", "--ntasks=2", sys.executable, "-m", "mpidl.run", "run.toml"],
        cwd=checkout,
        env=slurm,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    [told] = [line for line in ended.stderr.splitlines() if not line.startswith("srun: ")]
    assert told.startswith("mpidl: Slurm's srun started 2 ranks, but mpi4py runs on MPICH ")
    assert "'srun --mpi=TYPE' with a type of 'srun --mpi=list' that MPICH speaks" in told
    assert ended.returncode == 2
    assert not (checkout / "results").exists()


def test_a_job_that_cannot_start_fails(slurm, checkout):
    job = Job(slurm, checkout, "launch/slurm.sh", "run", "none.toml")
    job.wait_for(Job.ended)
    assert job.state() == {"JobState": "FAILED", "ExitCode": "2:0"}
    assert "mpidl: Cannot read the run file none.toml" in job.text()
