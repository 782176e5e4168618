"""What a user does with mpidl, on the MPI that this Python's environment has.

``python -m tests.stacks`` runs it in every environment.
"""

import signal
import time
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

from mpidl.exchange import BACKENDS
from mpidl.ranks import mpi_library
from tests.faults import jobs
from tests.faults.jobs import Job, at
from tests.stacks.conftest import option, told

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not jobs.MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

ONE = ("training.accelerator=cpu", "training.threads=1")

HOSTED = (*jobs.SMALL, *ONE, "topology.devices=8", f"training.rounds={jobs.ROUNDS}")
"""A small run, of which each rank has several devices."""

SAVED = (*HOSTED, "checkpoint.every=3")

KILLS = mpi_library.name() == "Open MPI"
"""Whether mpiexec kills ranks that are asked to stop, as docs/reliability.md says."""

LOSES = mpi_library.version().startswith("MPICH 4.0")
"""Whether mpiexec may end with 0 after it passed on a signal, as docs/reliability.md says."""

TRAINING = "mpidl.devices.device:Device.train"


def same(path, numbers):
    """All series are those of the other stack, bit for bit."""
    found = told(path)
    assert found.keys() == numbers.keys()
    for key, values in numbers.items():
        np.testing.assert_array_equal(found[key], values, key)


@pytest.fixture
def at_most(request):
    return int(option(request, "--at-most", 8))


def test_the_main_job_gives_the_same_numbers_and_a_line_a_round(tmp_path, at_most, reference):
    settings = (*ONE, f"topology.devices={at_most}", "topology.name=ring", "training.rounds=3")
    job = Job(tmp_path, at_most, settings)
    assert job.ended(jobs.STARTING) == 0, job.err
    same(job.file, reference(*settings))
    rounds = [line for line in job.out.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in rounds] == ["1/3", "2/3", "3/3"], job.out
    assert "\x1b" not in job.out
    assert job.told() == []


def test_several_devices_on_a_rank_give_the_same_numbers(tmp_path, reference):
    job = Job(tmp_path, 2, HOSTED)
    assert job.ended(jobs.STARTING) == 0, job.err
    same(job.file, reference(*HOSTED))


def go_on(job, reference):
    """With ``--resume``, to the numbers of a run without a fault."""
    again = Job(job.folder, job.ranks, SAVED, options=["--resume"])
    assert again.ended(jobs.STARTING) == 0, again.err
    assert "goes on after round" in again.out, again.out
    same(again.file, reference(*SAVED))


def test_a_killed_rank_ends_the_job_and_the_run_goes_on(tmp_path, reference):
    # Ranks train four devices a round each: this is in round 7, after two checkpoints.
    job = Job(tmp_path, 2, SAVED, at(TRAINING, 1, 25, tmp_path))
    process = job.paused()
    time.sleep(0.5)
    job.signal(process, signal.SIGKILL)
    assert job.ended(jobs.SOON) != 0
    assert "Traceback" not in job.err
    go_on(job, reference)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)],
    ids=["SIGINT", "SIGTERM", "SIGUSR1"],
)
def test_a_signal_to_mpiexec_stops_the_run_with_a_checkpoint(tmp_path, reference, number, code):
    job = Job(tmp_path, 2, SAVED, at(TRAINING, 1, 25, tmp_path))
    job.paused()
    job.signal(job.process.pid, number)
    if KILLS and number != signal.SIGUSR1:
        assert job.ended() != 0
    else:
        job.heard()
        job.go()
        assert job.ended() in ([code, 0] if LOSES else [code]), job.out + job.err
        assert "interrupted; the rounds so far are in" in job.out
        assert "--resume" in job.out
    assert "Traceback" not in job.err
    go_on(job, reference)


def test_bad_input_is_told_once(tmp_path):
    job = Job(tmp_path, 2, [*HOSTED, "strategy.name=degre"])
    assert job.ended(jobs.STARTING) == 2, job.err
    # Open MPI's mpiexec has a note of its own for every exit code.
    assert len([line for line in job.told() if "degre" in line]) == 1, job.err
    assert "Traceback" not in job.err
    assert not job.results.exists()


def on_cpus():
    """Backends of host memory that this environment has."""
    for name in BACKENDS:
        about = BACKENDS.properties(name)
        carried = not about.carries or "cpu" in about.carries
        if carried and (about.available is None or about.available("cpu", False)):
            yield name


@pytest.mark.parametrize("backend", sorted(on_cpus()))
def test_every_backend_gives_the_same_numbers(tmp_path, reference, backend):
    settings = HOSTED
    if backend == "allreduce":
        settings = (*HOSTED, "strategy.name=federated")
    job = Job(tmp_path, 2, [*settings, f"exchange.backend={backend}"])
    assert job.ended(jobs.STARTING) == 0, job.err
    same(job.file, reference(*settings))


def test_the_mpiexec_of_another_mpi_is_told_in_a_sentence(tmp_path, request):
    foreign = option(request, "--foreign")
    if foreign is None:
        pytest.skip("no mpiexec of another MPI was named (--foreign)")
    job = Job(tmp_path, 2, HOSTED, mpiexec=Path(str(foreign)))
    assert job.ended(jobs.STARTING) == 2, job.err
    said = [line for line in job.told() if line.startswith("mpidl: ")]
    assert len(said) == 1, job.err
    assert "mpiexec" in said[0]
    assert not job.results.exists()
