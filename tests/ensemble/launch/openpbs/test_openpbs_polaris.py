"""launch/polaris.pbs on a real OpenPBS: from qsub to the results file, also by several jobs."""

import re

from mpi4py import MPI

import pytest

from mpidl.storage import results_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
]


SLOWLY = """
import time
from torch.nn.functional import cross_entropy
from mpidl.components.tasks import TASKS


@TASKS.add
def slowly(model, batch, /):
    time.sleep(0.03)
    return cross_entropy(model(batch.inputs), batch.targets)
"""
"""A task with which a rank of two devices needs 0.3 s a round, on however fast a machine."""


def submit(pbs, *words, job, walltime="1:00:00"):
    """Submit a job; its name."""
    more = ["-l", f"walltime={walltime}", "-v", f"MPIDL_JOB={job}", "launch/polaris.pbs"]
    return pbs.told("qsub", "-A", "project", *words, *more)


def over(pbs, number):
    """Wait until a job has ended; its exit code."""
    pbs.wait_for(lambda: pbs.job(number)["job_state"] == "F", f"the end of {number}")
    return pbs.job(number)["Exit_status"]


def test_a_run_on_two_nodes_comes_to_its_results(polaris):
    select = ("-l", "select=2:system=polaris")
    number = submit(polaris, "-q", "prod", *select, job="run run.toml")
    assert over(polaris, number) == 0, polaris.log(number)
    log, job = polaris.log(number), polaris.job(number)
    assert (job["queue"], job["Resource_List"]["filesystems"]) == ("small", "home:eagle")
    for line in ("module use /soft/modulefiles", "module load conda", "conda activate base"):
        assert line in log
    assert "$ mpiexec -n 3 --ppn 2 --hosts x1,x2 --cpu-bind list:24-31:16-23 --envall" in log
    assert re.search(rf"mpidl: job +{re.escape(number)}, 2 nodes, 00:59:\d\d left: x1 x2", log)
    assert results_file.completed(polaris.checkout / "results/small.h5")
    assert polaris.queue() == []


def test_a_chain_completes_a_run_that_is_longer_than_a_job(polaris):
    (polaris.checkout / "slowly.py").write_text(SLOWLY)
    run = polaris.checkout / "run.toml"
    text = run.read_text().replace("rounds = 2", "rounds = 400")
    run.write_text(f'use = ["slowly.py"]\n{text}[task]\nname = "slowly"\n')
    select = ("-l", "select=1:system=polaris")
    number = submit(polaris, "-q", "capacity", *select, job="run run.toml", walltime="0:02:00")
    jobs = [number]
    while over(polaris, number) == 0 and "the next job is" in polaris.log(number):
        number = re.search(r"the next job is (\S+)", polaris.log(number))[1]
        jobs.append(number)
    assert len(jobs) > 1, polaris.log(number)
    assert results_file.completed(polaris.checkout / "results/small.h5"), polaris.log(number)
    for job in jobs[1:]:
        assert "goes on after round" in polaris.log(job)
        assert polaris.job(job)["Resource_List"]["select"] == "1:system=polaris"
        assert polaris.job(job)["queue"] == "capacity"
    assert polaris.queue() == []


def test_a_signal_by_qsig_ends_the_job_and_the_rounds_are_kept(polaris):
    """It ends the shell around the script too, and with it the job; no other job follows."""
    job = "run run.toml --set training.rounds=100000"
    number = submit(polaris, "-q", "debug", "-l", "select=1:system=polaris", job=job)
    polaris.wait_for(lambda: "round 2/" in polaris.log(number), "round 2")
    polaris.told("qsig", "-s", "SIGUSR1", number)
    over(polaris, number)
    # Its processes live a moment longer than the job.
    polaris.wait_for(lambda: "interrupted; the rounds so far are in" in polaris.log(number))
    assert polaris.queue() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-q", "debug", "-l", "select=3:system=polaris"], "Job violates queue and/or server"),
        (["-q", "small", "-l", "select=2:system=polaris"], "Access to queue is denied"),
        (["-q", "debug"], "no select: use -l select="),
    ],
)
def test_a_submission_that_breaks_a_rule_is_told(polaris, words, sentence):
    more = ["-l", "walltime=1:00:00", "-v", "MPIDL_JOB=run run.toml", "launch/polaris.pbs"]
    ended = polaris.ask("qsub", "-A", "project", *words, *more)
    assert ended.returncode != 0
    assert sentence in ended.stderr
    assert polaris.queue() == []
