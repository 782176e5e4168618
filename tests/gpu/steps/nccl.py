"""E10: NCCL's real streams: two ranks on one GPU where it can, else one rank and two chunks."""

import sys

import jobs
import numpy as np
import torch
from findings import kind, note, trying
from start import SWITCH, holds, nccl

from mpidl import plan
from mpidl.exchange import Wiring, process_group
from mpidl.ranks import accelerators, world
from mpidl.ranks.node import Node

SIZE = 1 << 20
GRAPHS = ("ring", "complete")


def main() -> None:
    """Choose by what NCCL can, and start the ranks."""
    hardware, library = kind(), nccl()
    several = hardware == "cpu" or (library is not None and holds(library, SWITCH))
    ranks = 2 if several else 1
    note("ranks", f"{ranks} of {'gloo' if hardware == 'cpu' else 'nccl'}")
    with trying("job"):
        environment = {SWITCH.decode(): "1"} if ranks > 1 else {}
        call = [sys.executable, __file__, hardware]
        job = jobs.run(ranks, (), call=call, environment=environment, limit=25)
        note("job", job.ended)


def member(wanted: str) -> None:
    """One rank of it: three rounds on each graph, against the dense matrix."""
    build = process_group.Gloo if wanted == "cpu" else process_group.Nccl
    with world.world() as comm:
        node = Node(comm)
        hardware = accelerators.choose(node.inner, wanted)
        for graph in GRAPHS:
            with trying(graph):
                worst = rounds(comm, node, graph, hardware, build)
                if comm.rank == 0:
                    note(graph, f"off the dense matrix by {worst:.1e} after 3 rounds")
        node.close()


def rounds(comm, node, graph, hardware, build) -> float:
    """The largest distance of any number from what the matrices give."""
    devices = 2 * comm.size if comm.size > 1 else 4
    settings = [f"topology.name={graph}", f"topology.devices={devices}", "strategy.name=unweighted"]
    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    wiring = Wiring(node, made.hosts, made.mixing_graph, SIZE, hardware, torch.float32)
    exchange = build(wiring, chunk=4 * SIZE // 2)
    want = np.random.default_rng(1).normal(size=(made.devices, SIZE)).astype(np.float32)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(want[device]))
    for round_ in range(3):
        exchange.arrive(made.mixing_weights(round_, list(exchange.vectors)))
        exchange.share()
        exchange.mix()
        want = made.matrix(round_) @ want
    found = [
        float(np.abs(vector.cpu().numpy() - want[device]).max())
        for device, vector in exchange.vectors.items()
    ]
    exchange.close()
    return max(comm.allgather(max(found)))


if __name__ == "__main__":
    member(sys.argv[1]) if len(sys.argv) > 1 else main()
