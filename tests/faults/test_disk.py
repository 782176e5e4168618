"""Disks that are full, folders and files that are taken away, readers at any time."""

import os
import shutil
import subprocess
import sys
import time

from mpi4py import MPI

import pytest

from tests.faults import jobs
from tests.faults.conftest import fill
from tests.faults.jobs import Job, at

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not jobs.MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

UNSAVED = "stopped, as no checkpoint can be written ("


def unsaved(job):
    """What a run says that ended in order, as its state could not be saved."""
    assert job.err == ""
    line = job.out.splitlines()[-1]
    assert line.startswith(UNSAVED)
    assert line.endswith("--resume goes on")
    return line.replace(str(job.results), "DIR")


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start_is_told_in_a_sentence(
    tmp_path, disk, reference, resumed, table
):
    ballast = fill(disk)
    started = time.monotonic()
    job = Job(tmp_path, 4)
    code = job.ended()
    took = time.monotonic() - started
    assert code == 2
    (said,) = job.told()
    assert said.startswith(f"mpidl: Cannot write results to {job.file}: ")
    ballast.unlink()
    said = said.replace(str(job.results), "DIR")
    table.add("disk full", "start-up", 4, code, resumed(job), took, said)


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["parallel", "gather"])
def test_a_disk_that_gets_full_while_rows_are_recorded_changes_nothing(
    tmp_path, disk, reference, table, writer
):
    settings = (*jobs.SMALL, f"training.rounds={jobs.ROUNDS}", f"record.writer={writer}")
    script = at("mpidl.storage.recorder:Recorder._write", 0, 20, tmp_path)
    job = Job(tmp_path, 4, settings, script)
    job.paused()
    fill(disk)
    job.go()
    assert job.ended() == 0, job.err
    assert job.told() == []
    jobs.check_whole(job.file, reference(4))
    where = f"recording (writer {writer}), no checkpoints"
    table.add("disk full", where, 4, 0, "goes on, as the file has its room: same numbers")


@pytest.mark.parametrize(
    ("where", "rank"),
    [
        pytest.param("laying out", 0, marks=pytest.mark.slow),
        ("writing", 0),
        pytest.param("writing", 3, marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_gets_full_while_the_state_is_saved_ends_the_run_in_order(
    tmp_path, disk, reference, resumed, table, where, rank
):
    place = {"laying out": "sealed:lay_out", "writing": "sealed:write"}[where]
    settings = jobs.SAVED
    job = Job(tmp_path, 4, settings, at(f"mpidl.storage.checkpoint.{place}", rank, 1, tmp_path))
    job.paused()
    ballast = fill(disk)
    struck = job.go()
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    if where == "laying out":
        assert code == 1
        said = unsaved(job)
        assert "No space left on device" in said
    else:
        # Its room may have been taken before the disk was full.
        assert code in (0, 1), job.err
        said = unsaved(job) if code else ""
    done = jobs.check_rows(job.file, reference(4, settings))
    assert done >= 6
    ballast.unlink()
    then = resumed(job, settings)
    table.add("disk full", f"checkpointing: {where}, rank {rank}", 4, code, then, took, said)


GONE = "was removed or replaced while the run wrote it"


TAKEN = (
    *("results folder removed", "results folder renamed"),
    *("results file removed", "results file replaced", "checkpoints removed"),
)


@pytest.mark.slow
@pytest.mark.parametrize("what", TAKEN)
@pytest.mark.parametrize("writer", ["parallel", "gather"])
def test_files_that_are_taken_away_in_mid_run(tmp_path, reference, resumed, table, what, writer):
    settings = (*jobs.SAVED, f"record.writer={writer}")
    job = Job(tmp_path, 4, settings, at("mpidl.devices.device:Device.train", 3, 7, tmp_path))
    job.paused()
    time.sleep(0.3)
    if what == "results folder removed":
        shutil.rmtree(job.results)
    elif what == "results folder renamed":
        job.results.rename(tmp_path / "elsewhere")
    elif what == "results file removed":
        job.file.unlink()
    elif what == "results file replaced":
        shutil.copy(job.file, tmp_path / "copy")
        os.replace(tmp_path / "copy", job.file)
    else:
        shutil.rmtree(job.results / "default.checkpoints")
    struck = job.go()
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    if what == "checkpoints removed" and code == 1:
        # One of them was being written.
        said = unsaved(job)
        assert "No such file or directory" in said
        then = resumed(job, settings)
    elif what == "checkpoints removed":
        # The folder is made again.
        assert code == 0, job.err
        jobs.check_whole(job.file, reference(4, settings))
        then, said = "goes on: same numbers", ""
    else:
        assert code in (1, 1 | jobs.KILLED)
        told = [line for line in job.told() if not line.startswith(" ")]
        assert [line for line in told if line.startswith("[rank ")] == [
            "[rank 0] Traceback (most recent call last):"
        ]
        said = f"a traceback of rank 0: RuntimeError: DIR/default.h5 {GONE}"
        assert f"RuntimeError: {job.file} {GONE}" in told
        then = resumed(job, settings)
    table.add(what, f"mid-run (writer {writer})", 4, code, then, took, said)


@pytest.mark.slow
def test_a_folder_that_becomes_read_only_in_mid_run_ends_it_in_order(
    tmp_path, bound, reference, resumed, table
):
    script = at("mpidl.devices.device:Device.train", 3, 7, tmp_path)
    job = Job(tmp_path, 4, script=script, prefix=bound)
    job.paused()
    checkpoints = job.results / "default.checkpoints"
    for place in (checkpoints, job.results):
        place.chmod(0o555)
    struck = job.go()
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    assert code == 1, job.err
    said = unsaved(job)
    assert "Permission denied" in said
    assert jobs.check_rows(job.file, reference(4)) >= 8
    for place in (job.results, checkpoints):
        place.chmod(0o755)
    then = resumed(job, prefix=bound)
    table.add("results folder made read-only", "mid-run", 4, code, then, took, said)


READING = """
import sys, time
from pathlib import Path

import h5py
import mpidl

path, stop, reads, seen = Path(sys.argv[1]), Path(sys.argv[2]), 0, set()
while not stop.exists():
    if not path.exists():
        time.sleep(0.01)
        continue
    with h5py.File(path, "r") as file:
        done = int(file["rounds_done"][()])
        assert (file["series/finite"][:done] == 1).all()
    found = mpidl.open(path)
    done = found.attrs["rounds_done"]
    assert found.sizes["round"] == done
    assert bool(found.train_loss.notnull().all())
    reads += 1
    time.sleep(0.01)
    seen.add(done)
print(reads, len(seen))
"""


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["parallel", "gather"])
@pytest.mark.parametrize("locking", [None, "TRUE"], ids=["plain", "locks"])
def test_a_file_that_is_read_all_the_time_is_written_all_the_same(
    tmp_path, reference, table, writer, locking
):
    settings = (*jobs.SAVED, f"record.writer={writer}", "record.every=1")
    variables = {} if locking is None else {"HDF5_USE_FILE_LOCKING": locking}
    stop = tmp_path / "stop"
    job = Job(tmp_path, 4, settings)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READING, job.file, stop],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        for _ in range(2)
    ]
    try:
        job.process.wait(timeout=jobs.STARTING)
    finally:
        stop.touch()
        told = [reader.communicate(timeout=jobs.ENDING) for reader in readers]
    assert job.ended() == 0, job.err
    assert job.told() == []
    assert [err for _, err in told] == ["", ""]
    jobs.check_whole(job.file, reference(4, settings))
    how = "" if locking is None else ", which locks it"
    table.add(
        f"two readers at any time{how}",
        f"mid-run (writer {writer})",
        4,
        0,
        "goes on: same numbers; readers see whole rows only",
    )
