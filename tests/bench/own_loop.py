"""A round of ``Gossip.mix`` beside the exchange of a run, an all-reduce and a plain MPI loop.

    mpiexec -n 2 python tests/bench/own_loop.py

The tables of results/own_loop.md are its.

Each rank has one model of P numbers in float32, on a ring with weights of Metropolis and Hastings.
All kinds take turns in the same processes, some rounds each; a turn lasts as long as on its slowest
rank, and the table has medians of a round. A turn has several rounds, since ranks wait for its
begin and end in MPI, which keeps cores from ranks that sleep. The order of turns is drawn anew each
time: the first two share code and data, so whoever came second would find both in the caches. What
is compared:

- ``Gossip.mix``, as a caller has it, with all its checks;
- the exchange of ``mpidl.run`` on the same plan, in a round without evaluation;
- what DistributedDataParallel does with gradients over gloo: all-reduces of buckets of 25 MiB, and
  the division; DDP's hooks and copies are not counted;
- ``Neighbor_allgather`` of mpi4py, and the weighted sum by numpy, of one vector;
- the same of a model, whose tensors are copied to the vector and back.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mpidl import Gossip, plan
from mpidl.config import runfile
from mpidl.devices.flat import Flat
from mpidl.devices.gossip import LocalGossip
from mpidl.exchange import BACKENDS
from mpidl.ranks.node import Node
from mpidl.run import build, rounds
from mpidl.storage import run_series
from mpidl.storage.round_values import RoundValues

BUCKET = 25 * 2**20 // 4
"""Numbers of a bucket of DistributedDataParallel."""

WARM = 3
"""Turns before those that count."""

Work = Callable[[], None]


LAYERS = 100
"""The most layers of a model, each of two tensors."""


def model(size: int) -> nn.Module:
    """A module of about that many numbers, in some layers."""
    layers = max(1, min(LAYERS, size // 100))
    return nn.Sequential(*(nn.Linear(1, size // layers // 2) for _ in range(layers)))


def of_gossip(comm: MPI.Intracomm, size: int) -> tuple[Work, Work]:
    """The call of a caller's loop, and what ends it."""
    gossip = Gossip(model(size), communicator=comm)
    return gossip.mix, gossip.close


def of_run(comm: MPI.Intracomm, size: int) -> tuple[Work, Work]:
    """The exchange of a run without its training and record."""
    tables = {
        "topology": {"name": "ring", "devices": comm.size},
        "strategy": {"name": "metropolis_hastings"},
        "ood": {"name": "none"},
    }
    made = plan.make(runfile.validate(tables, plan.KINDS), comm.size)
    node, flat = Node(comm), Flat(model(size))
    exchange = BACKENDS.call("auto", build.wired(node, made, flat, torch.device("cpu")))
    gossip = LocalGossip(comm, made, {comm.rank: flat}, exchange)
    values = RoundValues([comm.rank], run_series.of(0), time.perf_counter)
    parts: Any = SimpleNamespace(plan=made, gossip=gossip)
    turn = iter(range(10**9))

    def work() -> None:
        round_ = next(turn)
        values.trained[:] = [comm.rank in made.learners(round_)]
        gossip.begin([comm.rank])
        rounds.exchange(parts, values, round_, due=False)

    def end() -> None:
        exchange.close()
        node.close()

    return work, end


def of_ddp(comm: MPI.Intracomm, size: int) -> tuple[Work, Work]:
    """All-reduces of gloo over buckets, and the mean."""
    buckets = torch.zeros(size).split(BUCKET)

    def work() -> None:
        for request in [dist.all_reduce(bucket, async_op=True) for bucket in buckets]:
            request.wait()
        for bucket in buckets:
            bucket.div_(comm.size)

    return work, lambda: None


def of_mpi(comm: MPI.Intracomm, size: int) -> tuple[Work, Work]:
    """What one writes with mpi4py and numpy."""
    near = sorted({(comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size} - {comm.rank})
    graph = comm.Create_dist_graph_adjacent(near, near)
    vector, inbox = np.zeros(size, np.float32), np.zeros((len(near), size), np.float32)
    weight = np.float32(1 / (len(near) + 1))

    def work() -> None:
        graph.Neighbor_allgather(vector, inbox)
        vector[:] = weight * (vector + inbox.sum(axis=0))

    return work, graph.Free


def of_model(comm: MPI.Intracomm, size: int) -> tuple[Work, Work]:
    """The same for a module, as torch gives and takes its numbers in one vector."""
    near = sorted({(comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size} - {comm.rank})
    graph = comm.Create_dist_graph_adjacent(near, near)
    module = model(size)
    vector = parameters_to_vector(module.parameters())
    inbox = np.zeros((len(near), len(vector)), np.float32)
    weight = np.float32(1 / (len(near) + 1))

    @torch.no_grad()
    def work() -> None:
        sent = parameters_to_vector(module.parameters()).numpy()
        graph.Neighbor_allgather(sent, inbox)
        mixed = weight * (sent + inbox.sum(axis=0))
        vector_to_parameters(torch.from_numpy(mixed), module.parameters())

    return work, graph.Free


KINDS = {
    "Gossip.mix": of_gossip,
    "exchange of mpidl.run": of_run,
    "all-reduce of DDP, gloo": of_ddp,
    "Neighbor_allgather, a vector": of_mpi,
    "Neighbor_allgather, a model": of_model,
}


def timed(comm: MPI.Intracomm, work: Work, count: int) -> float:
    """Seconds of a round on the slowest rank."""
    comm.Barrier()
    started = time.perf_counter()
    for _ in range(count):
        work()
    return float(comm.allreduce(time.perf_counter() - started, MPI.MAX)) / count


def measure(comm: MPI.Intracomm, size: int, turns: int, count: int) -> dict[str, float]:
    """Collective. The median seconds of each kind."""
    made = {name: make(comm, size) for name, make in KINDS.items()}
    spent: dict[str, list[float]] = {name: [] for name in made}
    drawn = random.Random(size)
    for _ in range(WARM + turns):
        for name in drawn.sample(sorted(made), len(made)):
            spent[name].append(timed(comm, made[name][0], count))
    for _, end in made.values():
        end()
    return {name: statistics.median(seconds[WARM:]) for name, seconds in spent.items()}


def main() -> None:
    """Measure, and print a table on rank 0."""
    global LAYERS
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of a turn")
    parser.add_argument("--layers", type=int, default=LAYERS, help="the most layers of a model")
    options = parser.parse_args()
    LAYERS = options.layers
    comm = MPI.COMM_WORLD.Dup()
    torch.set_num_threads(1)
    store = comm.bcast(_port() if comm.rank == 0 else None)
    where = f"tcp://127.0.0.1:{store}"
    dist.init_process_group("gloo", init_method=where, rank=comm.rank, world_size=comm.size)
    rows = {size: measure(comm, size, options.turns, options.rounds) for size in options.sizes}
    dist.destroy_process_group()
    if comm.rank == 0:
        print("# A round in a loop of one's own\n")
        print(f"{comm.size} ranks, ring, at most {LAYERS} layers; milliseconds.\n")
        print(f"| numbers | {' | '.join(KINDS)} |\n| --- |{' --- |' * len(KINDS)}")
        for size, found in rows.items():
            cells = " | ".join(f"{1e3 * seconds:.3g}" for seconds in found.values())
            print(f"| {size:,} | {cells} |")


def _port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


if __name__ == "__main__":
    main()
