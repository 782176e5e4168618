"""Vectors that go through host memory, as of accelerators whose memory MPI does not take."""

from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.exchange import Wiring, neighborhoods, pairs
from mpidl.exchange.delayed import Delayed
from mpidl.exchange.neighborhoods import Neighborhoods
from mpidl.exchange.pairs import Pairs
from mpidl.ranks.node import Node
from tests.mpi.dense import start

SIZE = 33


@pytest.fixture
def staged(monkeypatch):
    """The host memory that is asked for."""
    rooms = []

    def room(like):
        rooms.append(torch.zeros(like.shape, dtype=like.dtype))
        return rooms[-1]

    for module in (neighborhoods, pairs):
        monkeypatch.setattr(module, "connect", lambda *given: given[2](False))
        monkeypatch.setattr(module, "pinned", room)
    return rooms


def rounds(comm, made, build, count=4):
    node = Node(comm)
    wiring = Wiring(node, made.hosts, made.mixing_graph, SIZE, torch.device("cpu"), torch.float32)
    exchange = build(wiring)
    for device, vector in exchange.vectors.items():
        vector.copy_(torch.from_numpy(start(made.devices, SIZE)[device]))
    for round_ in range(count):
        weights = made.mixing_weights(round_, list(exchange.vectors))
        exchange.arrive(weights, made.wanted(round_))
        exchange.share()
        exchange.mix()
    found = {device: vector.numpy().copy() for device, vector in exchange.vectors.items()}
    return exchange, node, found


def make(comm, *settings):
    return plan.make(plan.read(None, list(settings), comm.size), comm.size)


@pytest.mark.parametrize(
    ("build", "topology"),
    [
        (Neighborhoods, "chain"),
        (Neighborhoods, "complete"),
        (Delayed, "ring"),
        (Pairs, "random_matching"),
    ],
)
def test_what_leaves_is_staged_and_nothing_else(comm, monkeypatch, staged, build, topology):
    made = make(comm, f"topology.devices={3 * comm.size}", f"topology.name={topology}",
                "strategy.name=unweighted")  # fmt: skip
    exchange, node, found = rounds(comm, made, build)
    # Of a chain the two ends of each rank's part leave, of a matching at most all three.
    vectors = sum(room.numel() for room in staged) // exchange.stride
    if comm.size == 1:
        assert vectors == 0
    elif topology == "chain":
        neighbors = 1 if comm.rank in (0, comm.size - 1) else 2
        assert vectors == 2 * neighbors
    exchange.close()
    node.close()
    monkeypatch.undo()
    exchange, node, want = rounds(comm, made, build)
    exchange.close()
    node.close()
    for device, vector in found.items():
        np.testing.assert_array_equal(vector, want[device])


@pytest.mark.parametrize("build", [Neighborhoods, Delayed])
def test_where_no_rank_reads_anything_there_is_no_message(comm, staged, build):
    devices = 2 * comm.size
    graph = nx.DiGraph([(i, i ^ 1) for i in range(devices)])
    even = {i: ([i, i ^ 1], np.array([0.5, 0.5])) for i in range(devices)}
    made = SimpleNamespace(
        devices=devices,
        hosts=np.arange(devices) // 2,
        mixing_graph=graph,
        mixing_weights=lambda _, own: {i: even[i] for i in own},
        wanted=lambda _: None,
    )
    exchange, node, found = rounds(comm, made, build, 1)
    assert exchange._requests == []
    assert sum(room.numel() for room in staged) == 0
    mean = start(devices, SIZE).reshape(comm.size, 2, SIZE).mean(axis=1)[comm.rank]
    for vector in found.values():
        np.testing.assert_allclose(vector, mean, rtol=1e-6, atol=1e-6)
    exchange.close()
    node.close()
