"""Memory that a node shares, and faults that only some ranks see."""

import numpy as np
import pytest

from mpidl import world
from mpidl.faults import Fault


def test_a_fault_on_one_rank_is_raised_on_all(comm):
    def fail_on_the_last():
        if comm.rank == comm.size - 1:
            raise Fault("it is not there.")
        return comm.rank

    with pytest.raises(Fault, match="it is not there"):
        world.agree(comm, fail_on_the_last)
    assert world.agree(comm, lambda: comm.rank) == comm.rank


def test_shared_arrays_are_those_of_the_leader(comm):
    node = world.node(comm)
    arrays = {
        "some": np.arange(6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros((0, 4), np.uint8),
        "labels": np.array([7]),
    }
    shared = world.Shared(node, arrays if node.rank == 0 else None)
    for name, array in arrays.items():
        assert shared.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(shared.arrays[name], array)
    node.Barrier()
    if node.rank == node.size - 1:
        shared.arrays["labels"][0] = 8
    node.Barrier()
    assert shared.arrays["labels"][0] == 8
    shared.free()
    node.Free()
