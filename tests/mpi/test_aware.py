"""When MPI is trusted with accelerator memory; host memory stands in for it here."""

from contextlib import contextmanager
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.exchange import Wiring, aware, neighborhoods, pairs
from mpidl.exchange.delayed import Delayed
from mpidl.exchange.neighborhoods import Neighborhoods
from mpidl.exchange.pairs import Pairs
from mpidl.exchange.trips import few, ranks_served
from mpidl.ranks.node import Node
from tests.mpi.dense import start

KINDS = [Neighborhoods, Pairs, Delayed]
"""The exchanges that hand vectors to MPI."""

SIZE = 1000


@pytest.fixture
def hosted(monkeypatch):
    """Host memory that is not pinned, which only a torch for accelerators does."""
    for module in (neighborhoods, pairs):
        monkeypatch.setattr(module, "pinned", torch.zeros_like)


@contextmanager
def built(comm, kind):
    """An exchange over a ring of twice as many devices as ranks, and the mixture that it owes."""
    made = plan.make(
        plan.read(None, [f"topology.devices={2 * comm.size}", "topology.name=ring"], comm.size),
        comm.size,
    )
    node = Node(comm)
    cpu, graph = torch.device("cpu"), made.mixing_graph
    exchange = kind(Wiring(node, made.hosts, graph, SIZE, cpu, torch.float32))
    yield exchange, made
    exchange.close()
    node.close()


def wiring(comm, wanted="auto", kind="cuda"):
    return SimpleNamespace(comm=comm, device=SimpleNamespace(type=kind), accelerator_aware=wanted)


def mixes(exchange, made):
    """Whether a round gives what the mixing matrix gives, from vectors that are all zero before."""
    begin = start(made.devices, SIZE)
    for device, vector in exchange.vectors.items():
        assert not vector.any()
        vector.copy_(torch.from_numpy(begin[device]))
    exchange.arrive(made.mixing_weights(0, list(exchange.vectors)))
    exchange.share()
    exchange.mix()
    want = made.matrix() @ begin
    for device, vector in exchange.vectors.items():
        np.testing.assert_allclose(vector, want[device], rtol=2e-5, atol=2e-6)
    return True


def flawed(exchange, place=SIZE // 2):
    """What moves vectors, and changes one number on its way to rank 0."""

    def move():
        found = exchange._moved()
        for vector in found.values() if exchange.node.comm.rank == 0 else ():
            vector[place] += 1
        return found

    return move


def trusted(monkeypatch, here=True, says=True):
    monkeypatch.setattr(aware, "takes", lambda _: here)
    monkeypatch.setattr(aware, "supports", lambda _: says)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", ["auto", "yes"])
def test_an_mpi_through_which_marks_arrive_is_trusted(comm, monkeypatch, hosted, kind, wanted):
    trusted(monkeypatch)
    with built(comm, kind) as (exchange, made):
        aware.connect(wiring(comm, wanted), exchange, exchange._link, exchange._moved)
        assert exchange._direct
        assert mixes(exchange, made)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, SIZE - 1])
def test_one_wrong_number_on_one_rank_sends_all_through_the_host(
    comm, monkeypatch, hosted, kind, place
):
    if comm.size == 1:
        pytest.skip("to one rank nothing travels")
    trusted(monkeypatch)
    with built(comm, kind) as (exchange, made):
        move = flawed(exchange, place)
        aware.connect(wiring(comm), exchange, exchange._link, move)
        assert not exchange._direct
        assert mixes(exchange, made)


def test_who_demands_it_is_told(comm, monkeypatch, hosted):
    if comm.size == 1:
        pytest.skip("to one rank nothing travels")
    trusted(monkeypatch)
    told = "^exchange.accelerator_aware = 'yes': this MPI changes what it carries between cuda mem"
    with built(comm, Neighborhoods) as (exchange, _), pytest.raises(Fault, match=told):
        aware.connect(wiring(comm, "yes"), exchange, exchange._link, flawed(exchange))


@pytest.mark.parametrize(
    ("wanted", "here", "says"),
    [("auto", False, True), ("no", True, True), ("yes", True, False)],
)
def test_only_an_mpi_that_says_so_is_tried(comm, monkeypatch, wanted, here, says):
    """Where one rank knows better than the others, none of them is given to MPI."""
    last = comm.rank == comm.size - 1
    trusted(monkeypatch, here or not last, says or not last)
    ways = []
    untried = SimpleNamespace()
    if wanted == "yes":
        with pytest.raises(Fault, match="this MPI says that it does not take cuda memory; 'auto'"):
            aware.connect(wiring(comm, wanted), untried, ways.append, None)
        assert ways == []
    else:
        aware.connect(wiring(comm, wanted), untried, ways.append, None)
        assert ways == [False]


def test_ranks_on_processors_ask_with_the_others(comm, monkeypatch):
    """They need no trust, and yet all others would wait for their answer."""
    trusted(monkeypatch, here=False)
    kind, ways = "cpu" if comm.rank == 0 else "cuda", []
    aware.connect(wiring(comm, kind=kind), SimpleNamespace(), ways.append, None)
    assert ways == [kind == "cpu"]


@pytest.mark.parametrize("hosts", [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 2, 3, 0, 1, 2, 3]])
def test_of_all_links_a_few_reach_each_rank_from_two_others(hosts):
    hosts = np.array(hosts)
    graph = nx.complete_graph(8, nx.DiGraph)
    found = few(graph, hosts)
    assert set(found.edges) <= set(graph.edges)
    for rank in range(4):
        receive, _ = ranks_served(found, hosts, rank)
        assert sorted((other - rank) % 4 for other in receive) == [1, 3]
        assert all(len(devices) == 1 for devices in receive.values())


def test_of_no_links_none_are_tried():
    graph = nx.empty_graph(3, nx.DiGraph)
    assert not few(graph, np.array([0, 1, 1])).edges
