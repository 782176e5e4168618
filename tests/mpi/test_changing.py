"""Graphs that change: each round's W by every backend, what travels, and whole runs."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.config.faults import Fault
from mpidl.exchange import BACKENDS, Wiring, kernels, pairs, traffic
from mpidl.exchange.backends.auto import choose
from mpidl.exchange.pairs import Pairs
from mpidl.exchange.routes import Batches, Gathered
from mpidl.exchange.slab import Shared
from mpidl.exchange.survey import Facts
from mpidl.preview import estimates
from mpidl.ranks.node import Node
from tests.mpi.dense import dense, mixed, once, start

pytestmark = pytest.mark.dealt

CPU = torch.device("cpu")

MESSAGES = sorted(n for n in BACKENDS.having(means=False) if not BACKENDS.properties(n).carries)
MESSAGES += BACKENDS.having(carries=("cpu",))

TURNS = 6

KINDS = [
    "topology.name=one_peer_exponential strategy.name=unweighted",
    "topology.name=base_k strategy.name=given",
    "topology.name=random_matching strategy.name=degree",
    "topology.name=epidemic topology.draw=local topology.degree=1 strategy.name=random",
    "topology.name=epidemic strategy.name=degree_similarity",
    "topology.name=mobility topology.speed=0.2 strategy.name=betweenness topology.refresh=3",
    "topology.name=mobility strategy.name=metropolis_hastings topology.link_probability=0.5",
    "topology.name=regular_each_round topology.degree=2 strategy.name=unweighted",
    "topology.name=matcha topology.base=ring strategy.name=given training.participation=0.6",
    "topology.name=random_matching strategy.name=federated",
    "topology.name=random_matching exchange.mixing=sequential",
    "topology.name=epidemic topology.degree=1 algorithm.name=push_sum strategy.name=degree",
    "topology.name=regular_each_round topology.degree=2 network.leave=0.3 strategy.name=sinkhorn",
]


def make(comm, devices, settings):
    common = [f"training.rounds={TURNS}", "topology.allow_disconnected=true"]
    common.append(f"topology.devices={devices}")
    made = plan.make(plan.read(None, [*common, *settings.split()], comm.size), comm.size)
    return replace(made, samples=tuple(range(1, devices + 1)))


@contextmanager
def exchange_of(comm, made, size, backend="auto", inner=None):
    node = Node(comm, inner)
    delayed = made.file.exchange.mixing == "delayed"
    wiring = Wiring(
        *(node, made.hosts, made.mixing_graph, size, CPU, torch.float32),
        uniform=made.uniform,
        delayed=delayed,
        changing=made.changing,
    )
    exchange = (backend if callable(backend) else BACKENDS[backend])(wiring)
    yield exchange
    exchange.close()
    node.close()


def run(comm, made, size, backend="auto", **options):
    with exchange_of(comm, made, size, backend, **options) as exchange:
        return mixed(exchange, made, size, TURNS)


def agree(found, want):
    for device, vector in found.items():
        np.testing.assert_allclose(vector, want[device], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("backend", MESSAGES)
@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("more", [0, 1])
def test_each_round_mixes_by_its_own_matrix(comm, backend, settings, more):
    """One device a rank, and several, unevenly."""
    devices = max(3, (1 + more) * comm.size + more)
    made = make(comm, devices, settings)
    assert made.changing == ("federated" not in settings)
    agree(run(comm, made, 33, backend), dense(made, 33, TURNS))


@pytest.mark.parametrize("settings", KINDS)
def test_backends_give_the_same_bits(comm, settings):
    made = make(comm, 2 * comm.size + 1, f"{settings} placement.hosts=round_robin")
    if made.uniform:
        pytest.skip("adds in the order of an all-reduce")
    ours, theirs, others = (run(comm, made, 1001, backend) for backend in ("shared", "mpi", "gloo"))
    for device, vector in ours.items():
        np.testing.assert_array_equal(vector, theirs[device])
        np.testing.assert_array_equal(vector, others[device])


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("size", [1, 3 * kernels.TILE + 5])
def test_on_several_nodes_only_what_a_round_wants_goes_between_them(comm, count, settings, size):
    made = make(comm, 2 * comm.size + 1, settings)
    inner = comm.Split(comm.rank % count, comm.rank)
    found = run(comm, made, size, partial(Shared, chunk=4 * kernels.TILE), inner=inner)
    agree(found, dense(made, size, TURNS))
    inner.Free()


def test_vectors_that_a_round_does_not_want_do_not_travel(comm):
    """On one peer of 2^k: all that a rank has of others are the vectors of this round."""
    made = make(comm, 2 * comm.size + 1, "topology.name=one_peer_exponential")
    with exchange_of(comm, made, 5, "mpi") as exchange:
        assert isinstance(exchange, Pairs)
        most = 0
        for round_ in range(TURNS):
            for device, vector in exchange.vectors.items():
                vector.fill_(100 * round_ + device)
            exchange.arrive({}, made.wanted(round_))
            exchange.share()
            graph, foreign = made.topology.sequence.at(round_), set()
            for device, found in exchange.inboxes().items():
                assert set(found) == {device, *graph.predecessors(device)}
                foreign |= {j for j in found if made.hosts[j] != comm.rank}
                for member, vector in found.items():
                    assert torch.equal(vector, torch.full((5,), float(100 * round_ + member)))
            most = max(most, len(foreign))
            exchange.replace({})
        assert len(exchange._inbox) == most


@pytest.mark.parametrize("backend", MESSAGES)
@pytest.mark.parametrize("settings", ["topology.name=one_peer_exponential", KINDS[3]])
def test_bytes_are_those_of_the_links_of_the_round(comm, backend, settings):
    made = make(comm, 2 * comm.size, settings)
    if backend == "gloo" and comm.size < 3:
        pytest.skip("sends every vector to the other rank")
    with exchange_of(comm, made, 10, backend) as exchange:
        for round_ in range(TURNS):
            once(exchange, made, round_)
            wanted = {(j, int(made.hosts[i])) for j, i in made.round_graph(round_).edges}
            between = [(j, to) for j, to in wanted if made.hosts[j] != to]
            for device in exchange.vectors:
                sent = sum(j == device for j, _ in between)
                assert exchange.bytes_sent[device] == 40 * sent
            arrived = sum(to == comm.rank for _, to in between)
            assert sum(exchange.bytes_received.values()) == 40 * arrived
            if round_ == 0:
                sent, received = estimates.traffic(made, comm.size, 10)
                assert sent[comm.rank] == sum(exchange.bytes_sent.values())
                assert received[comm.rank] == sum(exchange.bytes_received.values())


def test_gloo_gathers_in_the_rounds_in_which_the_graph_is_dense(comm):
    """Devices walk: in some rounds most ranks want most vectors, in others few do."""
    kind = "topology.name=mobility topology.speed=0.5 topology.radius=0.6"
    made = make(comm, comm.size, kind)
    with exchange_of(comm, made, 10, "gloo") as exchange:
        for round_ in range(TURNS):
            once(exchange, made, round_)
            gathers = traffic.dense(made.round_graph(round_), made.hosts, comm.size)
            assert isinstance(exchange._route, Gathered if gathers else Batches)


@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
def test_delayed_mixes_by_this_rounds_links_what_was_there_a_round_ago(comm, hosting):
    """``x <- diag(W_t) y(t) + (W_t - diag(W_t)) y(t - 1)``; training adds the device's number."""
    settings = f"topology.name=random_matching exchange.mixing=delayed placement.hosts={hosting}"
    made = make(comm, 2 * comm.size + 1, settings)
    x, ago = start(made.devices, 7).astype(np.float64), None
    with exchange_of(comm, made, 7) as exchange:
        for device, vector in exchange.vectors.items():
            vector.copy_(torch.from_numpy(x[device]))
        for round_ in range(TURNS):
            y = x + np.arange(made.devices)[:, None]
            for device, vector in exchange.vectors.items():
                vector += device
            once(exchange, made, round_)
            own = np.diag(np.diag(made.matrix(round_)))
            x = own @ y + (made.matrix(round_) - own) @ (y if ago is None else ago)
            ago = y
        agree({d: vector.numpy() for d, vector in exchange.vectors.items()}, x)


def test_vectors_of_accelerators_may_go_through_host_memory(comm, monkeypatch):
    """As where MPI is not trusted with an accelerator's memory; here both lie in the host's."""

    class Staged(Pairs):
        @property
        def _direct(self):
            return False

        @_direct.setter
        def _direct(self, value):
            pass

    monkeypatch.setattr(pairs, "pinned", torch.zeros_like)
    made = make(comm, 2 * comm.size + 1, "topology.name=epidemic topology.degree=1")
    agree(run(comm, made, 33, Staged), dense(made, 33, TURNS))


def test_auto_takes_shared_memory_and_says_why(comm):
    made = make(comm, comm.size, "topology.name=random_matching")
    with exchange_of(comm, made, 3) as exchange:
        assert isinstance(exchange, Shared)
        assert exchange.reason.startswith("the graph changes, and vectors in host memory")


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        ({"kinds": {"cpu"}, "nodes": 2}, "shared"),
        ({"kinds": {"cpu"}, "needed": 2, "room": 1}, "mpi"),
        ({"kinds": {"cuda"}, "nodes": 2, "groups": frozenset(["nccl"])}, "nccl"),
        ({"kinds": {"cuda"}, "reach": True}, "ipc"),
        ({"kinds": {"cpu"}, "delayed": True}, "mpi"),
    ],
)
def test_auto_takes_what_moves_only_what_a_round_wants(facts, want):
    found = choose(Facts(**{**facts, "kinds": frozenset(facts["kinds"])}, changing=True))
    assert found[0] == want


def test_weights_of_the_topology_need_a_topology_that_has_some(comm):
    for settings in ("topology.name=ring", "topology.name=random_matching"):
        with pytest.raises(Fault, match="'given': takes the weights of the topology, and this one"):
            make(comm, comm.size + 1, f"{settings} strategy.name=given")


RUNS = {
    "one_peer": "topology.name=one_peer_exponential strategy.name=unweighted",
    "epidemic": "topology.name=epidemic topology.degree=1 strategy.name=degree_similarity",
    "walk": "topology.name=mobility topology.refresh=2 topology.link_probability=0.7",
    "tracking": "topology.name=base_k strategy.name=given algorithm.name=gradient_tracking",
    "late": "topology.name=epidemic topology.degree=1 network.delay=[0,2] network.leave=0.2",
    "attacked": "topology.name=regular_each_round attack.name=noise strategy.name=median",
    "pushed": "topology.name=epidemic topology.degree=1 algorithm.name=push_sum",
}


@pytest.mark.parametrize("backend", ["auto", "mpi"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_same_on_any_number_of_ranks(comm, program, name, backend):
    settings = (
        *("topology.devices=8", "topology.allow_disconnected=true", "training.rounds=4"),
        *(RUNS[name].split()),
        f"exchange.backend={backend}",
    )
    ours, alone = program(*settings), program(*settings, alone=True, name="alone")
    for key, values in alone.items():
        timed = key.startswith(("series/seconds", "series/bytes"))
        if not timed and key != "placement/rank":
            np.testing.assert_array_equal(ours[key], values, err_msg=key)
    assert (ours["series/seconds_weights"] > 0).all()
    if comm.size > 1:
        assert len({row.sum() for row in ours["series/bytes_sent"]}) >= 1 + (name == "one_peer")


def test_a_results_file_tells_which_link_works_when(comm, program, planned):
    settings = ("topology.name=random_matching", "training.rounds=5", "training.participation=0.5")
    settings = (*settings, "topology.devices=6", "topology.allow_disconnected=true")
    found, made = program(*settings), planned(*settings)
    for round_, row in enumerate(found["graph/lag"]):
        there = {tuple(edge) for edge in found["graph/edges"][row == 0].tolist()}
        assert there == set(made.round_graph(round_).edges)
    assert found["graph/W"].shape == (6, 6)
    assert "graph/eigenvalue" not in found
