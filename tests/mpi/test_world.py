"""Faults that only some ranks see."""

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import world


def test_a_fault_on_one_rank_is_raised_on_all(comm):
    def fail_on_the_last():
        if comm.rank == comm.size - 1:
            raise Fault("it is not there.")
        return comm.rank

    with pytest.raises(Fault, match="it is not there"):
        world.agree(comm, fail_on_the_last)
    assert world.agree(comm, lambda: comm.rank) == comm.rank
