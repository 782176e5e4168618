"""What a batch script hands over to, without a batch system; with one, see the folder launch."""

import time
from pathlib import Path

import pytest

from mpidl import walltime
from mpidl.ensemble import allocation, job, sites
from mpidl.ensemble.job import Work
from mpidl.faults import Fault

WAIT = "trap 'exit 75' USR1; while :; do sleep 0.05; done"


def test_work_is_warned_before_its_nodes_are_taken_away(capfd):
    begin = time.time()
    assert job.start(Work(["sh", "-c", WAIT], {}, Path()), begin + 1.5, []) == 75
    assert time.time() - begin > 1.4
    assert "the time is over" in capfd.readouterr().out


def test_work_that_a_signal_ends_has_a_shells_exit_code():
    assert job.start(Work(["sh", "-c", "kill -9 $$"], {}, Path()), None, []) == 137


def test_work_that_is_warned_before_it_listens_is_started_again(capfd):
    assert job.start(Work(["sleep", "20"], {}, Path()), None, [15]) == 75
    assert "SIGTERM; asked to stop" in capfd.readouterr().out


JOB = {
    "Account_Name": "project",
    "Job_Name": "mpidl",
    "queue": "medium",
    "Resource_List": {
        "filesystems": "home:flare",
        "ncpus": 249600,
        "place": "scatter",
        "select": "1200",
        "walltime": "18:00:00",
    },
}


def test_the_next_job_goes_through_the_queue_that_routes():
    words = " ".join(job.resources(sites.read("aurora"), JOB))
    wanted = "-A project -q prod -N mpidl -l select=1200 -l place=scatter -l walltime=18:00:00"
    assert words == f"{wanted} -l filesystems=home:flare"


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("run a.toml", "run a.toml"), ("a[1,2]", '"a[1,2]"'), ('a["1,2"]', "'a[\"1,2\"]'")],
)
def test_commas_are_quoted_for_qsub(value, quoted):
    assert job.quoted(value) == quoted


def test_an_ensemble_gets_further_by_rounds_that_are_done(tmp_path):
    import h5py

    for name, rounds, completed in (("a", 5, 1), ("b", 3, 0), ("b.unfinished-1", 9, 0)):
        with h5py.File(tmp_path / f"{name}.h5", "w", libver=("v108", "v110")) as file:
            file["rounds_done"], file["completed"] = rounds, completed
            file.attrs["schema"], file.attrs["run_file"] = 1, ""
    (tmp_path / "c.h5").write_text("half a file")
    assert job.rounds(tmp_path) == 5 + 1 + 3
    assert job.rounds(tmp_path / "b.h5") == 3
    assert job.rounds(tmp_path / "none") == 0


def test_hosts_of_a_job_of_pbs(tmp_path, monkeypatch):
    site = sites.read("aurora")
    monkeypatch.delenv("PBS_JOBID", raising=False)
    with pytest.raises(Fault, match="PBS_JOBID is not set"):
        allocation.hosts(site)
    monkeypatch.setenv("PBS_JOBID", "1.pbs")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    (tmp_path / "nodes").write_text("a.alcf\na.alcf\nb.alcf\n")
    assert allocation.hosts(site) == ["a.alcf", "b.alcf"]


@pytest.mark.parametrize(("clock", "want"), [("00:01:30", 90), ("100:00:00", 360_000)])
def test_clocks(clock, want):
    assert walltime.of_clock(clock) == want
    assert allocation.clock(want) == clock
