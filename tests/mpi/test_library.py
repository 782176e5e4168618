"""A program that calls ``main`` finds its process as it was, however often it does."""

import random
import signal
import threading

from mpi4py import MPI

import numpy as np
import pytest
import torch

from mpidl.ranks import stopping, watchdog, world
from mpidl.run import command

pytestmark = pytest.mark.dealt

SMALL = [
    f"--set={setting}"
    for setting in (
        "topology.name=ring",
        "data.train_samples=40",
        "data.test_samples=20",
        "model.hidden=[2]",
        "training.rounds=1",
        "training.steps=1",
        "training.accelerator=cpu",
    )
]
CALLS, ENOUGH = 30, 256


def handles():
    """Collective. How far MPI's numbers for communicators, windows, data types and infos go.

    It gives those that are free, in any order: enough of them are taken to see the next new one.
    Empty where the MPI is not MPICH, as handles are addresses there.
    """
    # Of tests before, whose errors no command ended.
    world.free_left()
    if "MPICH" not in MPI.Get_library_version():
        return []
    kinds = (
        MPI.COMM_SELF.Dup,
        lambda: MPI.Win.Allocate(8, comm=MPI.COMM_SELF),
        lambda: MPI.INT.Create_contiguous(3),
        MPI.Info.Create,
    )
    last = []
    for make in kinds:
        made = [make() for _ in range(ENOUGH)]
        last.append(max(MPI._handleof(one) for one in made))
        for one in made:
            one.Free()
    return last


def threads():
    """Names of threads; not those of a class of its own, such as the progress bar of a library."""
    plain = (type(threading.main_thread()), threading.Thread)
    return sorted(thread.name for thread in threading.enumerate() if type(thread) in plain)


def state():
    """What a process has of its own, and a run changes."""
    numbers = (signal.SIGINT, *stopping.WARNINGS)
    return {
        "handlers": [signal.getsignal(number) for number in numbers],
        "threads": torch.get_num_threads(),
        "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
        "alive": threads(),
        "watchdog": watchdog.on_duty,
        "asked": list(stopping.asked),
    }


@pytest.fixture
def call(comm, shared_path, capfd):
    """As ``call(*words)``: collective; the command, in this process; its exit code."""

    def start(*words):
        try:
            return command.main([*SMALL, "--out", str(shared_path), *words])
        except SystemExit as ended:
            return ended.code

    return start


def test_many_calls_take_no_more_handles_than_one(comm, call):
    torch.set_num_threads(2)
    torch.manual_seed(5)
    call("--overwrite")
    before, taken = state(), handles()
    for _ in range(CALLS // comm.size):
        assert call("--overwrite") == 0
    # What is refused before, while and after data are read.
    assert call("--set=training.lr=-1") == 2
    assert call() == 2
    assert call("--overwrite", "--set=data.train_samples=100000") == 2
    assert call("--overwrite", "--check") == 0
    assert state() == before
    assert handles() == taken


@pytest.mark.parametrize("backend", ["mpi", "gloo"])
def test_no_backend_leaves_handles(comm, call, backend):
    """Among them is what splits communicators, and what makes data types."""
    words = "--overwrite", f"--set=exchange.backend={backend}"
    assert call(*words) == 0
    before, taken = state(), handles()
    assert [call(*words) for _ in range(3)] == [0, 0, 0]
    assert state() == before
    assert handles() == taken


def test_a_thread_may_call(comm, call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call("--overwrite")))
    before = state()
    thread.start()
    thread.join()
    assert found == [0]
    assert state() == before
