"""The ranks of a node wait for each other and show each other numbers, on any number of nodes."""

import os
import time

import numpy as np
import pytest

from mpidl.components import placement
from mpidl.config.faults import Fault
from mpidl.ranks import host, world
from mpidl.ranks import node as room
from mpidl.ranks.node import Board, Node, Shared

KERNELS = ["native", "mpi"] if room._native is not None else ["mpi"]


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count} nodes")
def node(comm, request):
    inner = comm.Split(comm.rank % request.param, comm.rank)
    node = Node(comm, inner)
    yield node
    node.close()
    inner.Free()


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch):
    if request.param == "mpi":
        monkeypatch.setattr(room, "_native", None)


def test_who_is_where(comm, node):
    assert node.alone == (node.count == 1)
    assert node.ranks.tolist() == comm.allgather(int(node.ranks[comm.rank]))
    assert np.flatnonzero(node.ranks == node.ranks[comm.rank]).tolist() == node.inner.allgather(
        comm.rank
    )
    assert (node.leaders is not None) == (node.inner.rank == 0)


def test_memory_is_aligned_and_the_same_for_all_ranks_of_a_node(node):
    for size in (1, 63, 1000):
        memory = node.allocate(size)
        assert len(memory) == size
        assert memory.ctypes.data % room.LINE == 0
        if node.inner.rank == node.inner.size - 1:
            memory[-1] = size % 251
        node.inner.Barrier()
        assert memory[-1] == size % 251


@pytest.mark.parametrize("meet", [False, True])
def test_nobody_passes_before_the_last_has_come(comm, node, kernel, meet):
    """Each rank counts up a place of its own, and after the gate sees everybody's count."""
    counts = node.allocate(8 * node.inner.size).view(np.int64)
    # Barriers of MPI, between whose looks ranks sleep, take thirty milliseconds and more.
    for turn in range(200 if not meet and room._native is not None else 20):
        if turn % 50 == comm.rank:
            time.sleep(0.002)
        counts[node.inner.rank] = turn + 1
        node.meet() if meet else node.wait()
        assert (counts == turn + 1).all()
        node.wait()


def test_all_nodes_meet(comm, node, kernel):
    """A file that the last rank makes is there for everybody after the meeting."""
    path = comm.bcast(f"/tmp/mpidl-meet-{os.getpid()}")
    if comm.rank == comm.size - 1:
        time.sleep(0.05)
        open(path, "w").close()
    node.meet()
    assert os.path.exists(path)
    node.meet()
    if comm.rank == 0:
        os.unlink(path)


@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
def test_a_board_shows_all_rows_in_the_order_of_devices(comm, node, kernel, hosting):
    hosts = placement.hosts(hosting, 2 * comm.size + 1, comm.size)
    board = Board(node, hosts, 3)
    devices = np.arange(len(hosts))[:, None]
    for turn in range(30):
        everyone = 100.0 * turn + 10 * devices + np.arange(3)
        np.testing.assert_array_equal(board.gather(everyone[hosts == comm.rank]), everyone)


def test_arrays_without_room_are_told(comm, monkeypatch):
    """Written past its end, the system would kill the ranks without a word."""
    if comm.size == 1:
        pytest.skip("one rank shares nothing")
    inner = world.node(comm)
    monkeypatch.setattr(room, "room", lambda: 1_000_000)
    arrays = {"inputs": np.zeros(500_000)} if inner.rank == 0 else None
    with pytest.raises(Fault, match=r"^The data set takes 4 MB of memory .* has 1 MB; enlarge it"):
        room.Shared(inner, arrays)
    inner.Free()


def test_shared_memory_keeps_no_name_that_a_killed_job_would_leave(comm):
    world.forget_names(comm)
    mapped = [path for kind in host.SEGMENTS for path in host.loaded(kind)]
    assert not [path for path in mapped if os.path.exists(path)]


def test_shared_arrays_are_those_of_the_leader(comm):
    ranks = world.node(comm)
    arrays = {
        "some": np.arange(6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros((0, 4), np.uint8),
        "labels": np.array([7]),
    }
    shared = Shared(ranks, arrays if ranks.rank == 0 else None)
    for name, array in arrays.items():
        assert shared.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(shared.arrays[name], array)
    ranks.Barrier()
    if ranks.rank == ranks.size - 1:
        shared.arrays["labels"][0] = 8
    ranks.Barrier()
    assert shared.arrays["labels"][0] == 8
    shared.free()
    ranks.Free()
