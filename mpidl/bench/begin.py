"""Start-up times: seconds until all ranks can work, their memory, cores and links."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpidl import plan as planning
from mpidl.bench.clock import CPU, Times, rounds
from mpidl.components import graphs
from mpidl.ranks import host
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm
from mpidl.run.terminal import LAUNCHERS

DEVICES = (33, 1000)
"""Sizes of the graphs whose set-up is timed."""


def measure(
    comm: Comm,
    ready: float,
    megabytes: float = 20.0,
    hardware: torch.device = CPU,
    woke: float = 0.0,
) -> dict[str, Any]:
    """Collective. Seconds since the launcher began, and memory, cores and links of the ranks.

    Args:
        comm: All ranks.
        ready: The moment when this rank had all modules and MPI, by the system clock.
        megabytes: Size of the messages that time the links.
        hardware: The hardware of this rank.
        woke: Seconds until this rank's accelerator held its first number.
    """
    node = Node(comm)
    began = comm.allreduce(launched(), op=_least)
    places = comm.allgather((host.name(), host.affinity()))
    memory = comm.allgather(private())
    results = {
        "seconds": comm.allreduce(ready, op=_most) - began,
        "private_megabytes": [round(value / 1e6, 1) for value in memory],
        "nodes": node.count,
        "binding": places,
        "graphs": {str(n): graph_seconds(n) for n in DEVICES} if comm.rank == 0 else {},
    }
    # A rank that waited inside MPI would take the core of one that is timed.
    node.meet()
    results["links"] = links(node, megabytes)
    if hardware.type != "cpu":
        results["woke"] = comm.allreduce(woke, op=_most)
        results["links"] |= lifts(node, megabytes, hardware)
    node.close()
    return results


def _least(a: float, b: float) -> float:
    return min(a, b)


def _most(a: float, b: float) -> float:
    return max(a, b)


def launched() -> float:
    """The start of this rank's launcher, or else of this process, in seconds since 1970."""
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
    """Bytes of this process that no other process shares; 0 if unknown."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private"))


def graph_seconds(devices: int) -> float:
    """Seconds to build BA(devices, 2) with all its mixing weights."""
    began = time.monotonic()
    built = planning.make(planning.read(None, [f"topology.devices={devices}"], 1), 1)
    graphs.components(built.graph)
    built.mixing_weights(0, range(devices))
    return time.monotonic() - began


def links(node: Node, megabytes: float) -> dict[str, float]:
    """Collective. Gigabytes a second, each way, of the slowest message in a ring of ranks.

    One ring is two ranks of each node, the other the first ranks of all nodes.
    """
    size = int(megabytes * 1e6)
    sent, got = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    rings: dict[str, tuple[Comm | None, int]] = {
        "between two ranks of a node": (node.inner, min(2, node.inner.size))
    }
    if node.count > 1:
        rings["between nodes"] = (node.leaders, node.count)
    speeds = {}
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
            speeds[name] = size / 1e9 / slowest
    return speeds


def lifts(node: Node, megabytes: float, hardware: torch.device) -> dict[str, float]:
    """Collective. Gigabytes a second of all ranks' copies to their accelerators, and back.

    All ranks copy at once, from and to pinned memory, as in the staging of vectors.
    """
    on_host = torch.zeros(int(megabytes * 1e6), dtype=torch.uint8, pin_memory=True)
    on_accelerator = on_host.to(hardware)
    ways = {
        "to accelerators": (on_accelerator, on_host),
        "from accelerators": (on_host, on_accelerator),
    }
    amount = node.comm.size * len(on_host) / 1e9
    return {
        name: amount / Times.of(rounds(node, partial(to.copy_, of), 5, hardware=hardware)).median
        for name, (to, of) in ways.items()
    }


def lines(results: dict[str, Any]) -> list[str]:
    """The results as lines."""
    memory = results["private_megabytes"]
    text = [
        f"start: all ranks had MPI and torch after {results['seconds']:.1f} s; private memory "
        f"{min(memory):.0f} to {max(memory):.0f} MB a rank, {sum(memory) / 1e3:.2f} GB in all"
    ]
    if "woke" in results:
        text.append(
            f"  the slowest rank's accelerator took its first number in {results['woke']:.1f} s"
        )
    text += [
        f"  graph of {devices} devices with its weights: {1e3 * seconds:.0f} ms"
        for devices, seconds in results["graphs"].items()
    ]
    text += [
        f"  {'copies' if 'accelerators' in name else 'messages'} {name}: {speed:.2f} GB/s"
        for name, speed in results["links"].items()
    ]
    by_node: dict[str, list[list[int]]] = {}
    for name, cores in results["binding"]:
        by_node.setdefault(name, []).append(cores)
    for name, bound in by_node.items():
        used = sorted({core for cores in bound for core in cores})
        shared = sum(map(len, bound)) > len(used)
        how = "which some ranks share" if shared else "each rank its own"
        text.append(f"  {name}: {len(bound)} ranks on {len(used)} cores, {how}")
    return text
