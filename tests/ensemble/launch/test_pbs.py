"""The PBS scripts, submitted to a stand-in with ALCF's rules, and run on this machine."""

import contextlib
import os
import re
import signal
import sys
import tomllib
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.ranks import host
from mpidl.storage import results_file

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

ACCOUNT = ("-A", "project")
HOUR = ("-l", "walltime=1:00:00")
RUN = ("-v", "MPIDL_JOB=run run.toml")
SELECT = {"aurora": "select={}", "polaris": "select={}:system=polaris"}


@pytest.mark.parametrize(
    ("site", "cores", "variables"),
    [
        (
            "aurora",
            "-n 3 --ppn 3 --hosts {host}.aurora0.alcf.anl.gov --cpu-bind list:1-8:9-16:17-24",
            ["CCL_PROCESS_LAUNCHER=pmix", "HDF5_USE_FILE_LOCKING=FALSE"],
        ),
        pytest.param(
            "polaris",
            "-n 3 --ppn 3 --hosts {host}.polaris0.alcf.anl.gov --cpu-bind list:24-31:16-23:8-15",
            ["MPICH_GPU_SUPPORT_ENABLED=1", "FI_CXI_DISABLE_HOST_REGISTER=1"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_comes_to_its_results(pbs, site, cores, variables):
    queue = pbs(site)
    select = ("-l", SELECT[site].format(1))
    ended = queue.qsub(*ACCOUNT, "-q", "debug", *select, *HOUR, *RUN, f"launch/{site}.pbs")
    assert ended.stdout.strip() == "1.pbs", ended.stderr
    ((code, log),) = queue.work_off()
    assert code == 0, log
    assert results_file.completed(queue.checkout / "results/small.h5")
    assert f"$ mpiexec {cores.format(host=host.name())} --envall --line-buffer" in log
    assert "mpidl: job        1.pbs, 1 nodes, 00:59:" in log
    assert re.search(r"mpidl: modules +(frameworks|conda)/2026", log)
    for text in variables:
        assert text in log
    assert "GDR_LEVEL" not in log


@pytest.mark.slow
def test_an_ensemble_fills_slots_of_two_nodes(pbs):
    pytest.importorskip("parsl")
    queue = pbs("aurora")
    site = queue.checkout / "launch/sites/aurora.toml"
    site.write_text(site.read_text().replace('interface = "hsn0"', 'interface = "lo"'))
    submit(queue, job="ensemble two/study.toml --set data.train_samples=60")
    ((code, log),) = queue.work_off()
    assert code == 0, log
    assert log.count("  done  ") == 2
    logs = [path.read_text() for path in (queue.checkout / "results/two/logs").iterdir()]
    started = f"$ mpiexec -n 3 --ppn 3 --hosts {host.name()} --cpu-bind list:"
    assert [text.count(started) for text in logs] == [1, 1]


@pytest.mark.parametrize(
    ("site", "words", "reason"),
    [
        ("aurora", ["-q", "debug", "-l", "select=1", *HOUR], "no account"),
        ("aurora", [*ACCOUNT, "-q", "debug", "-l", "select=1"], "no walltime"),
        ("aurora", [*ACCOUNT, "-q", "debug", *HOUR], "no select"),
        ("aurora", [*ACCOUNT, "-q", "debug", "-l", "select=3", *HOUR], "limits: 3 nodes"),
        ("aurora", [*ACCOUNT, "-q", "prod", "-l", "select=100", *HOUR], "limits: 100 nodes"),
        ("aurora", [*ACCOUNT, "-q", "small", "-l", "select=256", *HOUR], "Unknown queue small"),
        ("aurora", [*ACCOUNT, "-V", "-q", "debug", "-l", "select=1", *HOUR], "-V is not allowed"),
        (
            "polaris",
            [*ACCOUNT, "-q", "debug", "-l", "select=1", "-l", "walltime=2:00:00"],
            "2.0 h in debug",
        ),
    ],
)
def test_the_stand_in_refuses_what_alcf_refuses(pbs, site, words, reason):
    ended = pbs(site).qsub(*words, *RUN, f"launch/{site}.pbs")
    assert ended.returncode == 1
    assert reason in ended.stderr


ENSEMBLE = """
import os, pathlib, sys

if sys.orig_argv[1:3] == ["-m", "mpidl.ensemble"]:
    import h5py
    ends = [{ends}]
    number = int(os.environ["PBS_JOBID"].partition(".")[0])
    folder = pathlib.Path("out/study")
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "run-{{}}.h5".format({run}), "w", libver=("v108", "v110")) as file:
        file["rounds_done"], file["completed"] = 1, 1
        file.attrs["schema"], file.attrs["run_file"] = 1, ""
    print("ensemble", *sys.argv[1:], flush=True)
    os._exit(ends[number - 1])
"""
"""In place of the ensemble, as Python loads it at its start."""


@pytest.fixture
def ensemble(pbs):
    """``ensemble(ends, run)``: an Aurora where each job's ensemble completes a run and ends so."""

    def prepare(ends, run="number"):
        queue = pbs("aurora")
        (queue.state / "python").mkdir()
        text = ENSEMBLE.format(ends=", ".join(map(str, ends)), run=run)
        (queue.state / "python/sitecustomize.py").write_text(text)
        return queue

    return prepare


def submit(queue, *words, name="capacity", job="ensemble study/study.toml --out out"):
    more = "".join(f",{word}" for word in words)
    ended = queue.qsub(
        *(*ACCOUNT, "-q", name, "-l", "select=2", "-l", "walltime=0:30:00"),
        *("-v", f"MPIDL_JOB={job}{more}", "launch/aurora.pbs"),
    )
    assert ended.returncode == 0, ended.stderr


def test_a_job_that_asks_for_it_is_submitted_again(ensemble):
    queue = ensemble([75, 75, 0])
    submit(queue, job="'ensemble study/study.toml --out out --set model.hidden=[4,4]'")
    done = queue.work_off()
    assert [code for code, _ in done] == [0, 0, 0], done
    told = r"ensemble study/study.toml --out out --set model.hidden=\[4,4\] "
    told += r"--site launch/sites/aurora.toml --walltime 00:24:\d\d"
    for _, log in done:
        assert re.search(told, log), log
    assert "the next job is 3.pbs" in done[1][1]
    asked = ("Account_Name", "queue", "Job_Name", "Resource_List")
    for number in (2, 3):
        assert [queue.job(number)[key] for key in asked] == [queue.job(1)[key] for key in asked]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "No job follows: this job made no progress with out/study."),
        (("MPIDL_CHAIN=0",), "No job follows: MPIDL_CHAIN = 0, so no more may."),
    ],
)
def test_a_chain_has_an_end(ensemble, words, sentence):
    queue = ensemble([75], run=1)
    if not words:
        results_so_far(queue.checkout / "out/study/run-1.h5")
    submit(queue, *words)
    ((code, log),) = queue.work_off()
    assert code == 75
    assert sentence in log


def results_so_far(path):
    import h5py

    path.parent.mkdir(parents=True)
    with h5py.File(path, "w", libver=("v108", "v110")) as file:
        file["rounds_done"], file["completed"] = 1, 1
        file.attrs["schema"], file.attrs["run_file"] = 1, ""


def test_a_refusal_of_the_next_job_is_told(ensemble):
    """The queue debug takes one job of a user, and this one still runs."""
    queue = ensemble([75])
    submit(queue, name="debug")
    ((code, log),) = queue.work_off()
    assert code == 75
    assert "qsub: would exceed queue's per-user limit" in log


def test_a_failure_starts_nothing(ensemble):
    queue = ensemble([1])
    submit(queue)
    assert [code for code, _ in queue.work_off()] == [1]


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ("", "mpidl: Nothing to start: say 'run"),
        ("run none.toml", "mpidl: Cannot read the run file none.toml"),
        ("run -n 99 run.toml", "mpidl: 99 ranks take 9 nodes; this job has 2."),
        (
            "run -n 9 run.toml",
            "mpidl: 9 ranks are too many: each needs a device, and the graph has 3.",
        ),
    ],
)
def test_a_job_that_cannot_start_says_why(pbs, job, sentence):
    queue = pbs("aurora")
    submit(queue, job=job)
    ((code, log),) = queue.work_off()
    assert code == 2
    assert sentence in log


@pytest.mark.parametrize("site", ["aurora", "polaris"])
def test_a_script_loads_what_its_site_says(site):
    """Nodes that an ensemble asks for from a login node are set up by the site file."""
    script = (ROOT / f"launch/{site}.pbs").read_text()
    said = tomllib.loads((ROOT / f"launch/sites/{site}.toml").read_text())
    for line in said["setup"]:
        assert line in script
    assert f"filesystems={said['submission']['filesystems']}" in script
    for line in said["submission"]["options"]:
        assert line in script


LONG = ("--set", "training.rounds=100000")


def submit_long(queue, *words):
    """A run that goes on until it is stopped."""
    ended = queue.qsub(
        *(*ACCOUNT, "-q", "preemptable", "-l", SELECT["polaris"].format(1), *HOUR, *words),
        *("-v", f"MPIDL_JOB=run run.toml {' '.join(LONG)},MPIDL_MARGIN=60"),
        "launch/polaris.pbs",
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_qdel_ends_a_chain(pbs):
    queue = pbs("polaris")
    with queue.serving():
        submit_long(queue)
        queue.wait_for(lambda: "round 2/" in queue.log(1))
        queue.ask("qdel", "1.pbs")
        queue.wait_for(lambda: queue.job(1)["job_state"] == "F")
    ((code, log),) = queue.done()
    assert code == 75
    assert "interrupted; the rounds so far are in results/small.h5" in log
    assert re.search(
        r"No job follows: SIGTERM came 00:5\d:\d\d before this job's time was over", log
    )


@pytest.mark.slow
def test_a_preempted_job_is_run_again_by_pbs_alone(pbs):
    queue = pbs("polaris")
    with queue.serving():
        submit_long(queue)
        queue.wait_for(lambda: "round 2/" in queue.log(1))
        queue.ask("qrerun", "1.pbs")
        queue.wait_for(lambda: "goes on after round" in queue.log(1))
        queue.ask("qdel", "1.pbs")
        queue.wait_for(lambda: queue.job(1)["job_state"] == "F")
    assert queue.job(1)["codes"] == [75, 75]
    assert len(queue.done()) == 1


@pytest.mark.slow
def test_a_warned_job_has_one_after_it_that_waits_for_it(pbs):
    """Also where PBS starts it again after it has asked for the next one."""
    queue = pbs("polaris")
    with queue.serving():
        submit_long(queue, "-r", "y", "-m", "abe", "-W", "umask=022")
        queue.wait_for(lambda: "round 2/" in queue.log(1))
        warn(queue, 1)
        queue.wait_for(lambda: (queue.state / "2.pbs.json").exists())
        queue.wait_for(lambda: "goes on after round" in queue.log(2))
        assert queue.job(1)["job_state"] == "F"
        queue.ask("qdel", "2.pbs")
        queue.wait_for(lambda: queue.job(2)["job_state"] == "F")
    first, second = queue.job(1), queue.job(2)
    assert second["depend"] == "afterany:1.pbs@stand-in"
    assert (second["Mail_Points"], second["umask"]) == ("abe", 22)
    assert second["Variable_List"]["MPIDL_JOB"] == "@results/small.h5.job"
    written = (queue.checkout / "results/small.h5.job").read_text()
    assert written == first["Variable_List"]["MPIDL_JOB"] + "\n"
    assert (queue.checkout / "results/small.h5").stat().st_mode & 0o777 == 0o644
    assert len(queue.done()) == 2


def warn(queue, number):
    """SIGUSR1 to the program of a job, as an operator sends it by qsig."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            own = f"PBS_JOBID={number}.pbs".encode() in (place / "environ").read_bytes().split(
                b"\0"
            )
            here = str(queue.state).encode() in (place / "environ").read_bytes()
            if own and here and b"mpidl.ensemble.job" in words:
                os.kill(int(place.name), signal.SIGUSR1)
