"""Start-up, timed: seconds until all ranks can work, what they hold, and where they are bound."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpidl import plan
from mpidl.bench.clock import CPU, Times, rounds
from mpidl.components import graphs
from mpidl.ranks import host
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm
from mpidl.run.console import LAUNCHERS

DEVICES = (33, 1000)
"""Sizes of the graphs whose set-up is timed."""


def measure(
    comm: Comm,
    ready: float,
    megabytes: float = 20.0,
    hardware: torch.device = CPU,
    woke: float = 0.0,
) -> dict[str, Any]:
    """Collective. Seconds since the launcher began, memory, cores and links of the ranks.

    Args:
        comm: All ranks.
        ready: When this rank had all modules and MPI, by the clock of the system.
        megabytes: Of the messages with which links are timed.
        hardware: Of this rank.
        woke: Seconds until this rank's accelerator had taken its first number.
    """
    node = Node(comm)
    began = comm.allreduce(launched(), op=_least)
    places = comm.allgather((host.name(), host.affinity()))
    memory = comm.allgather(private())
    found = {
        "seconds": comm.allreduce(ready, op=_most) - began,
        "private_megabytes": [round(value / 1e6, 1) for value in memory],
        "nodes": node.count,
        "binding": places,
        "graphs": {str(n): graph_seconds(n) for n in DEVICES} if comm.rank == 0 else {},
    }
    # Who waited inside MPI would take the core of those that are timed.
    node.meet()
    found["links"] = links(node, megabytes)
    if hardware.type != "cpu":
        found["woke"] = comm.allreduce(woke, op=_most)
        found["links"] |= lifts(node, megabytes, hardware)
    node.close()
    return found


def _least(a: float, b: float) -> float:
    return min(a, b)


def _most(a: float, b: float) -> float:
    return max(a, b)


def launched() -> float:
    """When the launcher of this rank, or else this process, began; seconds since the epoch."""
    now, process, ages = time.time(), os.getpid(), []
    try:
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        while process > 1:
            name, _, rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")
            fields = rest.split()
            ages.append(uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
            if name.partition("(")[2].startswith(LAUNCHERS):
                return now - ages[-1]
            process = int(fields[1])
    except OSError:
        pass
    return now - ages[0] if ages else now


def private() -> int:
    """Bytes of this process that no other shares; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private"))


def graph_seconds(devices: int) -> float:
    """Seconds to build BA(devices, 2) with all its rows of weights."""
    began = time.monotonic()
    made = plan.make(plan.read(None, [f"topology.devices={devices}"], 1), 1)
    graphs.components(made.graph)
    made.rows(0, range(devices))
    return time.monotonic() - began


def links(node: Node, megabytes: float) -> dict[str, float]:
    """Collective. Gigabytes a second each way of the slowest message that is sent around.

    Between two ranks of each node, then between the first ranks of all nodes.
    """
    size = int(megabytes * 1e6)
    sent, got = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    rings: dict[str, tuple[Comm | None, int]] = {
        "between two ranks of a node": (node.inner, min(2, node.inner.size))
    }
    if node.count > 1:
        rings["between nodes"] = (node.leaders, node.count)
    found = {}
    for name, (ring, ranks) in rings.items():
        slowest = 0.0
        if ring is not None and ranks > 1 and ring.rank < ranks:
            taken = []
            for _ in range(5):
                began = time.monotonic()
                ring.Sendrecv(sent, (ring.rank + 1) % ranks, 0, got, (ring.rank - 1) % ranks, 0)
                taken.append(time.monotonic() - began)
            slowest = float(np.median(taken))
        node.meet()
        slowest = node.comm.allreduce(slowest, op=_most)
        if slowest:
            found[name] = size / 1e9 / slowest
    return found


def lifts(node: Node, megabytes: float, hardware: torch.device) -> dict[str, float]:
    """Collective. Gigabytes a second of all ranks' copies to their accelerators, and of those back.

    From and to pinned memory, all ranks at once, as the staging of vectors does it.
    """
    here = torch.zeros(int(megabytes * 1e6), dtype=torch.uint8, pin_memory=True)
    there = here.to(hardware)
    ways = {"to accelerators": (there, here), "from accelerators": (here, there)}
    amount = node.comm.size * len(here) / 1e9
    return {
        name: amount / Times.of(rounds(node, partial(to.copy_, of), 5, hardware=hardware)).median
        for name, (to, of) in ways.items()
    }


def told(found: dict[str, Any]) -> list[str]:
    """The findings as lines."""
    memory = found["private_megabytes"]
    lines = [
        f"start: all ranks had MPI and torch after {found['seconds']:.1f} s; private memory "
        f"{min(memory):.0f} to {max(memory):.0f} MB a rank, {sum(memory) / 1e3:.2f} GB in all"
    ]
    if "woke" in found:
        lines.append(
            f"  the slowest rank's accelerator took its first number in {found['woke']:.1f} s"
        )
    lines += [
        f"  graph of {devices} devices with its weights: {1e3 * seconds:.0f} ms"
        for devices, seconds in found["graphs"].items()
    ]
    lines += [
        f"  {'copies' if 'accelerators' in name else 'messages'} {name}: {speed:.2f} GB/s"
        for name, speed in found["links"].items()
    ]
    by_node: dict[str, list[list[int]]] = {}
    for name, cores in found["binding"]:
        by_node.setdefault(name, []).append(cores)
    for name, bound in by_node.items():
        used = sorted({core for cores in bound for core in cores})
        shared = sum(map(len, bound)) > len(used)
        how = "which some ranks share" if shared else "each rank its own"
        lines.append(f"  {name}: {len(bound)} ranks on {len(used)} cores, {how}")
    return lines
