"""However a job ends early, it ends by itself: no hang, no stray process, a file that can be read.

Each test starts mpiexec on its own; the time limits only guard against the hang that is tested for.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

from tests.faults import jobs
from tests.faults.jobs import BANNER, KILLED, MPIEXEC, RUN, SMALL, STARTING, Job, roles

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

FAILING = """
import sys
from mpidl.config import faults
from mpidl.devices import device
from mpidl.ranks import world
from mpidl.run.command import main
from mpi4py import MPI

rank, where, train = MPI.COMM_WORLD.rank, sys.argv.pop(1), device.Device.train
# The others never come, however long a lonely rank waits.
world.PATIENCE = 1.0

def fail(self, round_):
    if rank == 1 and round_ == 1:
        raise {
            "error": RuntimeError("injected"),
            "exit": SystemExit(7),
            "fault": faults.Fault("A lonely fault."),
            "memory": RuntimeError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has 1."),
        }[where]
    return train(self, round_)

device.Device.train = fail
sys.exit(main())
"""

TERMINAL = """
import os, pty, sys, termios
process, terminal = pty.fork()
if process == 0:
    termios.tcsetwinsize(0, (24, 80))
    os.execv(sys.argv[1], sys.argv[1:])
while told := os.read(terminal, 4096):
    os.write(1, told)
"""
"""Has a terminal, which closes when it ends."""


def started(folder, ranks, rounds, script=RUN, fork=1):
    """A small run of so many rounds."""
    return Job(folder, ranks, (*SMALL, f"training.rounds={rounds}"), script, fork=fork)


def ended(job):
    """Exit code, stdout and stderr of a job that ends by itself, in time, and leaves nothing."""
    return job.ended(), job.out, job.err


def contents(path):
    found = jobs.contents(path)
    keys = ("rounds_done", "completed", "series/train_loss", "series/iid_loss_mixed")
    return [found[key] for key in keys]


@pytest.mark.parametrize(
    ("where", "ranks", "last"),
    [
        ("error", 3, "RuntimeError: injected"),
        pytest.param("exit", 2, "SystemExit: 7", marks=pytest.mark.slow),
    ],
)
def test_a_failing_rank_ends_the_job_with_its_traceback(tmp_path, where, ranks, last):
    job = started(tmp_path, ranks, 50, ["-c", FAILING, where])
    job.wait_for("round 1/")
    code, _, err = ended(job)
    assert code in (1, 1 | KILLED)
    lines = err.splitlines()
    assert [line for line in lines if line.startswith("[rank ")] == [
        "[rank 1] Traceback (most recent call last):"
    ]
    assert last in lines
    assert "in fail" in err
    # Nothing else buries it: MPI and HDF5 have their own ways to end badly.
    behind = lines[lines.index(last) + 1 :]
    assert len([line for line in behind if line and not line.startswith(BANNER)]) < 4
    rounds_done, completed, *_ = contents(job.file)
    assert (rounds_done, completed) == (0, 0)


def test_a_rank_whose_accelerator_has_no_memory_left_ends_the_job_with_a_sentence(tmp_path):
    job = started(tmp_path, 2, 50, ["-c", FAILING, "memory"])
    code, _, err = ended(job)
    assert code in (1, 1 | KILLED)
    (told,) = [line for line in err.splitlines() if line.startswith("mpidl: ")]
    assert told.startswith("mpidl: rank 1: an accelerator of ")
    assert "no memory left (CUDA out of memory. Tried to allocate 2 GiB): use fewer devices" in told
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_users_fault_on_one_rank_only_ends_the_job_too(tmp_path):
    """Faults should be agreed on by all ranks; where the program forgets, nobody waits for ever."""
    job = started(tmp_path, 2, 50, ["-c", FAILING, "fault"])
    job.wait_for("round 1/")
    code, _, err = ended(job)
    # Hydra may kill the rank that aborts before it has left with its own code.
    assert code in (2, 2 | KILLED, KILLED)
    assert "mpidl: A lonely fault." in err.splitlines()


def test_ctrl_c_ends_the_run_after_its_round(tmp_path):
    job = started(tmp_path, 3, 5000)
    job.wait_for("round 3/")
    job.process.send_signal(signal.SIGINT)
    code, out, err = ended(job)
    assert code == 130
    assert "Traceback" not in err
    assert f"interrupted; the rounds so far are in {job.file}" in out
    rounds_done, completed, *series = contents(job.file)
    assert completed == 0
    assert 3 <= rounds_done < 5000
    for values in series:
        assert np.isfinite(values[:rounds_done]).all()
        assert np.isnan(values[rounds_done:]).all()


def listens(process):
    """Whether a process does something of its own about SIGUSR1."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGUSR1 - 1) & 1)


@pytest.mark.slow
def test_a_request_during_the_start_is_remembered(tmp_path):
    job = started(tmp_path, 2, 5000)

    def ready():
        stand_ins = [n for n in jobs.left_over(tmp_path) if n != job.process.pid]
        return len(stand_ins) > 1 and all(map(listens, stand_ins))

    job.until(ready, "listened")
    job.process.send_signal(signal.SIGUSR1)
    code, out, err = ended(job)
    assert (code, err) == (75, "")
    assert out == "interrupted while it started; nothing is changed, --resume begins or goes on\n"
    assert not job.results.exists()


@pytest.mark.slow
def test_a_closed_terminal_lets_the_run_save_its_state(tmp_path):
    terminal = [sys.executable, "-c", TERMINAL]
    job = Job(tmp_path, 3, (*SMALL, "training.rounds=5000"), prefix=terminal)
    job.until(lambda: " 3/5000" in job.out, "did three rounds")
    job.signal(job.process.pid, signal.SIGKILL)
    # Nothing but the ranks is left, and they end by themselves.
    ended(job)
    rounds_done = contents(job.file)[0]
    assert rounds_done >= 3
    saved = job.results / "default.checkpoints" / f"{rounds_done:08}.hdf5"
    assert saved.exists()


@pytest.mark.parametrize(
    ("fork", "victim"),
    [
        pytest.param(0, "a rank", marks=pytest.mark.slow),
        (1, "a rank"),
        pytest.param(1, "a stand-in", marks=pytest.mark.slow),
        pytest.param(1, "the importer", marks=pytest.mark.slow),
        pytest.param(1, "the importer's parent", marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_ends_the_job_and_the_file_is_readable(tmp_path, fork, victim):
    job = started(tmp_path, 3, 5000, fork=fork)
    job.wait_for("round 5/")
    os.kill(max(roles(job)[victim]), signal.SIGKILL)
    code, _, _ = ended(job)
    assert code != 0
    rounds_done, completed, *series = contents(job.file)
    assert completed == 0
    assert rounds_done >= 4
    for values in series:
        assert np.isfinite(values[:rounds_done]).all()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["shared", "mpi"])
def test_a_rank_killed_while_others_wait_for_it_ends_the_job_and_leaves_no_memory(
    tmp_path, backend
):
    """Three ranks sleep at the gate; the fourth, for which they wait, is killed."""
    script = jobs.at("mpidl.devices.device:Device.train", 1, 2, tmp_path)
    job = Job(tmp_path, 4, (*SMALL, f"exchange.backend={backend}"), script)
    process = job.paused()
    job.wait_for("round 2/")
    job.signal(process, signal.SIGKILL)
    assert job.ended() != 0
    assert contents(job.file)[:2] == [2, 0]
    assert job.shared


@pytest.mark.parametrize("variable", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_singletons_are_told_in_one_sentence(tmp_path, variable):
    """What happens when mpiexec and mpi4py belong to different libraries."""
    result = subprocess.run(
        [sys.executable, "-m", "mpidl.run", "--out", tmp_path],
        env={**os.environ, variable: "4"},
        capture_output=True,
        text=True,
        timeout=STARTING,
        check=False,
    )
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert "4 ranks" in sentence
    assert "1" in sentence
    assert sentence.endswith(".")
    assert list(tmp_path.iterdir()) == []
