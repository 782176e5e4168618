"""Where a result comes from: versions, machine and choices, for the file and for the reader."""

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpidl import cautions
from mpidl.components import graphs
from mpidl.components.datasets.sources import SOURCES
from mpidl.config import version
from mpidl.hardware import Hardware
from mpidl.plan import Plan
from mpidl.ranks import hdf5, host, watchdog, world
from mpidl.ranks.world import Comm
from mpidl.shards import Stock
from mpidl.storage import schema

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


NAMED = 8
"""Devices and outages that a sentence lists."""


def command() -> str:
    """What was started on every rank, as one types it."""
    program, *arguments = sys.argv
    here = Path(program) == Path(__file__).with_name("run.py")
    words = ["python", "-m", "mpidl.run", *arguments] if here else sys.argv
    return shlex.join(words).encode(errors="backslashreplace").decode()


def attributes(
    comm: Comm, plan: Plan, stock: Stock, backend: str, hardware: Hardware
) -> dict[str, Any]:
    """Collective. Attributes of a results file that say how it was made; on rank 0, else empty."""
    import numpy as np
    import torch

    hosts = comm.gather(host.name())
    if hosts is None:
        return {}
    return {
        "mpidl": version.number(),
        "commit": version.commit(),
        "run_file": plan.file.text(),
        schema.GRAPH_DIGEST: graphs.digest(plan.graph, plan.file.topology.link_probability),
        schema.DATA_DIGEST: stock.traits.content.digest,
        schema.DATA_PUBLISHED: stock.traits.content.published,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "ranks": comm.size,
        "hosts": ",".join(dict.fromkeys(hosts)),
        "cores": host.cores(),
        "mpi": world.library(),
        "hdf5": hdf5.version.hdf5_version,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        schema.ACCELERATOR: hardware.accelerator,
        schema.BATCHED: hardware.batched,
        schema.PRECISION: plan.file.training.precision,
        "kernel": hardware.kernel,
        "backend": backend,
    }


def title(plan: Plan) -> str:
    """What a run is, on one line."""
    graph = plan.file.topology.file or f"{plan.file.topology.name} graph"
    return (
        f"mpidl {version.number()}: {plan.file.name}, {graph}, {plan.file.algorithm.name} with "
        f"{plan.file.strategy.name} weights, OOD data on {named(plan, plan.sources)}"
    )


def hosting(devices: int, ranks: int) -> str:
    """How many devices are on how many ranks."""
    told = ((devices, "device"), (ranks, "rank"))
    return " on ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in told)


YIELDING = ("MPICH", "Intel MPI", "MVAPICH")
"""Libraries that obey MPICH's variables."""


def waiting() -> str:
    """How the MPI that is there waits: whether a waiting rank keeps its core."""
    name = world.vendor()
    yields = os.environ.get("MPIR_CVAR_ENABLE_HEAVY_YIELD") == "1" and name in YIELDING
    return f"{name} gives its core away" if yields else f"{name} does as it is installed"


def notes(
    comm: Comm,
    plan: Plan,
    stock: Stock,
    exchange: "Exchange",
    parallel: bool,
    hardware: Hardware,
) -> list[str]:
    """What a reader should know before the first round, a line each."""
    how = "in parallel (MPI-IO)" if parallel else "through rank 0"
    if not parallel and plan.file.record.writer != "gather":
        how += ", as this h5py was built without MPI"
    why = f" ({exchange.reason})" if exchange.reason else ""
    lines = [
        f"{hosting(plan.devices, comm.size)}, {host.cores()} cores; {world.library()}; exchange "
        f"{type(exchange).__name__.lower()}{why}, "
        f"kernel {hardware.kernel}, accelerator {hardware.accelerator}; recording {how}",
    ]
    if watchdog.on_duty is not None and watchdog.on_duty.crowded:
        lines.append(f"ranks outnumber cores: while a rank waits, {waiting()}")
    lines += [*graphs.notes(plan.graph), *data(plan, stock), *sharing(plan)]
    lines += [*emulated(plan), *cautions.of(plan)]
    return [*lines, *cautions.crowded(plan, hardware.sharing)]


def emulated(plan: Plan) -> list[str]:
    """What is wrong with the network and with devices in this run, a line each."""
    network, attack = plan.file.network, plan.file.attack
    lines = []
    if plan.stragglers:
        slow = f"{network.slowdown:g} times as slow as others"
        idle = "" if network.step_seconds else ", unseen, as network.step_seconds = 0"
        lines.append(f"stragglers, {slow}: {named(plan, plan.stragglers)}{idle}")
    if network.delay:
        low, high = [network.delay] * 2 if isinstance(network.delay, int) else network.delay
        span = f"{low}" if low == high else f"{low} to {high}"
        lines.append(f"what travels over a link is late by {span} rounds")
    if network.leave:
        share = network.back / (network.leave + network.back)
        lines.append(f"devices leave and come back: in the long run {share:.0%} are there")
    if network.outages:
        lines.append(f"outages: {_outages(network.outages)}")
    if plan.attackers:
        since = f" from round {attack.from_round + 1} on" if attack.from_round else ""
        lines.append(f"attack {attack.name} by {named(plan, plan.attackers)}{since}")
    return lines


def _outages(outages: Sequence[Sequence[int]]) -> str:
    told = [
        f"device {i} in rounds {away + 1} to {back}"
        for i, away, back in sorted(map(tuple, outages))
    ]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def named(plan: Plan, devices: Sequence[int]) -> str:
    """Devices of a plan in words, of many the first ones, with their names if they have some."""
    if not devices:
        return "no device"
    names = graphs.names(plan.graph)
    told = [f"{device} ({names[device]})" if names else f"{device}" for device in devices[:NAMED]]
    shown = ", ".join(told)
    more = f" and {len(devices) - NAMED} more" if len(devices) > NAMED else ""
    return f"device{'s' if len(devices) > 1 else ''} {shown}{more}"


def data(plan: Plan, stock: Stock) -> list[str]:
    """A line where the data are not the published ones of their name, or that is not known."""
    name, folder, content = plan.file.data.name, plan.file.data.dir, stock.traits.content
    kept = f"(SHA-256 {content.digest[:12]}...); reports keep its runs apart from those of others"
    if content.other:
        return [f"data.name is {name!r}, and the data are the published {content.other!r} {kept}"]
    if content.published == "no":
        return [
            f"the data are not the published {name!r} {kept}; 'python -m mpidl.datasets verify "
            f"{name} {folder}' tells which files differ"
        ]
    if content.published == "unknown" and name in SOURCES:
        return [f"whether the data are the published {name!r} is not known here {kept}"]
    return []


def sharing(plan: Plan) -> list[str]:
    """A line where devices hold the same training samples, as there are fewer of these."""
    found = plan.graph.graph["samples"]
    if found >= plan.devices:
        return []
    return [
        f"only {found} training samples for {plan.devices} devices: they are dealt round and "
        "round, one to a device, so that several devices train on the same one"
    ]
