"""A round of ``Gossip.mix`` beside the exchange of a run, an all-reduce and a plain MPI loop.

    mpiexec -n 2 python tests/bench/own_loop.py

The tables of results/own_loop.md are its.

Each rank has one model of P numbers in float32, on a ring with weights of Metropolis and Hastings.
All four take turns in the same processes, one round each; a round lasts as long as on its slowest
rank, and the table has medians. The models are equal to the eye of the machine: only their size
counts. What is compared:

- ``Gossip.mix``, as a caller has it, with all its checks;
- the exchange of ``mpidl.run`` on the same plan: give, decide, arrive, share, mix;
- what DistributedDataParallel does with gradients over gloo: all-reduces of buckets of 25 MiB, and
  the division; DDP's hooks and copies are not counted;
- ``Neighbor_allgather`` of mpi4py, and the weighted sum by numpy.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from mpi4py import MPI

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from mpidl import Gossip, plan
from mpidl.config import runfile
from mpidl.devices.flat import Flat
from mpidl.devices.gossip import LocalGossip
from mpidl.exchange import BACKENDS
from mpidl.ranks.node import Node
from mpidl.run import build

BUCKET = 25 * 2**20 // 4
"""Numbers of a bucket of DistributedDataParallel."""

WARM = 3
"""Rounds before those that count."""

Work = Callable[[], None]


def model(size: int) -> nn.Module:
    """A module of about that many numbers, in a hundred layers or fewer."""
    layers = max(1, min(100, size // 100))
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
    exchange = BACKENDS["auto"](build.wired(node, made, flat, torch.device("cpu")))
    gossip = LocalGossip(comm, made, {comm.rank: flat}, exchange)
    turn = iter(range(10**9))

    @torch.no_grad()
    def work() -> None:
        round_ = next(turn)
        learners = made.learners(round_)
        gossip.begin([comm.rank])
        gossip.give(round_, [comm.rank in learners])
        gossip.decide(round_)
        gossip.arrive(round_)
        gossip.share()
        gossip.mix(round_)

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


KINDS = {
    "Gossip.mix": of_gossip,
    "exchange of mpidl.run": of_run,
    "all-reduce of DDP, gloo": of_ddp,
    "Neighbor_allgather, numpy": of_mpi,
}


def timed(comm: MPI.Intracomm, work: Work) -> float:
    """Seconds of a round on the slowest rank."""
    comm.Barrier()
    started = time.perf_counter()
    work()
    return float(comm.allreduce(time.perf_counter() - started, MPI.MAX))


def measure(comm: MPI.Intracomm, size: int, turns: int) -> dict[str, float]:
    """Collective. The median seconds of each kind."""
    made = {name: make(comm, size) for name, make in KINDS.items()}
    spent: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(WARM + turns):
        for name, (work, _) in made.items():
            spent[name].append(timed(comm, work))
    for _, end in made.values():
        end()
    return {name: statistics.median(seconds[WARM:]) for name, seconds in spent.items()}


def main() -> None:
    """Measure, and print a table on rank 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--turns", type=int, default=50)
    options = parser.parse_args()
    comm = MPI.COMM_WORLD.Dup()
    torch.set_num_threads(1)
    store = comm.bcast(_port() if comm.rank == 0 else None)
    where = f"tcp://127.0.0.1:{store}"
    dist.init_process_group("gloo", init_method=where, rank=comm.rank, world_size=comm.size)
    rows = {size: measure(comm, size, options.turns) for size in options.sizes}
    dist.destroy_process_group()
    if comm.rank == 0:
        print(f"# A round in a loop of one's own\n\n{comm.size} ranks, ring; milliseconds.\n")
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
