"""Faults that only some ranks see."""

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import world


def test_a_fault_on_one_rank_is_raised_on_all(comm):
    done = []

    def fail_on_the_last():
        if comm.rank == comm.size - 1:
            raise Fault("it is not there.")
        done.append(comm.rank)

    with pytest.raises(Fault, match="it is not there"), world.agreed(comm):
        fail_on_the_last()
    assert len(done) == (comm.rank < comm.size - 1)
    with world.agreed(comm):
        done = [comm.rank]
    assert done == [comm.rank]
