"""Times of the exchange: each backend that works here, simple ways, and the limit of a copy."""

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
"""Turns of each way, so that a slow minute of the machine does not fall on one way only."""


def measure(
    comm: Comm, megabytes: list[float], repetitions: int, hardware: torch.device = clock.CPU
) -> list[dict[str, Any]]:
    """Collective. Seconds of a round by each way for each size of vector, on BA(ranks, 2).

    Args:
        comm: All ranks.
        megabytes: Sizes of a rank's vector.
        repetitions: Times that each way is timed in one of its turns.
        hardware: The hardware of this rank, whose memory holds the vector.
    """
    graph = topology(comm.size)
    results = []
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
        results += [
            {
                "way": name,
                "megabytes": size,
                **({} if hardware.type == "cpu" else {"memory": hardware.type}),
                **statistics.plain(),
                "told": statistics.text(),
                "of_copy_limit": statistics.median / limit,
                "faster_than_allgather": gathered / statistics.median,
            }
            for name, statistics in times.items()
        ]
    return results


def topology(ranks: int) -> nx.DiGraph:
    """BA(ranks, 2), or the complete graph for up to two ranks."""
    small = ranks <= 2
    graph = nx.complete_graph(ranks) if small else nx.barabasi_albert_graph(ranks, 2, seed=0)
    return graph.to_directed()


def ways(comm: Comm, hardware: torch.device = clock.CPU) -> dict[str, Build]:
    """Collective. The ways that work on these ranks, by name."""
    by_name = dict(plain.WAYS)
    for name in BACKENDS.having(means=False):
        if name != "auto" and works(comm, name, hardware):
            by_name[f"mpidl {name}"] = plain.backend(name)
    return by_name


def works(comm: Comm, name: str, hardware: torch.device) -> bool:
    """Collective. Whether a backend can be built here, for vectors in the hardware's memory."""
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
    """Collective. Build one way, time it, and free its memory."""
    node = Node(comm)
    built = way(node, graph, size, hardware)
    seconds = clock.rounds(node, built.turn, repetitions, hardware=hardware)
    built.close()
    del built
    node.close()
    return seconds


def lines(results: list[dict[str, Any]]) -> list[str]:
    """The results as lines of a table."""
    memory = results[0].get("memory") if results else None
    where = f" in {memory} memory, simple ways through host memory" if memory else ""
    text = [f"exchange, a vector per rank{where}: ms a round, median [quartiles]"]
    text.append(f"  {'MB':>6}  {'way':26} {'ms':>24} {'x copy':>7} {'allgather takes x':>18}")
    text += [
        f"  {one['megabytes']:6g}  {one['way']:26} {one['told']:>24} "
        f"{one['of_copy_limit']:7.2f} {one['faster_than_allgather']:18.2f}"
        for one in results
    ]
    return text
