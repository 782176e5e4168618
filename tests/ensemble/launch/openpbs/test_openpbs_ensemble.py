"""Ensembles on a real OpenPBS: inside a job of two nodes, and with jobs that they ask for."""

import os
import re
import signal
import subprocess
from pathlib import Path

from mpi4py import MPI

import pytest

pytest.importorskip("parsl")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
]

SUBMISSION = ("--account", "project", "--queue", "capacity", "--walltime", "0:10:00")
SEEDS = "values = [0, 1]"


@pytest.fixture
def begin(pbs):
    """As ``begin(*words)``: an ensemble on the login node, which asks for jobs; killed at last."""
    started = []

    def start(*words):
        command = ["python", "-m", "mpidl.ensemble", "two/study.toml", *SUBMISSION, *words]
        command += ["--site", "launch/sites/aurora.toml"]
        started.append(
            subprocess.Popen(
                pbs.on("head", *command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.kill(driver(process), signal.SIGKILL)
            process.communicate()


def driver(process):
    """The number of the ensemble's process, which the one that was started waits for."""
    numbers = [process.pid]
    while True:
        children = Path(f"/proc/{numbers[-1]}/task/{numbers[-1]}/children").read_text().split()
        words = Path(f"/proc/{numbers[-1]}/cmdline").read_bytes().split(b"\0")
        if b"mpidl.ensemble" in words and words[0].endswith(b"python"):
            return numbers[-1]
        numbers.append(int(children[0]))


def seeds(pbs, count):
    """Let the study have so many runs, one for each seed."""
    study = pbs.checkout / "two/study.toml"
    text = study.read_text()
    assert SEEDS in text
    study.write_text(text.replace(SEEDS, f"values = {list(range(count))}"))


def log(pbs):
    """What the study has logged so far."""
    path = pbs.checkout / "results/two/log.txt"
    return path.read_text() if path.exists() else ""


def test_an_ensemble_fills_the_nodes_of_its_job(pbs):
    """Runs of one rank, two on each node, in a job that several wait in."""
    seeds(pbs, 4)
    words = ["-A", "project", "-q", "capacity", "-l", "select=2", "-l", "walltime=0:20:00"]
    variable = "MPIDL_JOB=ensemble two/study.toml --ranks 1"
    number = pbs.told("qsub", *words, "-v", variable, "launch/aurora.pbs")
    pbs.wait_for(lambda: pbs.job(number)["job_state"] == "F")
    assert pbs.job(number)["Exit_status"] == 0, pbs.log(number)
    hosts = re.findall(r"1 ranks on (\w+), slot (\d)", log(pbs))
    assert {name for name, _ in hosts} == {"x1", "x2"}
    assert pbs.log(number).count("  done  ") == 4


def inside(pbs, words, *more, **variables):
    """Submit a job of two nodes for an ensemble inside it; its name."""
    passed = {"MPIDL_JOB": f"ensemble two/study.toml {words}", "MPIDL_MARGIN": 20, **variables}
    select = ["-A", "project", "-q", "capacity", "-l", "select=2", "-l", "walltime=0:20:00"]
    text = ",".join(f"{key}={value}" for key, value in passed.items())
    return pbs.told("qsub", *select, *more, "-v", text, "launch/aurora.pbs")


def printed(pbs):
    """What the runs of the study have printed so far."""
    paths = sorted((pbs.checkout / "results/two/logs").glob("*.txt"))
    return [path.read_text(errors="replace") for path in paths]


DEVICES = """
[[axes]]
name = "devices"
set = "topology.devices"
values = [3, 1]
"""


def ended_without(pbs, node, number):
    """Let a node die, and wait until a job has ended with 0; the log of its study."""
    pbs.cluster("die", node)
    try:
        pbs.wait_for(lambda: "  lost  " in log(pbs), "the loss")
        pbs.wait_for(lambda: pbs.job(number)["job_state"] == "F", f"the end of {number}")
    finally:
        pbs.cluster("revive", node)
    assert pbs.job(number)["Exit_status"] == 0, pbs.log(number) + log(pbs)
    return log(pbs)


def test_an_ensemble_inside_a_job_goes_on_where_a_node_of_a_run_dies(pbs):
    """Runs of a whole node are started from the first one; smaller ones after them use it alone."""
    with open(pbs.checkout / "two/study.toml", "a") as study:
        study.write(DEVICES)
    number = inside(pbs, "--ranks 2 --set training.rounds=300")
    pbs.wait_for(lambda: sum("round 2/" in text for text in printed(pbs)) == 2, "two runs")
    told = ended_without(pbs, "x2", number)
    assert "PBS says that x2 is down; 1 node left" in told
    assert told.count("  lost  ") == 1
    assert told.count("  done  ") == 4
    [ended] = [text for text in printed(pbs) if "mpidl: PBS says that x2 is down" in text]
    assert "mpidl: x2 still down, and the run goes on; it is killed" in ended
    assert pbs.queue() == []


def test_an_ensemble_inside_a_job_goes_on_where_a_worker_dies(pbs):
    """Each node has a worker of its own that starts small runs."""
    seeds(pbs, 4)
    number = inside(pbs, "--ranks 1 --set training.rounds=300")
    pbs.wait_for(lambda: sum("round 2/" in text for text in printed(pbs)) == 4, "four runs")
    told = ended_without(pbs, "x2", number)
    assert told.count("  lost  ") == 2
    assert told.count("  done  ") == 4
    assert pbs.queue() == []


def test_runs_of_more_nodes_than_live_wait_for_the_next_job(pbs):
    kept = "--set checkpoint.every=5 --set record.every=5"
    number = inside(pbs, f"--ranks 3 --set training.rounds=20000 {kept}")
    pbs.wait_for(lambda: "round 20/" in "".join(printed(pbs)), "round 20")
    told = ended_without(pbs, "x2", number)
    assert "PBS says that x2 is down; 1 node left" in told
    assert "2 runs of 2 nodes wait for another job" in told
    [follower] = pbs.queue()
    pbs.wait_for(lambda: "goes on after round" in "".join(printed(pbs)), "the next job")
    pbs.told("qdel", follower)


def test_an_ensemble_with_three_jobs_leaves_none(pbs, begin):
    """PBS lets two of a user's run at a time; the third one waits."""
    seeds(pbs, 6)
    process = begin("--ranks", "1", "--slots", "1", "--jobs", "3")
    pbs.wait_for(lambda: len(pbs.queue()) == 3, "three jobs")
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert log(pbs).count("  done  ") == 6
    assert pbs.queue() == []


def test_a_job_of_an_ensemble_that_is_held_counts_as_waiting(pbs, begin):
    process = begin("--ranks", "1", "--slots", "1", "--jobs", "2")
    pbs.told("qmgr", "-c", "set queue capacity started = False")
    try:
        pbs.wait_for(lambda: len(pbs.queue()) == 2, "two jobs")
        held, other = pbs.queue()
        pbs.told("qhold", held)
    finally:
        pbs.told("qmgr", "-c", "set queue capacity started = True")
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert pbs.job(other)["run_count"] == 1
    pbs.wait_for(lambda: not pbs.queue(), "the end of its jobs")


def test_a_driver_that_is_killed_leaves_no_job_and_goes_on(pbs, begin):
    seeds(pbs, 3)
    long = ("--set", "training.rounds=400")
    process = begin("--ranks", "1", "--jobs", "2", *long)
    pbs.wait_for(lambda: "  start  " in log(pbs), "the first run")
    os.kill(driver(process), signal.SIGKILL)
    process.communicate()
    pbs.wait_for(lambda: not pbs.queue(), "the end of its jobs")
    process = begin("--ranks", "1", "--jobs", "2", *long)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert log(pbs).count("  done  ") == 3
    assert pbs.queue() == []


def test_an_ensemble_goes_on_where_a_node_dies(pbs, begin):
    seeds(pbs, 2)
    process = begin("--ranks", "1", "--slots", "1", "--jobs", "2", "--set", "training.rounds=3000")
    pbs.wait_for(lambda: len(set(re.findall(r"on (x\d), slot", log(pbs)))) == 2, "two nodes")
    pbs.cluster("die", "x2")
    try:
        out, _ = process.communicate(timeout=500)
    finally:
        pbs.cluster("revive", "x2")
    assert process.returncode == 0, out
    assert log(pbs).count("  lost  ") == 1
    assert log(pbs).count("  done  ") == 2
    pbs.wait_for(lambda: not pbs.queue(), "the end of its jobs")
