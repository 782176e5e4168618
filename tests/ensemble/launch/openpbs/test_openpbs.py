"""launch/aurora.pbs on a real OpenPBS: what a user reads, and one job after another."""

import re
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.storage import results_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
]

ACCOUNT = ("-A", "project")
HOUR = ("-l", "walltime=1:00:00")
LONG = "--set training.rounds=100000"


def submit(pbs, *words, queue="capacity", nodes=1, job=f"run run.toml {LONG}", **variables):
    """Submit a job; its name."""
    passed = ",".join(f"{key}={value}" for key, value in {"MPIDL_JOB": job, **variables}.items())
    words = (*HOUR, *words) if not any("walltime" in word for word in words) else words
    options = ["-q", queue, "-l", f"select={nodes}", *words, "-v", passed]
    return pbs.told("qsub", *ACCOUNT, *options, "launch/aurora.pbs")


def begun(pbs, number):
    """Wait until a run is in its rounds."""
    pbs.wait_for(lambda: "round 2/" in pbs.log(number), "round 2")


def over(pbs, number):
    """Wait until a job has ended; its exit code."""
    pbs.wait_for(lambda: pbs.job(number)["job_state"] == "F", f"the end of {number}")
    return pbs.job(number)["Exit_status"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no account: use -A"),
        ([*ACCOUNT, "-q", "debug", "-l", "select=1"], "no walltime: use -l walltime="),
        ([*ACCOUNT, "-q", "debug", *HOUR], "no select: use -l select="),
        ([*ACCOUNT, "-V", "-q", "debug", "-l", "select=1", *HOUR], "-V is not allowed"),
        ([*ACCOUNT, "-q", "debug", "-l", "select=3", *HOUR], "Job violates queue and/or server"),
        (
            [*ACCOUNT, "-q", "debug", "-l", "select=1", "-l", "walltime=2:00:00"],
            "Job violates queue and/or server resource limits",
        ),
        ([*ACCOUNT, "-q", "small", "-l", "select=2", *HOUR], "Access to queue is denied"),
        ([*ACCOUNT, "-q", "none", "-l", "select=2", *HOUR], "Unknown queue"),
    ],
)
def test_a_submission_that_breaks_a_rule_is_told(pbs, words, sentence):
    ended = pbs.ask("qsub", *words, "-v", "MPIDL_JOB=run run.toml", "launch/aurora.pbs")
    assert ended.returncode != 0
    assert sentence in ended.stderr
    assert pbs.queue() == []


def test_a_job_without_file_systems_is_refused(pbs):
    script = pbs.checkout / "launch/aurora.pbs"
    lines = script.read_text().splitlines(keepends=True)
    script.write_text("".join(line for line in lines if "filesystems" not in line))
    words = [*ACCOUNT, "-q", "debug", "-l", "select=1", *HOUR, "launch/aurora.pbs"]
    assert "no filesystems: use -l filesystems=" in pbs.ask("qsub", *words).stderr


def test_too_many_jobs_are_refused(pbs):
    first = submit(pbs, "-h", queue="debug")
    words = ["-q", "debug", "-l", "select=1", *HOUR, "launch/aurora.pbs"]
    told = pbs.ask("qsub", *ACCOUNT, *words).stderr
    assert "would exceed queue generic's per-user limit" in told
    assert pbs.queue() == [first]


def test_a_run_on_two_nodes_by_the_queue_that_routes_comes_to_its_results(pbs):
    number = submit(pbs, queue="prod", nodes=2, job="run run.toml")
    assert over(pbs, number) == 0, pbs.log(number)
    log = pbs.log(number)
    assert pbs.job(number)["queue"] == "small"
    assert "$ mpiexec -n 3 --ppn 2 --hosts x1,x2 --cpu-bind list:1-8:9-16 --envall" in log
    assert re.search(rf"mpidl: job +{re.escape(number)}, 2 nodes, 00:59:\d\d left: x1 x2", log)
    assert results_file.completed(pbs.checkout / "results/small.h5")


def test_a_run_that_is_longer_than_its_job_goes_on_in_the_next(pbs):
    number = submit(pbs, "-l", "walltime=0:03:00", "-W", "umask=022")
    assert over(pbs, number) == 0, pbs.log(number)
    log = pbs.log(number)
    assert "mpidl: the time is over; asked to stop after this round" in log
    assert "interrupted; the rounds so far are in results/small.h5" in log
    follower = re.search(r"the next job is (\S+)", log)[1]
    pbs.wait_for(lambda: "goes on after round" in pbs.log(follower), "the next job")
    assert pbs.queue() == [follower]
    kept = ("Account_Name", "queue", "Job_Name", "umask")
    first, second = pbs.job(number), pbs.job(follower)
    assert [second[key] for key in kept] == [first[key] for key in kept]
    wanted = ("select", "place", "walltime", "filesystems")
    assert [second["Resource_List"][key] for key in wanted] == [
        first["Resource_List"][key] for key in wanted
    ]
    pbs.told("qdel", follower)
    over(pbs, follower)
    assert pbs.queue() == []


def test_a_refusal_of_the_next_job_is_told(pbs):
    """The queue debug takes one job of a user, and this one still runs."""
    number = submit(pbs, "-l", "walltime=0:02:00", queue="debug")
    assert over(pbs, number) == 75
    assert "mpidl: qsub" in pbs.log(number)
    assert "would exceed queue generic's per-user limit" in pbs.log(number)


def test_qdel_ends_a_chain(pbs):
    number = submit(pbs)
    begun(pbs, number)
    pbs.told("qdel", number)
    over(pbs, number)
    log = pbs.log(number)
    assert "interrupted; the rounds so far are in results/small.h5" in log
    assert re.search(r"No job follows: SIGTERM came 00:5\d:\d\d before", log)
    assert pbs.queue() == []


def test_a_job_that_waits_is_held_and_released(pbs):
    number = submit(pbs, "-h", job="run run.toml")
    assert pbs.job(number)["job_state"] == "H"
    pbs.told("qrls", number)
    assert over(pbs, number) == 0, pbs.log(number)


def test_qhold_lets_a_job_that_runs_go_on(pbs):
    number = submit(pbs)
    begun(pbs, number)
    pbs.ask("qhold", number)
    rounds = pbs.log(number).count("round ")
    pbs.wait_for(lambda: pbs.log(number).count("round ") > rounds)
    assert pbs.job(number)["job_state"] == "R"


def test_qrerun_starts_a_job_again_alone(pbs):
    number = submit(pbs)
    begun(pbs, number)
    pbs.told("qrerun", number)
    pbs.wait_for(lambda: "goes on after round" in pbs.log(number), "the second start")
    assert pbs.queue() == [number]


def test_a_preempted_job_is_started_again_once_and_goes_on(pbs):
    number = submit(pbs, nodes=2)
    begun(pbs, number)
    other = pbs.checkout / "other.sh"
    other.write_text("#!/bin/sh\n")
    excl = ["-l", "place=scatter:excl", "-l", "select=2", "-l", "filesystems=home", *HOUR]
    urgent = pbs.told("qsub", *ACCOUNT, "-q", "urgent", *excl, "other.sh")
    assert over(pbs, urgent) == 0
    pbs.wait_for(lambda: "goes on after round" in pbs.log(number), "the second start")
    assert pbs.queue() == [number]


@pytest.mark.parametrize("seconds", [2, 6])
def test_a_job_whose_time_is_over_while_the_run_starts_ends_without_another(pbs, seconds):
    number = submit(pbs, "-l", f"walltime={seconds}")
    over(pbs, number)
    assert pbs.queue() == []
    assert not list(Path(pbs.checkout / "results").glob("*.h5"))


def test_a_job_that_cannot_start_says_why(pbs):
    number = submit(pbs, job="run none.toml")
    assert over(pbs, number) == 2
    assert "mpidl: Cannot read the run file none.toml" in pbs.log(number)


def test_a_job_whose_second_node_dies_ends_and_the_same_command_goes_on(pbs):
    """Neither PBS nor mpiexec ends it: the job itself asks which of its nodes are down."""
    number = submit(pbs, nodes=2, MPIDL_MARGIN=20)
    begun(pbs, number)
    pbs.cluster("die", "x2")
    try:
        assert over(pbs, number) not in (0, 75)
        assert "PBS says that x2 is down; asked to stop" in pbs.log(number)
    finally:
        pbs.cluster("revive", "x2")
    assert pbs.queue() == []
    again = submit(pbs, nodes=2)
    begun(pbs, again)
    assert pbs.queue() == [again]
