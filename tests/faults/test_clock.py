"""A clock on the wall that jumps."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

from tests.faults import jobs
from tests.faults.jobs import Job, at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not jobs.MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

JUMPS = {"10 years ahead": 315_360_000, "10 years back": -315_360_000}


@pytest.fixture(scope="session")
def clock(tmp_path_factory):
    """A library whose clock on the wall is wrong by as much as a file says."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_in_mid_run_changes_nothing(tmp_path, clock, reference, table, jump):
    offset, told = tmp_path / "offset", [sys.executable, "-c", "import time; print(time.time())"]
    offset.write_text(str(JUMPS[jump]))
    variables = {"LD_PRELOAD": str(clock), "CLOCK_FILE": str(offset)}
    now = subprocess.run(told, env={**os.environ, **variables}, capture_output=True, check=True)
    assert abs(float(now.stdout) - time.time() - JUMPS[jump]) < 60
    offset.write_text("0")
    job = Job(
        tmp_path,
        4,
        (*jobs.SAVED, "checkpoint.minutes=60", "record.seconds=3600"),
        script=at("mpidl.devices.device:Device.train", 3, 7, tmp_path),
        options=["--walltime", "1:00:00", "--patience", "60"],
        environment=variables,
    )
    job.paused()
    offset.write_text(str(JUMPS[jump]))
    job.go()
    assert job.ended() == 0, job.err
    assert job.told() == []
    jobs.check_whole(job.file, reference(4))
    import h5py

    with h5py.File(job.file) as file:
        spent = [v[()] for k, v in file["series"].items() if k.startswith("seconds_")]
    assert all(((v >= 0) & (v < 600)).all() for v in map(np.asarray, spent))
    then = "goes on, within `--walltime` and `--patience`: same numbers"
    table.add("clock jumps", f"mid-run, {jump}", 4, 0, then)


def test_a_walltime_ends_a_run_in_time_with_its_state_saved(tmp_path, table):
    settings = (*jobs.SMALL, "training.rounds=5000", "checkpoint.every=100")
    started = time.monotonic()
    job = Job(tmp_path, 4, settings, options=["--walltime", "0:00:10"])
    code = job.ended(jobs.STARTING)
    took = time.monotonic() - started
    assert code == 75, job.err
    assert took < 12
    assert job.told() == []
    done = jobs.check_rows(job.file, jobs.contents(job.file))
    assert 0 < done < 5000
    then = "a checkpoint after its last round"
    assert (job.results / "default.checkpoints" / f"{done:08}.hdf5").exists()
    table.add(
        "`--walltime 0:00:10`",
        "mid-run",
        4,
        code,
        then,
        took,
        job.out.splitlines()[-1].replace(str(job.results), "DIR"),
    )
