"""A round of small work on all ranks against the same arithmetic in one process."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np

from mpidl import build, host, plan, rounds, shards, world
from mpidl.bench import clock
from mpidl.rows import Table
from mpidl.world import Comm

SETTINGS = ("training.steps=1", "training.batch_size=8", "data.test_samples=100", "record.every=10")
"""So little work that what remains is waiting, telling and recording."""


WORK = ("train", "mix", "evaluate")
"""Phases of a round that are not overhead."""


def measure(comm: Comm, repetitions: int) -> dict[str, Any]:
    """Collective. Seconds of a round on all ranks, and with all devices on the first rank alone.

    The work of a round is what its ranks take of their cores to train, mix and evaluate.
    """
    settings = [*SETTINGS, f"training.rounds={repetitions + 2}", f"topology.devices={comm.size}"]
    taken, worked = _rounds(comm, settings)
    alone = _rounds(MPI.COMM_SELF, settings)[0] if comm.rank == 0 else None
    world.gathered(comm)
    spread, single = clock.Times.of(taken), clock.Times.of(comm.bcast(alone))
    cores, work = min(comm.size, host.cores()), float(np.median(worked))
    return {
        "ranks": comm.size,
        "cores": cores,
        "round": spread.plain(),
        "one_process": single.plain(),
        "work": work,
        "overhead": spread.median - work / cores,
    }


def _rounds(comm: Comm, settings: list[str]) -> tuple[list[float], list[float]]:
    """Collective. Seconds of each round but the first, and those of all ranks' work in it."""
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    stock = shards.provide(comm, made)
    stamps: list[float] = []
    worked: list[float] = []

    def watch(round_: int, values: Table) -> None:
        stamps.append(time.monotonic())
        worked.append(sum(float(values[f"seconds_{phase}"].sum()) for phase in WORK))

    with tempfile.TemporaryDirectory() as folder:
        path = comm.bcast(Path(folder) / "bench.h5")
        with build.parts(comm, made, stock, path, world.check_hdf5()) as parts:
            rounds.run_rounds(replace(parts, timer=time.thread_time), watch, lambda _: None)
            parts.recorder.close(completed=True)
    return [float(seconds) for seconds in np.diff(stamps)], worked[1:]


def told(found: dict[str, Any]) -> list[str]:
    """The comparison as lines."""
    spread, single = clock.Times(**found["round"]), clock.Times(**found["one_process"])
    return [
        f"round of {found['ranks']} devices with one step of 8 samples: ms, median [quartiles]",
        f"  a rank per device, {found['cores']} cores   {spread.told():>24}",
        f"  the same in one process    {single.told():>24}",
        f"  cores' time to train, mix and evaluate {1e3 * found['work']:.2f} ms; beyond it on "
        f"{found['cores']} cores {1e3 * found['overhead']:.2f} ms a round",
    ]
