"""A round of small work on all ranks against the same arithmetic in one process."""

import tempfile
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np

from mpidl import build, plan, rounds, shards, world
from mpidl.bench import clock
from mpidl.world import Comm

SETTINGS = ("training.steps=1", "training.batch_size=8", "data.test_samples=100", "record.every=10")
"""So little work that what remains is waiting, telling and recording."""


def measure(comm: Comm, repetitions: int) -> dict[str, Any]:
    """Collective. Seconds of a round on all ranks, and with all devices on the first rank alone."""
    settings = [*SETTINGS, f"training.rounds={repetitions + 2}", f"topology.devices={comm.size}"]
    spread = clock.Times.of(_rounds(comm, settings))
    alone = _rounds(MPI.COMM_SELF, settings) if comm.rank == 0 else None
    world.gathered(comm)
    single = clock.Times.of(comm.bcast(alone))
    cores = min(comm.size, world.cores())
    return {
        "ranks": comm.size,
        "cores": cores,
        "round": spread.plain(),
        "one_process": single.plain(),
        "overhead": spread.median - single.median / cores,
    }


def _rounds(comm: Comm, settings: list[str]) -> list[float]:
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    stock = shards.provide(comm, made)
    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = comm.bcast(Path(folder) / "bench.h5")
        with build.parts(comm, made, stock, path, world.check_hdf5()) as parts:
            rounds.run_rounds(parts, lambda *_: stamps.append(time.monotonic()), lambda: False)
            parts.recorder.close(completed=True)
    return [float(seconds) for seconds in np.diff(stamps)]


def told(found: dict[str, Any]) -> list[str]:
    """The comparison as lines."""
    spread, single = clock.Times(**found["round"]), clock.Times(**found["one_process"])
    return [
        f"round of {found['ranks']} devices with one step of 8 samples: ms, median [quartiles]",
        f"  a rank per device, {found['cores']} cores   {spread.told():>24}",
        f"  the same in one process    {single.told():>24}",
        f"  beyond that work on {found['cores']} cores: {1e3 * found['overhead']:.2f} ms a round",
    ]
