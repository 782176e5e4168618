"""However a job ends early, it ends by itself: no hang, no stray process, a file that can be read.

Each test starts mpiexec on its own; the time limits only guard against the hang that is tested for.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mpidl import host, start
from mpidl.world import MPI

MPIEXEC = Path(sys.executable).with_name("mpiexec")
STARTING, ENDING = 180.0, 60.0
"""Seconds that a job may take to start, on a machine with much else to do, and to end."""

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

SMALL = (
    "topology.name=ring",
    "data.train_samples=60",
    "data.test_samples=20",
    "training.steps=1",
    "training.accelerator=cpu",
    "record.every=2",
)

KILLED = 9
"""Hydra joins the codes of all ranks bit by bit; this is that of the ranks it had to kill."""

BANNER = ("=", "YOUR APPLICATION", "This typically", "Please see")
"""How the lines begin that Hydra then prints."""

FAILING = """
import sys
from mpidl import device, faults, run, world

rank, where, train = world.MPI.COMM_WORLD.rank, sys.argv.pop(1), device.Device.train
# The others never come, however long a lonely rank waits.
world.PATIENCE = 1.0

def fail(self, round_):
    if rank == 1 and round_ == 1:
        lonely = faults.Fault("A lonely fault.")
        raise {"error": RuntimeError("injected"), "exit": SystemExit(7), "fault": lonely}[where]
    return train(self, round_)

device.Device.train = fail
sys.exit(run.main())
"""


def job(ranks, script, folder, *settings, fork=1):
    """Start ranks of a script with a small run; its processes know the folder as an argument."""
    overrides = [part for setting in (*SMALL, *settings) for part in ("--set", setting)]
    environment = host.unlaunched(os.environ)
    environment[start.SWITCH] = str(fork)
    return subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), sys.executable, *script, *overrides, "--out", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def left_over(folder):
    """Processes that were started for a folder and live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def parent(number):
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def roles(process, folder):
    """The processes of a job, by what they are."""
    parents = {n: parent(n) for n in left_over(folder) if n != process.pid}
    ranks = [n for n, p in parents.items() if parents.get(p) in parents]
    importers = {parents[n] for n in ranks}
    stand_ins = [n for n in parents if ranks and n not in importers and n not in ranks]
    return {
        "a rank": ranks or list(parents),
        "the importer": list(importers),
        "the importer's parent": [parents[n] for n in importers],
        "a stand-in": [n for n in stand_ins if n not in {parents[i] for i in importers}],
    }


def end(folder):
    for number in left_over(folder):
        os.kill(number, signal.SIGKILL)


def wait_for(process, folder, text):
    """Read on until a line says so; a job that never does is ended, and the test with it."""
    watchdog = threading.Timer(STARTING, end, [folder])
    watchdog.start()
    try:
        assert any(line.startswith(text) for line in iter(process.stdout.readline, ""))
    finally:
        watchdog.cancel()


def ended(process, folder):
    """Exit code, stdout and stderr of a job that ends by itself, in time, and leaves no process."""
    try:
        out, err = process.communicate(timeout=ENDING)
    except subprocess.TimeoutExpired:
        end(folder)
        out, err = process.communicate()
        pytest.fail(f"the job hung\n{out}\n{err}")
    deadline = time.monotonic() + 5
    while left_over(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(folder) == []
    return process.returncode, out, err


def contents(path):
    import h5py

    with h5py.File(path, "r") as file:
        keys = ("rounds_done", "completed", "series/train_loss", "series/iid_loss_mixed")
        return [file[key][()] for key in keys]


@pytest.mark.parametrize(
    ("where", "ranks", "last"),
    [("error", 3, "RuntimeError: injected"), ("exit", 2, "SystemExit: 7")],
)
def test_a_failing_rank_ends_the_job_with_its_traceback(tmp_path, where, ranks, last):
    process = job(ranks, ["-c", FAILING, where], tmp_path, "training.rounds=50")
    wait_for(process, tmp_path, "round 1/")
    code, _, err = ended(process, tmp_path)
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
    rounds_done, completed, *_ = contents(tmp_path / "default.h5")
    assert (rounds_done, completed) == (0, 0)


def test_a_users_fault_on_one_rank_only_ends_the_job_too(tmp_path):
    """Faults should be agreed on by all ranks; where the program forgets, nobody waits for ever."""
    process = job(2, ["-c", FAILING, "fault"], tmp_path, "training.rounds=50")
    wait_for(process, tmp_path, "round 1/")
    code, _, err = ended(process, tmp_path)
    # Hydra may kill the rank that aborts before it has left with its own code.
    assert code in (2, 2 | KILLED, KILLED)
    assert "mpidl: A lonely fault." in err.splitlines()


def test_ctrl_c_ends_the_run_after_its_round(tmp_path):
    process = job(3, ["-m", "mpidl.run"], tmp_path, "training.rounds=5000")
    wait_for(process, tmp_path, "round 3/")
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process, tmp_path)
    assert code == 130
    assert "Traceback" not in err
    assert f"interrupted; the rounds so far are in {tmp_path / 'default.h5'}" in out
    rounds_done, completed, *series = contents(tmp_path / "default.h5")
    assert completed == 0
    assert 3 <= rounds_done < 5000
    for values in series:
        assert np.isfinite(values[:rounds_done]).all()
        assert np.isnan(values[rounds_done:]).all()


@pytest.mark.parametrize(
    ("fork", "victim"),
    [
        (0, "a rank"),
        (1, "a rank"),
        (1, "a stand-in"),
        (1, "the importer"),
        (1, "the importer's parent"),
    ],
)
def test_a_killed_process_ends_the_job_and_the_file_is_readable(tmp_path, fork, victim):
    process = job(3, ["-m", "mpidl.run"], tmp_path, "training.rounds=5000", fork=fork)
    wait_for(process, tmp_path, "round 5/")
    os.kill(max(roles(process, tmp_path)[victim]), signal.SIGKILL)
    code, _, _ = ended(process, tmp_path)
    assert code != 0
    rounds_done, completed, *series = contents(tmp_path / "default.h5")
    assert completed == 0
    assert rounds_done >= 4
    for values in series:
        assert np.isfinite(values[:rounds_done]).all()


SLEEPING = """
import os, pathlib, sys, time
from mpidl import device, run

folder, train = pathlib.Path(sys.argv[-1]), device.Device.train

def stay(self, round_):
    if self.number == 1 and round_ == 2:
        (folder / "process").write_text(str(os.getpid()))
        time.sleep(10_000)
    return train(self, round_)

device.Device.train = stay
sys.exit(run.main())
"""


def segments(folder):
    """Names of the memory that the processes of a job share."""
    names = set()
    for process in left_over(folder):
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            if "/dev/shm/" in line:
                names.add(line[line.index("/dev/shm/") :].removesuffix(" (deleted)"))
    return names


@pytest.mark.parametrize("backend", ["shared", "mpi"])
def test_a_rank_killed_while_others_wait_for_it_ends_the_job_and_leaves_no_memory(
    tmp_path, backend
):
    """Three ranks sleep at the gate; the fourth, for which they wait, is killed."""
    folder = tmp_path / "results"
    folder.mkdir()
    process = job(4, ["-c", SLEEPING], folder, f"exchange.backend={backend}")
    wait_for(process, folder, "round 2/")
    deadline = time.monotonic() + STARTING
    while not (folder / "process").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    shared = segments(folder)
    os.kill(int((folder / "process").read_text()), signal.SIGKILL)
    code, _, _ = ended(process, folder)
    assert code != 0
    assert contents(folder / "default.h5")[:2] == [2, 0]
    assert shared
    assert not [name for name in shared if os.path.exists(name)]


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
