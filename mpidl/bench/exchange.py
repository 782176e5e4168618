"""The exchange of all ranks: each backend that works here, the obvious ways, the copy limit."""

from typing import Any

import networkx as nx
import torch

from mpidl.bench import clock, plain
from mpidl.bench.plain import Build
from mpidl.config.faults import Fault
from mpidl.exchange import BACKENDS
from mpidl.ranks import world
from mpidl.ranks.node import Node
from mpidl.ranks.world import Comm

PASSES = 2
"""How often each way has its turn, so that a slow minute does not fall on one of them."""

LEFT_OUT = ("auto", "allreduce")
"""Backends that are another one, or do not mix by a graph."""


def measure(
    comm: Comm, megabytes: list[float], repetitions: int, hardware: torch.device = clock.CPU
) -> list[dict[str, Any]]:
    """Collective. Seconds of a round by each way for each size of vector, on BA(ranks, 2).

    Args:
        comm: All ranks.
        megabytes: Of the vector of a rank.
        repetitions: How often each way is timed in one of its turns.
        hardware: Of this rank; its memory holds the vector.
    """
    graph = topology(comm.size)
    found = []
    torch.set_num_threads(1)
    for size in megabytes:
        numbers = max(1, int(size * 1e6 / 4))
        taken: dict[str, list[float]] = {}
        for _ in range(PASSES):
            for name, way in ways(comm, hardware).items():
                seconds = once(comm, way, graph, numbers, repetitions, hardware)
                taken.setdefault(name, []).extend(seconds)
        times = {name: clock.Times.of(seconds) for name, seconds in taken.items()}
        limit = times["copy limit"].median
        gathered = times["Neighbor_allgather + sum"].median
        found += [
            {
                "way": name,
                "megabytes": size,
                **({} if hardware.type == "cpu" else {"memory": hardware.type}),
                **one.plain(),
                "told": one.told(),
                "of_copy_limit": one.median / limit,
                "faster_than_allgather": gathered / one.median,
            }
            for name, one in times.items()
        ]
    return found


def topology(ranks: int) -> nx.DiGraph:
    """BA(ranks, 2), or the complete graph where that is too small."""
    small = ranks <= 2
    graph = nx.complete_graph(ranks) if small else nx.barabasi_albert_graph(ranks, 2, seed=0)
    return graph.to_directed()


def ways(comm: Comm, hardware: torch.device = clock.CPU) -> dict[str, Build]:
    """Collective. The ways that work on these ranks, by name."""
    found = dict(plain.WAYS)
    for name in BACKENDS:
        if name not in LEFT_OUT and works(comm, name, hardware):
            found[f"mpidl {name}"] = plain.backend(name)
    return found


def works(comm: Comm, name: str, hardware: torch.device) -> bool:
    """Collective. Whether a backend can be built here, for vectors in such memory."""
    node, graph = Node(comm), topology(comm.size)
    try:
        with world.agreed(comm):
            built = plain.backend(name)(node, graph, 1, hardware)
        built.close()
    except Fault:
        return False
    finally:
        node.close()
    return True


def once(
    comm: Comm,
    way: Build,
    graph: nx.DiGraph,
    size: int,
    repetitions: int,
    hardware: torch.device,
) -> list[float]:
    """Collective. Build one way, time it, and give its memory back."""
    node = Node(comm)
    made = way(node, graph, size, hardware)
    seconds = clock.rounds(node, made.turn, repetitions, hardware=hardware)
    made.close()
    del made
    node.close()
    return seconds


def told(found: list[dict[str, Any]]) -> list[str]:
    """The table as lines."""
    memory = found[0].get("memory") if found else None
    where = f" in {memory} memory, obvious ways through the host's" if memory else ""
    lines = [f"exchange, a vector per rank{where}: ms a round, median [quartiles]"]
    lines.append(f"  {'MB':>6}  {'way':26} {'ms':>24} {'x copy':>7} {'allgather takes x':>18}")
    lines += [
        f"  {row['megabytes']:6g}  {row['way']:26} {row['told']:>24} "
        f"{row['of_copy_limit']:7.2f} {row['faster_than_allgather']:18.2f}"
        for row in found
    ]
    return lines
