"""Times of a round with little work, on all ranks and in one process."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import torch

from mpidl import plan as planning
from mpidl.bench import clock
from mpidl.devices import data
from mpidl.ranks import host, mpi_library, world
from mpidl.ranks.accelerators import settle
from mpidl.ranks.world import Comm
from mpidl.run import build, rounds
from mpidl.storage.round_values import SeriesArrays

SETTINGS = ("training.steps=1", "training.batch_size=8", "data.test_samples=100", "record.every=10")
"""Settings with so little work that waiting, communication and recording remain."""


WORK = ("train", "mix", "evaluate")
"""Phases of a round that are not overhead."""


def measure(comm: Comm, repetitions: int, hardware: torch.device = clock.CPU) -> dict[str, Any]:
    """Collective. Seconds of a round on all ranks, and with all devices on the first rank alone.

    The work of a round is the time of all cores to train, mix and evaluate; on an accelerator it is
    the time of the slowest rank.
    """
    settings = [*SETTINGS, f"training.rounds={repetitions + 2}", f"topology.devices={comm.size}"]
    settings.append(f"training.accelerator={hardware.type}")
    taken, worked = _rounds(comm, settings, hardware)
    alone = _rounds(MPI.COMM_SELF, settings, hardware)[0] if comm.rank == 0 else None
    world.gathered(comm)
    spread, single = clock.Times.of(taken), clock.Times.of(comm.bcast(alone))
    accelerated = hardware.type != "cpu"
    cores, work = 1 if accelerated else min(comm.size, host.cores()), float(np.median(worked))
    return {
        "ranks": comm.size,
        **({"accelerator": hardware.type} if accelerated else {}),
        "cores": host.cores() if accelerated else cores,
        "round": spread.plain(),
        "one_process": single.plain(),
        "work": work,
        "overhead": spread.median - work / cores,
    }


def _rounds(
    comm: Comm, settings: list[str], hardware: torch.device
) -> tuple[list[float], list[float]]:
    """Collective. Seconds of each round but the first, and seconds of work in it."""
    # A core that waits for an accelerator counts as working too.
    timer, joined = (
        (time.thread_time, np.sum) if hardware.type == "cpu" else (time.perf_counter, np.max)
    )
    plan = planning.make(planning.read(None, settings, comm.size), comm.size)
    run_data = data.provide(comm, plan)
    plan = replace(plan, samples=run_data.samples)
    stamps: list[float] = []
    worked: list[float] = []

    def watch(round_: int, values: SeriesArrays) -> None:
        settle(hardware)
        stamps.append(time.monotonic())
        worked.append(float(joined(sum(values[f"seconds_{phase}"] for phase in WORK))))

    with tempfile.TemporaryDirectory() as folder:
        path = comm.bcast(Path(folder) / "bench.h5")
        with build.parts(comm, plan, run_data, path, mpi_library.check_hdf5()) as parts:
            rounds.run_rounds(replace(parts, timer=timer), watch, lambda _: None)
            parts.recorder.close(completed=True)
    return [float(seconds) for seconds in np.diff(stamps)], worked[1:]


def lines(results: dict[str, Any]) -> list[str]:
    """The comparison as lines."""
    spread, single = clock.Times(**results["round"]), clock.Times(**results["one_process"])
    work, rest = (f"{1e3 * results[key]:.2f} ms" for key in ("work", "overhead"))
    if kind := results.get("accelerator"):
        last = (
            f"the slowest rank's time to train, mix and evaluate {work}; beyond it {rest} a round"
        )
    else:
        last = (
            f"cores' time to train, mix and evaluate {work}; beyond it on "
            f"{results['cores']} cores {rest} a round"
        )
    where = f" on {kind}" if kind else ""
    return [
        f"round of {results['ranks']} devices with one step of 8 samples{where}: "
        "ms, median [quartiles]",
        f"  a rank per device, {results['cores']} cores   {spread.text():>24}",
        f"  the same in one process    {single.text():>24}",
        f"  {last}",
    ]
