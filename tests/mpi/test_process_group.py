"""torch.distributed as a backend, by gloo on the CPU; the window of GPUs, on shared files."""

import os
import socket
import sys
import weakref
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl import plan
from mpidl.components import placement
from mpidl.config.faults import Fault
from mpidl.devices import gossip
from mpidl.exchange import (
    BACKENDS,
    Wiring,
    handles,
    process_group,
    rendezvous,
    routes,
    survey,
    windows,
)
from mpidl.exchange.backends.auto import choose
from mpidl.exchange.process_group import Ccl, Gloo, Lane, Xccl
from mpidl.exchange.survey import Facts, obstacle
from mpidl.exchange.windows import Ipc, neighbors
from mpidl.ranks import sharing
from mpidl.ranks.node import Node

pytestmark = pytest.mark.dealt

CPU = torch.device("cpu")

GRAPHS = {
    "ring": "topology.name=ring",
    "star": "topology.name=star",
    "exponential": "topology.name=exponential",
    "complete": "topology.name=complete",
    "federated": "strategy.name=federated",
    "failing": "topology.link_probability=0.5",
}


def make(comm, devices, *settings):
    file = plan.read(None, [f"topology.devices={devices}", *settings], comm.size)
    return plan.make(file, comm.size)


@contextmanager
def built(comm, made, size, build, inner=None, dtype=torch.float32):
    node = Node(comm, inner)
    wiring = Wiring(node, made.hosts, made.mixing_graph, size, CPU, dtype, made.uniform)
    exchange = build(wiring)
    yield exchange
    exchange.close()
    node.close()


def run(comm, made, size, build, turns=3, **options):
    """This rank's vectors after some rounds from the same start."""
    begin = np.random.default_rng(7).normal(size=(made.devices, size))
    with built(comm, made, size, build, **options) as exchange:
        for device, vector in exchange.vectors.items():
            vector.copy_(torch.from_numpy(begin[device]))
        own = list(exchange.vectors)
        for round_ in range(turns):
            exchange.arrive({} if made.looks else made.mixing_weights(round_, own))
            exchange.share()
            if made.looks:
                devices = dict.fromkeys(own, SimpleNamespace(parameters=lambda vector: [vector]))
                look = gossip.opened(exchange.inboxes(), devices)
                exchange.weigh(made.mixing_weights(round_, own, look))
            exchange.mix()
        return {i: vector.numpy().copy() for i, vector in exchange.vectors.items()}


def assert_same(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    for device in ours:
        np.testing.assert_array_equal(ours[device], theirs[device])


# Gloo --------------------------------------------------------------------------------------------


class Lone(Gloo):
    """gloo as if it took no batches."""

    BATCHES = False


# torch is given the name of the class.
Lone.__name__ = "Gloo"

BUILDS = {
    "one chunk": Gloo,
    "chunks": partial(Gloo, chunk=4096),
    "a line each, batches of two": partial(Gloo, chunk=1, limit=2),
    "all to all": partial(Lone, chunk=1024),
}


@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_gloo_gives_the_bits_of_shared_memory(comm, graph, hosting):
    made = make(comm, 2 * comm.size + 1, GRAPHS[graph], f"placement.hosts={hosting}")
    # One number is one chunk, however long chunks may be.
    for size, ways in ((1, ["one chunk", "all to all"]), (1000, BUILDS)):
        want = run(comm, made, size, BACKENDS["shared"])
        for way in ways:
            assert_same(run(comm, made, size, BUILDS[way]), want)


@pytest.mark.parametrize("way", ["chunks", "all to all"])
def test_gloo_opens_the_inboxes_of_shared_memory(comm, way):
    made = make(comm, comm.size + 2, "strategy.name=degree_similarity")
    found = run(comm, made, 3000, BUILDS[way])
    assert_same(found, run(comm, made, 3000, BACKENDS["shared"]))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("graph", ["ring", "complete"])
def test_ranks_of_several_nodes_meet_at_an_address(comm, count, graph):
    if not comm.bcast(rendezvous.addresses()):
        pytest.skip("this host has no address beside loopback")
    made = make(comm, 2 * comm.size + 1, GRAPHS[graph])
    inner = comm.Split(comm.rank % count, comm.rank)
    found = run(comm, made, 100, Gloo, inner=inner)
    assert_same(found, run(comm, made, 100, BACKENDS["shared"]))
    inner.Free()


def test_ranks_that_cannot_meet_say_so(comm, monkeypatch):
    if comm.size < 2:
        pytest.skip("one rank is on one node")
    # The second is one for documentation: nobody has it.
    monkeypatch.setattr(rendezvous, "addresses", lambda: ["127.0.0.2", "198.51.100.1"])
    monkeypatch.setattr(rendezvous, "_answers", lambda *_: False)
    inner = comm.Split(comm.rank, comm.rank)
    with pytest.raises(Fault, match=r"no address of rank 0 \(127.0.0.2\) answers on"):
        run(comm, make(comm, comm.size), 3, Gloo, inner=inner)
    inner.Free()


def listening():
    """Where this process listens: addresses and ports, as Linux tells."""
    own = {os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            _, place, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in own:
                address, _, port = place.partition(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="only Linux tells")
@pytest.mark.parametrize("apart", [False, True])
def test_nobody_listens_where_no_rank_is(comm, apart):
    others = comm.bcast(rendezvous.addresses())
    if apart and not others:
        pytest.skip("this host has no address beside loopback")
    address = others[0] if apart else rendezvous.LOOPBACK
    inner = comm.Split(comm.rank if apart else 0, comm.rank)
    before = listening()
    with built(comm, make(comm, comm.size), 3, Gloo, inner=inner):
        found = listening() - before
        used = address if comm.size > 1 else rendezvous.LOOPBACK
        assert {place for place, _ in found} <= {socket.inet_aton(used)[::-1].hex().upper()}
        # The first rank serves the table of ranks.
        assert found or comm.rank
    inner.Free()


def test_addresses_are_those_that_others_reach():
    names, found = rendezvous.interfaces(), rendezvous.addresses()
    assert "127.0.0.1" in names.values()
    assert not [address for address in found if address.startswith("127.")]
    assert {address for address in names.values() if not address.startswith("127.")} <= {*found}


@pytest.mark.parametrize(
    ("graph", "route"), [("ring", routes.Batches), ("complete", routes.Gathered)]
)
def test_dense_graphs_are_gathered_and_all_that_arrives_is_counted(comm, graph, route):
    if comm.size < 5:
        pytest.skip("a ring of four ranks is dense")
    made = make(comm, comm.size, GRAPHS[graph])
    with built(comm, made, 10, Gloo) as exchange:
        assert type(exchange._route) is route
        reached = 2 if graph == "ring" else comm.size - 1
        assert exchange.bytes_sent == {comm.rank: 40 * reached}
        assert exchange.bytes_received == {comm.rank: 40 * reached}


def test_what_a_group_is_given_lives_as_long_as_it(comm, monkeypatch):
    """In a torch before 2.8 a group may not end while a thread of its lets go of a tensor."""
    given = []

    def noted(call):
        def noting(*tensors, **options):
            given.extend(map(weakref.ref, tensors))
            return call(*tensors, **options)

        return noting

    monkeypatch.setattr(routes, "_all_gather", noted(routes._all_gather))
    monkeypatch.setattr(rendezvous.dist, "all_reduce", noted(rendezvous.dist.all_reduce))
    made = make(comm, 2 * comm.size, GRAPHS["complete"])
    with built(comm, made, 1000, BUILDS["chunks"]) as exchange:
        for _ in range(2):
            exchange.share()
            exchange.mix()
        assert given
        assert all(tensor() is not None for tensor in given)


def test_a_rank_that_nobody_reads_takes_part(comm):
    """Ranks 0 and 1 exchange, the others have no neighbor."""
    graph = nx.empty_graph(2 * comm.size, create_using=nx.DiGraph)
    if comm.size > 1:
        graph.add_edge(0, 2)
    hosts = placement.hosts("blocks", 2 * comm.size, comm.size)
    rows = {i: ([i, *graph.predecessors(i)], np.ones(1 + graph.in_degree(i))) for i in graph}
    made = SimpleNamespace(hosts=hosts, mixing_graph=graph, uniform=False)
    with built(comm, made, 3, Gloo) as exchange:
        for device, vector in exchange.vectors.items():
            vector.fill_(device + 1)
        exchange.arrive({i: rows[i] for i in exchange.vectors})
        exchange.share()
        exchange.mix()
        for device, vector in exchange.vectors.items():
            assert (vector == (4 if device == 2 and comm.size > 1 else device + 1)).all()


def test_a_run_over_gloo_has_the_curves_of_shared_memory(program):
    settings = ["topology.devices=8", "topology.name=complete", "training.rounds=3"]
    ours, theirs = (program(*settings, f"exchange.backend={b}", name=b) for b in ("gloo", "shared"))
    for key in ours:
        if not key.startswith(("series/seconds", "series/bytes")):
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


class Changing(Gloo):
    """gloo that changes the last number of what arrives on rank 0."""

    def _arrived(self, chunk):
        found = super()._arrived(chunk)
        for part in found.values() if self.node.comm.rank == 0 and chunk == 1 else ():
            part[-1] += 1
        return found


Changing.__name__ = "Gloo"


def test_a_group_that_changes_what_it_carries_is_refused(comm):
    if comm.size == 1:
        pytest.skip("to one rank nothing travels")
    told = "^exchange.backend = 'gloo': changes what it carries between cpu memories; 'mpi' works"
    build = partial(Changing, chunk=2048)
    with pytest.raises(Fault, match=told), built(comm, make(comm, comm.size), 1024, build):
        pass


# Batches that do not wait for each other ---------------------------------------------------------


@pytest.mark.parametrize("ranks", [2, 9, 300])
@pytest.mark.parametrize("limit", [2, 8, 256])
@pytest.mark.parametrize("name", ["star", "random"])
def test_batches_have_no_more_messages_than_allowed(name, limit, ranks):
    random = nx.gnp_random_graph(ranks, 0.3, seed=1, directed=True)
    graph = nx.star_graph(ranks - 1).to_directed() if name == "star" else random
    busiest = routes.busy(graph, np.arange(ranks))
    messages = {}
    for source, target in graph.edges:
        turn = routes.turn((target - source) % ranks, busiest, limit)
        for rank in (source, target):
            messages[rank, turn] = messages.get((rank, turn), 0) + 1
    assert max(messages.values()) <= limit
    if busiest <= limit:
        assert {turn for _, turn in messages} == {0}


def test_oneccl_s_old_bindings_are_given_no_batches():
    assert not Ccl.BATCHES
    assert Ccl.__mro__[1].BATCHES


@pytest.mark.parametrize(("version", "chosen"), [("2.8.0+xpu", "direct"), ("2.10.0a0", "")])
def test_a_torch_whose_messages_may_hang_is_told_another_way(monkeypatch, version, chosen):
    """By variables that are there when the group is made, unless a user has chosen."""
    seen = {}
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(
        process_group.ProcessGroup, "__init__", lambda *_: seen.update(process_group.os.environ)
    )
    monkeypatch.setattr(process_group.os, "environ", {"CCL_RECV": "topo"})
    Xccl(None)
    assert (seen.get("CCL_SEND", ""), seen["CCL_RECV"]) == (chosen, "topo")


# The stream of messages --------------------------------------------------------------------------


def test_mixing_waits_for_its_chunk_and_messages_for_the_training(monkeypatch):
    """The calls that torch gets for an accelerator, in their order."""
    told = []

    class Stream:
        def __init__(self, name="lane"):
            self.name = name

        def wait_stream(self, other):
            told.append(f"{self.name} waits for {other.name}")

        def wait_event(self, event):
            told.append(f"{self.name} waits for chunk {event.number}")

        def synchronize(self):
            told.append(f"host waits for {self.name}")

    class Event:
        made = 0

        def __init__(self):
            self.number, Event.made = Event.made, Event.made + 1

        def record(self, stream):
            told.append(f"chunk {self.number} on {stream.name}")

        def synchronize(self):
            told.append(f"host waits for chunk {self.number}")

    @contextmanager
    def stream(_):
        told.append("enter")
        yield
        told.append("leave")

    usual = Stream("usual")
    fake = SimpleNamespace(Stream=Stream, Event=Event, current_stream=lambda: usual, stream=stream)
    monkeypatch.setattr(torch, "cuda", fake)
    lane = Lane(torch.device("cuda", 0), 2)
    with lane.open():
        for chunk in range(2):
            work = SimpleNamespace(wait=lambda chunk=chunk: told.append(f"message of {chunk}"))
            lane.load(chunk, [work])
    lane.wait(0)
    lane.wait(1)
    lane.rest()
    assert told == [
        "lane waits for usual",
        "enter",
        "message of 0",
        "chunk 0 on lane",
        "message of 1",
        "chunk 1 on lane",
        "leave",
        "usual waits for chunk 0",
        "host waits for chunk 0",
        "usual waits for chunk 1",
        "host waits for usual",
    ]


# The window of GPUs ------------------------------------------------------------------------------


@pytest.fixture
def files(monkeypatch):
    """Host memory that has a file's name, instead of a GPU's that has a handle."""
    monkeypatch.setattr(handles, "export", lambda m: m.untyped_storage()._share_filename_cpu_())
    opened = torch.UntypedStorage._new_shared_filename_cpu
    monkeypatch.setattr(handles, "opened", lambda handle, _: opened(*handle))


@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_window_gives_the_bits_of_shared_memory(comm, files, graph, hosting):
    made = make(comm, 2 * comm.size + 1, GRAPHS[graph], f"placement.hosts={hosting}")
    for size in (1, 1000):
        found = run(comm, made, size, Ipc)
        assert_same(found, run(comm, made, size, BACKENDS["shared"]))


def test_a_window_opens_the_inboxes_of_shared_memory(comm, files):
    made = make(comm, comm.size + 2, "strategy.name=degree_similarity")
    found = run(comm, made, 100, Ipc)
    assert_same(found, run(comm, made, 100, BACKENDS["shared"]))


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_window_to_another_gpu_reads_each_vector_once(comm, files, monkeypatch, graph):
    """Each rank on a GPU of its own: what several of its devices read is copied first."""
    made = make(comm, 3 * comm.size, GRAPHS[graph])
    monkeypatch.setattr(sharing, "distant", lambda comm, _: {*range(comm.size)} - {comm.rank})
    assert_same(run(comm, made, 100, Ipc), run(comm, made, 100, BACKENDS["shared"]))
    with built(comm, made, 100, Ipc) as exchange:
        far = [memory.data_ptr() for memory in exchange._foreign.values()]
        read = [v.data_ptr() for row in exchange._current.members for v in row]
        length = 2 * 3 * exchange.stride * 4
        crossing = [p for p in read if any(0 <= p - begin < length for begin in far)]
    assert len(crossing) == len(set(crossing))


def test_a_window_frees_what_it_exported_when_nobody_maps_it(comm, files, monkeypatch):
    """Before, torch would keep the file that counts who maps it; so the last step of each rank."""
    told = []
    with built(comm, make(comm, comm.size), 3, Ipc) as exchange:
        meet, memory = exchange.node.meet, exchange._memory
        monkeypatch.setattr(exchange.node, "meet", lambda: meet() or told.append("met"))
        monkeypatch.setattr(
            handles, "release", lambda freed: told.append((freed is memory, exchange._foreign))
        )
    assert told == ["met", (True, {})]


def something_else(opened):
    """Of the memory of others a copy, made before they have written anything."""
    return lambda handle, device: opened(handle, device).clone()


def test_a_window_that_shows_something_else_is_refused(comm, files, monkeypatch):
    if comm.size < 2:
        pytest.skip("one rank maps nothing")
    monkeypatch.setattr(handles, "opened", something_else(handles.opened))
    with pytest.raises(Fault, match=r"holds other numbers than they wrote; 'mpi' works\."):
        run(comm, make(comm, comm.size), 3, Ipc)


def refused(*_):
    """What the system says where one process may not see into another."""
    raise RuntimeError("pidfd_getfd: Operation not permitted\nand where torch was then")


@pytest.mark.parametrize("name", ["export", "opened"])
def test_memory_that_cannot_be_mapped_is_found_out_by_all(comm, files, monkeypatch, name):
    """One rank fails, in its export or its mapping, and nobody waits for it."""
    node = Node(comm)
    made = make(comm, comm.size + 1, "topology.name=complete")
    wiring = Wiring(node, made.hosts, made.mixing_graph, 3, CPU, torch.float32)
    assert windows.hindrance(wiring) == ""
    if comm.rank == comm.size - 1:
        monkeypatch.setattr(handles, name, refused)
    told = "pidfd_getfd: Operation not permitted" if comm.size > 1 else ""
    assert windows.hindrance(wiring) == told
    node.close()


def test_memory_that_shows_something_else_is_found_out(comm, files, monkeypatch):
    if comm.size < 2:
        pytest.skip("one rank maps nothing")
    if comm.rank == 1:
        opened = handles.opened
        monkeypatch.setattr(handles, "opened", lambda *given: opened(*given).clone().fill_(0))
    node = Node(comm)
    made = make(comm, comm.size, "topology.name=complete")
    wiring = Wiring(node, made.hosts, made.mixing_graph, 3, CPU, torch.float32)
    assert windows.hindrance(wiring) == "what rank 0 wrote is not what is seen of it"
    node.close()


def test_who_maps_whom():
    graph = nx.DiGraph([(0, 2), (1, 2), (3, 0), (4, 5), (2, 3)])
    hosts = np.array([0, 0, 1, 1, 2, 2])
    assert neighbors(graph, hosts, 0) == ({1: [2, 3]}, {1})
    assert neighbors(graph, hosts, 1) == ({0: [0, 1]}, {0})
    assert neighbors(graph, hosts, 2) == ({}, set())


# What auto takes ---------------------------------------------------------------------------------

CUDA = {"kinds": frozenset({"cuda"}), "groups": frozenset({"gloo", "nccl"})}
XPU = {"kinds": frozenset({"xpu"}), "groups": frozenset({"gloo", "xccl"})}

CHOICES = [
    ({"kinds": frozenset({"cpu"})}, "shared", "vectors are in host memory"),
    (
        {"kinds": frozenset({"cpu"}), "nodes": 9, "groups": frozenset({"gloo"})},
        "shared",
        "host memory",
    ),
    ({"kinds": frozenset({"cpu"}), "uniform": True}, "shared", "host memory"),
    ({"kinds": frozenset({"cpu"}), "needed": 65, "room": 64}, "mpi", "of a node has 64 MB"),
    (
        {"kinds": frozenset({"cpu"}), "needed": 65, "room": 64, "uniform": True},
        "allreduce",
        "shared needs 65 MB",
    ),
    ({"kinds": frozenset({"cpu"}), "needed": 64, "room": 64}, "shared", "host memory"),
    ({"kinds": frozenset({"cpu"}), "delayed": True}, "mpi", "vectors travel while devices train"),
    (dict(CUDA, delayed=True, reach=True), "mpi", "vectors travel while devices train"),
    (dict(CUDA, uniform=True, reach=True), "allreduce", "every device takes the mean of all"),
    (dict(CUDA, kinds=frozenset({"cuda", "cpu"})), "mpi", "vectors are in cpu and cuda memory"),
    (dict(CUDA, travel=False, reach=True), "mpi", "no rank reads a vector of another"),
    (dict(CUDA, reach=True), "ipc", "GPUs share a node"),
    (dict(CUDA, reach=True, crowded=True), "ipc", "ranks share a GPU"),
    (
        dict(CUDA, reach=True, unmapped="no luck"),
        "nccl",
        "of its own; ipc maps the memory of other ranks, which fails here: no luck",
    ),
    (dict(CUDA, reach=True, crowded=True, unmapped="no"), "mpi", "an accelerator; ipc maps the"),
    (dict(CUDA, reach=True, nodes=2), "nccl", "each rank has an accelerator of its own"),
    (dict(CUDA), "nccl", "each rank has an accelerator of its own"),
    (dict(CUDA, crowded=True, nodes=2, reach=True), "mpi", "ranks share an accelerator"),
    (dict(CUDA, groups=frozenset({"gloo"})), "mpi", "nccl is not in the torch of every rank"),
    (dict(XPU), "xccl", "each rank has an accelerator of its own"),
    (dict(XPU, mended=False), "mpi", "messages of xccl may never arrive in a torch before 2.9"),
    (dict(XPU, groups=frozenset({"gloo", "ccl"}), mended=False), "ccl", "of its own"),
    (dict(XPU, groups=frozenset({"gloo", "ccl"})), "ccl", "an accelerator of its own"),
    (dict(XPU, groups=frozenset({"gloo"})), "mpi", "xccl is not in the torch of every rank"),
    (
        dict(XPU, groups=frozenset({"gloo"}), broken={"ccl": "nid7 (OSError: libmpi.so)"}),
        "mpi",
        "xccl is not in the torch of every rank; ccl is installed and does not load on nid7",
    ),
    (dict(XPU, crowded=True), "mpi", "ranks share an accelerator"),
    (dict(XPU, nodes=2), "mpi", "it is the one proven on XPUs of several nodes"),
]


@pytest.mark.parametrize(("facts", "name", "reason"), CHOICES)
def test_what_auto_takes_and_why(facts, name, reason):
    found, why = choose(Facts(**facts))
    assert found == name
    assert reason in why
    assert obstacle(found, Facts(**facts)) is None


@pytest.mark.parametrize(
    ("name", "facts", "reason"),
    [
        ("nccl", dict(CUDA, crowded=True), "takes one rank per GPU, and here ranks share one"),
        ("nccl", dict(CUDA, groups=frozenset()), "is not in the torch of every rank"),
        ("gloo", CUDA, "carries vectors in cpu memory, and here they are in cuda memory"),
        (
            "shared",
            {"kinds": frozenset({"cpu"}), "needed": 2_560, "room": 64},
            "needs 2,560 MB of memory that ranks share, and /dev/shm of a node has 64 MB",
        ),
        ("shared", XPU, "carries vectors in cpu memory, and here they are in xpu memory"),
        ("ipc", dict(CUDA, nodes=3), "reads GPUs of one node, and the ranks are on 3"),
        ("ipc", CUDA, "reads other GPUs' memory, which the GPUs here, or those that ranks see"),
        (
            "ipc",
            dict(CUDA, reach=True, unmapped="pidfd_getfd: Operation not permitted"),
            "maps the memory of other ranks, which fails here: pidfd_getfd: Operation not",
        ),
        ("xccl", dict(XPU, groups=frozenset({"ccl"})), "is not in the torch of every rank"),
        ("ccl", XPU, "needs oneccl_bindings_for_pytorch, which not every rank has"),
        ("ccl", CUDA, "carries vectors in cpu or xpu memory, and here they are in cuda memory"),
    ],
)
def test_why_a_backend_is_refused(name, facts, reason):
    assert (obstacle(name, Facts(**facts)) or "").startswith(reason)


BINDINGS = "oneccl_bindings_for_pytorch"


@pytest.fixture
def bindings(comm, monkeypatch, tmp_path):
    """As ``bindings(text)``: installs in this process a package that stands in for oneCCL's."""

    def install(text):
        (tmp_path / f"{BINDINGS}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, BINDINGS, raising=False)

    yield install
    sys.modules.pop(BINDINGS, None)


def test_bindings_that_do_not_load_are_told_with_their_error(comm, bindings):
    """One rank's are broken: all ranks say the same."""
    bindings("raise OSError('libfabric.so.1: cannot open')" if comm.rank == comm.size - 1 else "")
    told = (
        r"^exchange.backend = 'ccl': is installed and does not load on \S+ \(OSError: libfabric"
        r".so.1: cannot open\); 'auto', 'shared', 'gloo' and 'mpi' work\.$"
    )
    with pytest.raises(Fault, match=told), built(comm, make(comm, comm.size), 3, BACKENDS["ccl"]):
        pass


def test_bindings_that_nobody_asks_for_are_not_loaded_for_processors(comm, bindings):
    bindings("raise OSError('never')")
    with built(comm, make(comm, comm.size), 3, BACKENDS["auto"]):
        assert survey.groups("cpu") == {"gloo": ""}
        assert BINDINGS not in sys.modules


def test_bindings_run_on_processors(comm, bindings, monkeypatch):
    """What they bring is gloo here, under another name."""
    bindings("")
    monkeypatch.setattr(torch.distributed, "is_backend_available", lambda name: name != "xccl")
    begin = torch.distributed.init_process_group
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend, **given: begin("gloo", **given)
    )
    made = make(comm, 2 * comm.size + 1)
    found = run(comm, made, 100, BACKENDS["ccl"])
    assert_same(found, run(comm, made, 100, BACKENDS["shared"]))


@pytest.mark.parametrize(
    ("asked", "version", "want"),
    [("1", (2, 30, 7), True), ("1", (2, 28, 9), False), ("0", (3, 0, 0), False)],
)
def test_nccl_takes_several_ranks_on_a_gpu_where_it_was_asked_to(monkeypatch, asked, version, want):
    monkeypatch.setenv(survey.SEVERAL, asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: version)
    assert survey.several() == want
    crowded = Facts(**CUDA, crowded=True, several=want)
    assert (obstacle("nccl", crowded) is None) == want
    # Nobody has seen that it is faster.
    assert choose(crowded)[0] == "mpi"


def test_memory_that_ranks_cannot_share_is_foreseen(comm, monkeypatch, tmp_path):
    """Written past its end, the system would kill the ranks without a word."""
    if comm.size == 1:
        pytest.skip("one rank shares nothing")
    monkeypatch.setattr(survey, "room", lambda: 1_000_000)
    size = 1_000_000
    with built(comm, make(comm, comm.size), size, BACKENDS["auto"]) as exchange:
        assert type(exchange).__name__ == "Neighborhoods"
        assert f"needs {2 * comm.size * 4 + 1} MB" in exchange.reason
    with (
        pytest.raises(Fault, match=r"^exchange.backend = 'shared': needs \d+ MB of memory"),
        built(comm, make(comm, comm.size), size, BACKENDS["shared"]),
    ):
        pass


def test_a_run_says_why_it_takes_its_backend(comm):
    with built(comm, make(comm, comm.size), 3, BACKENDS["auto"]) as exchange:
        assert exchange.reason == "vectors are in host memory"
    with built(comm, make(comm, comm.size), 3, BACKENDS["shared"]) as exchange:
        assert exchange.reason == ""
