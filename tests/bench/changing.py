"""A round of a graph that changes, where only what it wants travels, beside one where all does.

    mpiexec -n 8 python tests/bench/changing.py

Devices meet in pairs drawn anew each round, one on each rank; all is what is read in some round,
here the vectors of all devices. The two take turns; the table shows medians of a round in ms.
"""

import itertools
import statistics
import time

import torch

from mpidl import plan
from mpidl.exchange import BACKENDS, Wiring
from mpidl.plan import Plan
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm

KINDS = ("what the round wants", "all")
ROUNDS, TURNS = 20, 2


def measured(comm: Comm, made: Plan, backend: str, size: int) -> dict[str, float]:
    """Seconds of a round of vectors ``(size,)`` in each of the two ways."""
    node = Node(comm)
    wiring = Wiring(
        *(node, made.hosts, made.mixing_graph, size, torch.device("cpu"), torch.float32),
        changing=True,
    )
    exchange = BACKENDS[backend](wiring)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _, kind, round_ in itertools.product(range(TURNS), KINDS, range(ROUNDS)):
        links = made.wanted(round_) if kind == KINDS[0] else None
        weights = made.mixing_weights(round_, list(exchange.vectors))
        comm.Barrier()
        began = time.perf_counter()
        exchange.arrive(weights, links)
        exchange.share()
        exchange.mix()
        comm.Barrier()
        seconds[kind].append(time.perf_counter() - began)
    exchange.close()
    node.close()
    return {kind: statistics.median(spent) for kind, spent in seconds.items()}


if __name__ == "__main__":
    from mpi4py import MPI

    torch.set_num_threads(1)
    world = MPI.COMM_WORLD
    settings = ["topology.name=random_matching", "strategy.name=unweighted"]
    settings += [f"training.rounds={ROUNDS}", f"topology.devices={world.size}"]
    drawn = plan.make(plan.read(None, settings, world.size), world.size)
    lines = [f"| backend | numbers | {KINDS[0]} | {KINDS[1]} |", "| --- | --- | --- | --- |"]
    for backend, size in itertools.product(("gloo", "mpi"), (10_000, 1_000_000)):
        found = measured(world, drawn, backend, size)
        times = " | ".join(f"{1e3 * found[kind]:.1f}" for kind in KINDS)
        lines.append(f"| `{backend}` | {size:,} | {times} |")
    if world.rank == 0:
        print("\n".join(lines))
