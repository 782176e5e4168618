"""Every backend against the dense mixing matrix, on any number of ranks."""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl import placement, plan, strategies
from mpidl.exchange import BACKENDS, Wiring
from mpidl.exchange.average import Average
from mpidl.faults import Fault

CPU = torch.device("cpu")


def make(comm, devices, settings=()):
    file = plan.read(None, [f"topology.devices={devices}", *settings], comm.size)
    return plan.make(file, comm.size)


def exchange_of(comm, made, size, backend="auto"):
    wiring = Wiring(comm, made.hosts, made.mixing_graph, size, CPU, made.uniform)
    return BACKENDS[backend](wiring)


def start(devices, size):
    return np.random.default_rng(7).normal(size=(devices, size)).astype(np.float32)


def run(comm, made, size, rounds, backend="auto"):
    exchange = exchange_of(comm, made, size, backend)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start(made.devices, size)[device]))
    for round_ in range(rounds):
        exchange.share()
        exchange.mix(made.rows(round_, list(exchange.vectors)))
    found = {device: vector.numpy().copy() for device, vector in exchange.vectors.items()}
    exchange.close()
    return found


def dense(made, size, rounds):
    x = start(made.devices, size).astype(np.float64)
    for round_ in range(rounds):
        x = made.matrix(round_) @ x
    return x


def samples(made):
    for device in made.graph:
        made.graph.nodes[device]["samples"] = device + 1


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("strategy", sorted(strategies.STRATEGIES))
@pytest.mark.parametrize(("hosted", "size"), [(1, 1), (1, 1000), (2, 17), (3, 3)])
def test_rounds_equal_products_of_the_mixing_matrix(comm, backend, strategy, hosted, size):
    made = make(comm, hosted * comm.size, [f"strategy.name={strategy}"])
    samples(made)
    if backend == "allreduce" and not made.uniform:
        with pytest.raises(Fault, match="federated"):
            run(comm, made, size, 1, backend)
        return
    found, want = run(comm, made, size, 4, backend), dense(made, size, 4)
    assert sorted(found) == made.hosted(comm.rank)
    for device, vector in found.items():
        np.testing.assert_allclose(vector, want[device], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "settings",
    [
        ["topology.name=exponential"],
        ["topology.name=complete"],
        ["topology.name=star", "topology.link_probability=0.5"],
        ["topology.name=ring", "training.participation=0.5"],
        ["topology.name=complete", "exchange.mixing=sequential"],
        ["topology.name=chain", "exchange.mixing=sequential"],
        ["schedule.name=cosine", "schedule.period=2"],
        ["placement.hosts=round_robin"],
    ],
    ids=" ".join,
)
def test_other_graphs_and_mixings(comm, settings):
    made = make(comm, 2 * comm.size + 1, settings)
    found, want = run(comm, made, 33, 5), dense(made, 33, 5)
    for device, vector in found.items():
        np.testing.assert_allclose(vector, want[device], rtol=2e-5, atol=2e-6)


def test_federated_is_the_same_by_either_backend(comm):
    made = make(comm, comm.size + 1, ["strategy.name=federated"])
    ours, theirs = (run(comm, made, 50, 1, backend) for backend in ("allreduce", "mpi"))
    for device in ours:
        np.testing.assert_allclose(ours[device], theirs[device], rtol=1e-5, atol=1e-6)


def test_two_components_never_mix(comm):
    devices = 2 * comm.size
    graph = nx.DiGraph()
    graph.add_nodes_from(range(devices))
    graph.add_edges_from((i, j) for i in range(devices) for j in range(devices) if i % 2 == j % 2)
    graph.remove_edges_from([(i, i) for i in range(devices)])
    hosts = placement.hosts("blocks", devices, comm.size)
    exchange = BACKENDS["mpi"](Wiring(comm, hosts, graph, 2, CPU, uniform=False))
    for device, vector in exchange.vectors.items():
        vector.fill_(device % 2)
    for _ in range(6):
        exchange.share()
        members = {i: [i, *sorted(graph.predecessors(i))] for i in exchange.vectors}
        exchange.mix({i: (m, np.full(len(m), 1 / len(m))) for i, m in members.items()})
    for device, vector in exchange.vectors.items():
        np.testing.assert_allclose(vector, device % 2, rtol=1e-6)
    exchange.close()


def test_what_a_dropped_link_brought_is_not_read(comm):
    made = make(comm, 2 * comm.size)
    exchange = exchange_of(comm, made, 5)
    for vector in exchange.vectors.values():
        vector.fill_(float("nan") if made.hosts[1] == comm.rank else 1.0)
    rows = {i: ([i, *sorted(made.graph.predecessors(i))]) for i in exchange.vectors}
    weights = {i: (m, np.array([1.0] + [0.0] * (len(m) - 1))) for i, m in rows.items()}
    exchange.share()
    exchange.mix(weights)
    for vector in exchange.vectors.values():
        assert bool(vector.isnan().all()) == (made.hosts[1] == comm.rank)
    exchange.close()


@pytest.mark.parametrize("size", [1, 2, 1001])
@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
def test_average_is_the_mean_in_the_same_bits_for_any_hosting(comm, size, hosting):
    devices = 2 * comm.size + 1
    x = start(devices, size)
    hosts = placement.hosts(hosting, devices, comm.size)
    own = {int(i): torch.from_numpy(x[i]) for i in np.flatnonzero(hosts == comm.rank)}
    alone = SimpleNamespace(size=1, rank=0, Alltoallv=_copy, Allgatherv=_copy)
    want = Average(alone, np.zeros(devices, np.int64), size)(
        {i: torch.from_numpy(x[i]) for i in range(devices)}
    )
    found = Average(comm, hosts, size)(own)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_allclose(found, x.mean(0), rtol=1e-5, atol=1e-6)


def _copy(source, target):
    target[0].copy_(source[0])


def test_bytes_are_those_of_a_vector_for_each_rank_that_wants_it(comm):
    made = make(comm, comm.size, ["topology.name=complete"])
    exchange = exchange_of(comm, made, 10)
    for device in exchange.vectors:
        assert exchange.bytes_sent[device] == 40 * (comm.size - 1)
        assert exchange.bytes_received[device] == 40 * (comm.size - 1)
    exchange.close()
