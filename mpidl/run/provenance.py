"""Provenance of a result: versions, machine and choices, for the results file and the reader."""

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpidl import plan as planning
from mpidl.components import graphs
from mpidl.config import version
from mpidl.devices.data import RunData
from mpidl.plan import Plan, sentences, warnings
from mpidl.ranks import hdf5, host, mpi_library, watchdog
from mpidl.ranks.world import Comm
from mpidl.run.hardware import Hardware
from mpidl.storage import code_records, schema

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


def command() -> str:
    """The command line of every rank, as one types it."""
    program, *arguments = sys.argv
    here = Path(program) == Path(__file__).with_name("__main__.py")
    words = ["python", "-m", "mpidl.run", *arguments] if here else sys.argv
    return shlex.join(words).encode(errors="backslashreplace").decode()


def attributes(
    comm: Comm, plan: Plan, run_data: RunData, backend: str, hardware: Hardware
) -> dict[str, Any]:
    """Collective. Attributes of the results file about its origin; empty except on rank 0."""

    def contents() -> dict[str, Any]:
        chance = plan.file.topology.link_probability
        return {
            schema.GRAPH_DIGEST: graphs.digest(plan.topology, chance),
            schema.DATA_DIGEST: run_data.traits.content.digest,
            schema.DATA_PUBLISHED: run_data.traits.content.published,
        }

    precision = plan.file.training.precision
    return described(comm, plan.file.portable().text(), contents, precision, backend, hardware)


def described(
    comm: Comm,
    run_file: str,
    contents: Callable[[], dict[str, Any]],
    precision: str,
    backend: str,
    hardware: Hardware,
) -> dict[str, Any]:
    """Collective. Attributes of a results file about machine and versions; as :func:`attributes`.

    Args:
        comm: All ranks.
        run_file: The text of the run file.
        contents: Returns attributes about graph and data; called on rank 0.
        precision: The precision in which models compute.
        backend: The name of the exchange backend.
        hardware: The hardware of the run.
    """
    import numpy as np
    import torch

    hosts = comm.gather(host.name())
    if hosts is None:
        return {}
    return {
        "mpidl": version.number(),
        "commit": version.commit(),
        "run_file": run_file,
        **contents(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "ranks": comm.size,
        "hosts": ",".join(dict.fromkeys(hosts)),
        "cores": host.cores(),
        "mpi": mpi_library.version(),
        "hdf5": hdf5.version.hdf5_version,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        schema.ACCELERATOR: hardware.accelerator,
        schema.BATCHED: hardware.batched,
        schema.PRECISION: precision,
        "kernel": hardware.kernel,
        "backend": backend,
    }


def title(plan: Plan) -> str:
    """A run's title, on one line."""
    graph = plan.file.topology.file or f"{plan.file.topology.name} graph"
    return (
        f"mpidl {version.number()}: {plan.file.name}, {graph}, {plan.file.algorithm.name} with "
        f"{plan.file.strategy.name} weights, OOD data on {sentences.named(plan, plan.sources)}"
    )


YIELDING = ("MPICH", "Intel MPI", "MVAPICH")
"""Libraries that read MPICH's variables."""


def waiting() -> str:
    """A clause about how MPI waits: whether a waiting rank yields its core."""
    name = mpi_library.name()
    yields = os.environ.get("MPIR_CVAR_ENABLE_HEAVY_YIELD") == "1" and name in YIELDING
    return f"{name} yields its core" if yields else f"{name} does as it is installed"


def notes(
    comm: Comm,
    plan: Plan,
    run_data: RunData,
    exchange: "Exchange",
    parallel: bool,
    hardware: Hardware,
) -> list[str]:
    """Lines that a reader should know before the first round."""
    recording = "in parallel (MPI-IO)" if parallel else "through rank 0"
    if not parallel and plan.file.record.writer != "gather":
        recording += ", as this h5py was built without MPI"
    reason = f" ({exchange.reason})" if exchange.reason else ""
    lines = [
        f"{sentences.hosting(plan.devices, comm.size)}, {host.cores()} cores; "
        f"{mpi_library.version()}; exchange {type(exchange).__name__.lower()}{reason}, "
        f"kernel {hardware.kernel}, accelerator {hardware.accelerator}; recording {recording}",
    ]
    if watchdog.on_duty is not None and watchdog.on_duty.crowded:
        lines.append(f"there are more ranks than cores: while a rank waits, {waiting()}")
    for code in planning.codes(plan.file):
        lines.append(f"from outside of mpidl: {code.name}, {code_records.shown(code)}")
    lines += [*plan.topology.notes, *sentences.data(plan, run_data.traits.content)]
    lines += [*sentences.sharing(plan.devices, run_data.placed), *sentences.emulated(plan)]
    return lines


def cautions(plan: Plan, run_data: RunData, hardware: Hardware) -> list[str]:
    """Lines that warn a reader before the first round."""
    untaught = warnings.untaught(run_data.traits.untaught, len(run_data.traits.classes))
    return [*warnings.of(plan), *warnings.crowded(plan, hardware.sharing), *untaught]
