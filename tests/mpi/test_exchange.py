"""Every backend against the dense mixing matrix, on any number of ranks."""

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.components import placement, strategies
from mpidl.config.faults import Fault
from mpidl.exchange import BACKENDS, Wiring, average, kernels, slab, survey
from mpidl.exchange.average import Average
from mpidl.exchange.slab import Shared
from mpidl.preview import estimates
from mpidl.ranks.node import Node
from tests.mpi.dense import dense, mixed, start

CPU = torch.device("cpu")

HOSTS = {name for name in BACKENDS if "cpu" in (BACKENDS.properties(name).carries or "cpu")}
HERE = sorted(name for name in HOSTS if name != "ccl" or name in survey.groups("cpu", name))
"""The backends that carry what lies in host memory, ``ccl`` if it is installed."""

MESSAGES = sorted({*HERE} - {"allreduce"})
"""Those of them that mix by any weights."""


def make(comm, devices, settings=()):
    file = plan.read(None, [f"topology.devices={devices}", *settings], comm.size)
    return plan.make(file, comm.size)


@contextmanager
def exchange_of(comm, made, size, backend="auto", inner=None, dtype=torch.float32, **options):
    """A backend on all ranks; ``inner`` are the ranks of this node, if not those of the machine."""
    node = Node(comm, inner)
    wiring = Wiring(node, made.hosts, made.mixing_graph, size, CPU, dtype, made.uniform, **options)
    build = backend if callable(backend) else BACKENDS[backend]
    exchange = build(wiring)
    yield exchange
    exchange.close()
    node.close()


def turn(exchange, weights, measure=False):
    exchange.arrive(weights)
    exchange.share()
    exchange.mix(measure)


def run(comm, made, size, turns, backend="auto", **options):
    with exchange_of(comm, made, size, backend, **options) as exchange:
        return mixed(exchange, made, size, turns)


MIXTURES = [name for name in strategies.STRATEGIES if strategies.combines(name)]
"""Strategies that give no weights."""

ROWS = ["degree", "degree_similarity", "federated", "random"]
"""One of each kind: the same weights each round, weights from vectors, one mean, fresh weights."""

SHAPES = [(1, 1), (1, 1000), (2, 17), (3, 3)]
"""Devices of a rank, and parameters."""


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize(
    ("strategy", "hosted", "size"),
    [(name, *shape) for name in ROWS for shape in SHAPES]
    + [(name, 2, 17) for name in sorted({*strategies.STRATEGIES} - {*ROWS} - {*MIXTURES})],
)
def test_rounds_equal_products_of_the_mixing_matrix(comm, backend, strategy, hosted, size):
    comes = ["topology.name=base_k"] if strategy == "given" else []
    made = make(comm, hosted * comm.size, [f"strategy.name={strategy}", *comes])
    made = replace(made, samples=tuple(range(1, made.devices + 1)))
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
        ["strategy.name=degree_similarity", "topology.link_probability=0.5"],
        ["strategy.name=betweenness_similarity", "training.participation=0.5"],
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


@pytest.mark.parametrize("backend", MESSAGES)
def test_two_components_never_mix(comm, backend):
    devices = 2 * comm.size
    graph = nx.DiGraph()
    graph.add_nodes_from(range(devices))
    graph.add_edges_from((i, j) for i in range(devices) for j in range(devices) if i % 2 == j % 2)
    graph.remove_edges_from([(i, i) for i in range(devices)])
    hosts = placement.hosts("blocks", devices, comm.size)
    made = SimpleNamespace(hosts=hosts, mixing_graph=graph, uniform=False)
    with exchange_of(comm, made, 2, backend) as exchange:
        for device, vector in exchange.vectors.items():
            vector.fill_(device % 2)
        for _ in range(6):
            members = {i: [i, *sorted(graph.predecessors(i))] for i in exchange.vectors}
            turn(exchange, {i: (m, np.full(len(m), 1 / len(m))) for i, m in members.items()})
        for device, vector in exchange.vectors.items():
            np.testing.assert_allclose(vector, device % 2, rtol=1e-6)


@pytest.mark.parametrize("backend", MESSAGES)
@pytest.mark.parametrize("hosted", [1, 3])
def test_a_device_without_neighbors_keeps_its_vector(comm, backend, hosted):
    """Device 0 has no links, the last one only hears, the others are a chain in one direction."""
    devices = hosted * comm.size + 1
    graph = nx.DiGraph()
    graph.add_nodes_from(range(devices))
    graph.add_edges_from((i, i + 1) for i in range(1, devices - 1))
    hosts = placement.hosts("blocks", devices, comm.size)
    made = SimpleNamespace(hosts=hosts, mixing_graph=graph, uniform=False)
    want = np.arange(devices, dtype=float)
    with exchange_of(comm, made, 5, backend) as exchange:
        for device, vector in exchange.vectors.items():
            vector.fill_(device)
        for _ in range(3):
            members = {i: [i, *sorted(graph.predecessors(i))] for i in exchange.vectors}
            turn(exchange, {i: (m, np.full(len(m), 1 / len(m))) for i, m in members.items()})
            want[2:] = (want[2:] + want[1:-1]) / 2
        for device, vector in exchange.vectors.items():
            np.testing.assert_allclose(vector, want[device], rtol=1e-6)


@pytest.mark.parametrize("backend", MESSAGES)
def test_what_a_dropped_link_brought_is_not_read(comm, backend):
    made = make(comm, 2 * comm.size)
    with exchange_of(comm, made, 5, backend) as exchange:
        for vector in exchange.vectors.values():
            vector.fill_(float("nan") if made.hosts[1] == comm.rank else 1.0)
        rows = {i: ([i, *sorted(made.graph.predecessors(i))]) for i in exchange.vectors}
        turn(exchange, {i: (m, np.array([1.0] + [0.0] * (len(m) - 1))) for i, m in rows.items()})
        for vector in exchange.vectors.values():
            assert bool(vector.isnan().all()) == (made.hosts[1] == comm.rank)


@pytest.mark.parametrize("size", [1, 2, 1001])
@pytest.mark.parametrize(
    ("hosting", "kind"), [("blocks", "cpu"), ("round_robin", "cpu"), ("blocks", "accelerator")]
)
def test_average_is_the_mean_in_the_same_bits_for_any_hosting(
    comm, size, hosting, kind, monkeypatch
):
    monkeypatch.setattr(average, "COLUMNS", 200)
    devices = 2 * comm.size + 1
    x = start(devices, size)
    hosts = placement.hosts(hosting, devices, comm.size)
    own = {int(i): torch.from_numpy(x[i]) for i in np.flatnonzero(hosts == comm.rank)}
    # One rank says nothing to anybody: it has no more than a size.
    want = Average(SimpleNamespace(size=1), np.zeros(devices, np.int64), size)(
        {i: torch.from_numpy(x[i]) for i in range(devices)}
    )
    spy = Spy(comm)
    found = Average(spy, hosts, size, kind=kind)(own)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_allclose(found, x.mean(0), rtol=1e-5, atol=1e-6)
    if comm.size == 1:
        assert spy.asked == {"size"}
    else:
        assert ("Alltoallv" in spy.asked) == (kind == "cpu")


class Spy:
    """A communicator that remembers what it was asked for."""

    def __init__(self, comm):
        self._comm, self.asked = comm, set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self._comm, name)


@pytest.mark.parametrize("backend", MESSAGES)
def test_bytes_are_those_of_a_vector_for_each_rank_that_wants_it(comm, backend):
    made = make(comm, comm.size, ["topology.name=complete"])
    with exchange_of(comm, made, 10, backend) as exchange:
        for device in exchange.vectors:
            assert exchange.bytes_sent[device] == 40 * (comm.size - 1)
            assert exchange.bytes_received[device] == 40 * (comm.size - 1)


@pytest.mark.parametrize("strategy", ["degree", "federated"])
@pytest.mark.parametrize("backend", ["auto", "allreduce", "mpi", "gloo"])
def test_bytes_are_those_that_a_check_foretells(comm, backend, strategy):
    if backend == "allreduce" and strategy != "federated":
        pytest.skip("takes the mean of all")
    settings = [f"strategy.name={strategy}", f"exchange.backend={backend}"]
    made = make(comm, comm.size + 2, settings)
    sent, received = estimates.traffic(made, comm.size, 12)
    with exchange_of(comm, made, 12, backend) as exchange:
        own = sum(exchange.bytes_sent.values()), sum(exchange.bytes_received.values())
    # An all-reduce's share of the mean is divided among devices, and rounded down for each.
    sums = strategy == "federated" and backend in ("auto", "allreduce")
    rounded = len(made.hosted(comm.rank)) if sums else 0
    assert 0 <= sent[comm.rank] - own[0] <= rounded
    assert 0 <= received[comm.rank] - own[1] <= rounded


def nodes(comm, count):
    """The ranks of this rank's node, if ranks were dealt to so many machines."""
    return comm.Split(comm.rank % count, comm.rank)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["strategy.name=federated"],
        ["topology.name=exponential"],
        ["topology.name=star", "topology.link_probability=0.5"],
        ["topology.name=ring", "training.participation=0.5"],
        ["topology.name=complete", "exchange.mixing=sequential"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("size", [1, 3 * kernels.TILE + 5])
def test_devices_on_several_nodes_mix_like_the_dense_matrix(comm, count, hosting, settings, size):
    made = make(comm, 2 * comm.size + 1, [*settings, f"placement.hosts={hosting}"])
    inner = nodes(comm, count)
    short = partial(Shared, chunk=4 * kernels.TILE)
    found = run(comm, made, size, 5, short, inner=inner)
    alone = run(comm, made, size, 5, "shared" if made.uniform else "mpi")
    want = dense(made, size, 5)
    for device, vector in found.items():
        np.testing.assert_array_equal(vector, alone[device])
        np.testing.assert_allclose(vector, want[device], rtol=2e-5, atol=2e-6)
    inner.Free()


def test_devices_on_several_nodes_find_all_chunks_in_their_inboxes(comm):
    settings = ["strategy.name=degree_similarity", "placement.hosts=round_robin"]
    made, size = make(comm, comm.size + 2, settings), 9 * kernels.TILE + 5
    inner = nodes(comm, 2)
    found = run(comm, made, size, 3, partial(Shared, chunk=4 * kernels.TILE), inner=inner)
    want = run(comm, made, size, 3, "mpi")
    for device, vector in found.items():
        np.testing.assert_array_equal(vector, want[device])
    inner.Free()


@pytest.mark.parametrize(
    "settings",
    [
        ["placement.hosts=round_robin"],
        ["strategy.name=federated"],
        ["topology.name=one_peer_exponential"],
        ["strategy.name=degree_similarity"],
    ],
    ids=" ".join,
)
def test_vectors_mixed_whole_have_the_bits_of_columns(comm, monkeypatch, settings):
    made = make(comm, 2 * comm.size, settings)
    options = {"changing": made.changing}
    whole = run(comm, made, 5000, 4, "shared", **options)
    monkeypatch.setattr(slab, "WHOLE", 0)
    columns = run(comm, made, 5000, 4, "shared", **options)
    for device, vector in whole.items():
        np.testing.assert_array_equal(vector, columns[device])


@pytest.mark.parametrize("size", [1, 5000, 3 * kernels.TILE])
@pytest.mark.parametrize("settings", [[], ["strategy.name=federated"]], ids=" ".join)
def test_backends_give_the_same_bits_and_distances(comm, size, settings):
    made = make(comm, 2 * comm.size + 1, settings)
    found = {}
    for backend in ("shared", "gloo", "allreduce" if made.uniform else "mpi"):
        with exchange_of(comm, made, size, backend) as exchange:
            for device, vector in exchange.vectors.items():
                vector.copy_(torch.from_numpy(start(made.devices, size)[device]))
            for round_ in range(2):
                weights = made.mixing_weights(round_, list(exchange.vectors))
                turn(exchange, weights, measure=round_ == 1)
            vectors = {i: vector.numpy().copy() for i, vector in exchange.vectors.items()}
            found[backend] = vectors, exchange.distances()
    (ours, near), *others = found.values()
    for theirs, far in others:
        for device in ours:
            np.testing.assert_array_equal(ours[device], theirs[device])
        assert near == far


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backend", MESSAGES)
def test_other_numbers_than_float32(comm, backend, dtype):
    made = make(comm, comm.size + 1)
    found, want = run(comm, made, 1001, 1, backend, dtype=dtype), dense(made, 1001, 1)
    tolerance = {torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
    for device, vector in found.items():
        np.testing.assert_allclose(vector, want[device], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
@pytest.mark.parametrize("name", ["ring", "star", "complete"])
def test_delayed_mixes_with_what_the_neighbors_had_a_round_ago(comm, hosting, name):
    """``x <- diag(W) y(t) + (W - diag(W)) y(t - 1)``; training adds the device's number."""
    settings = [f"topology.name={name}", f"placement.hosts={hosting}", "exchange.mixing=delayed"]
    made = make(comm, 2 * comm.size + 1, settings)
    matrix = made.matrix()
    own, others = np.diag(np.diag(matrix)), matrix - np.diag(np.diag(matrix))
    x = start(made.devices, 7).astype(np.float64)
    ago = None
    with exchange_of(comm, made, 7, "auto", delayed=True) as exchange:
        for device, vector in exchange.vectors.items():
            vector.copy_(torch.from_numpy(x[device]))
        for round_ in range(5):
            y = x + np.arange(made.devices)[:, None]
            for device, vector in exchange.vectors.items():
                vector += device
            turn(exchange, made.mixing_weights(round_, list(exchange.vectors)))
            x = own @ y + others @ (y if ago is None else ago)
            ago = y
        for device, vector in exchange.vectors.items():
            np.testing.assert_allclose(vector, x[device], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("backend", MESSAGES)
@pytest.mark.parametrize("delayed", [False, True])
def test_inboxes_hold_what_is_mixed(comm, backend, delayed):
    """The vectors themselves in this round, and in delayed mixing the neighbors' a round ago."""
    if delayed and backend != "mpi":
        pytest.skip("cannot be late")
    made = make(comm, 2 * comm.size + 1)
    with exchange_of(comm, made, 5, backend, delayed=delayed) as exchange:
        for round_ in range(4):
            for device, vector in exchange.vectors.items():
                vector.fill_(100 * round_ + device)
            exchange.arrive({})
            exchange.share()
            inboxes = exchange.inboxes()
            assert sorted(inboxes) == made.hosted(comm.rank)
            for device, found in inboxes.items():
                assert set(found) == {device, *made.graph.predecessors(device)}
                for member, vector in found.items():
                    ago = delayed and round_ > 0 and member != device
                    want = torch.full((5,), float(100 * (round_ - ago) + member))
                    assert torch.equal(vector, want)
            exchange.weigh({i: ([i], np.array([0.5])) for i in inboxes})
            exchange.mix()
            for device, vector in exchange.vectors.items():
                assert torch.equal(vector, torch.full((5,), (100 * round_ + device) / 2))


def test_a_backend_that_cannot_be_late_says_so(comm):
    with pytest.raises(Fault, match="'delayed': moves vectors while devices train"):
        make(comm, comm.size, ["exchange.mixing=delayed", "exchange.backend=shared"])


@pytest.mark.parametrize("backend", sorted({*BACKENDS} - HOSTS))
def test_a_backend_for_accelerators_says_that_it_finds_none(comm, backend):
    (home,) = BACKENDS.properties(backend).carries
    sentence = f"'{backend}': carries vectors in {home} memory, and here they are in cpu "
    with pytest.raises(Fault, match=f"{sentence}memory; 'auto', 'shared', 'gloo' and 'mpi' work."):
        run(comm, make(comm, comm.size), 3, 1, backend)
