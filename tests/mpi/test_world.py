"""Faults that only some ranks see, or that all see at devices of their own."""

import pytest

from mpidl.components.strategies import STRATEGIES
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


def test_of_faults_at_devices_that_of_the_lowest_is_told(comm):
    number = comm.size - comm.rank
    own = Fault(f"device {number} is wrong.", device=number)
    if comm.rank == 0 and comm.size > 1:
        own = Fault("it is not there.")
    with pytest.raises(Fault) as fault, world.agreed(comm):
        raise own
    assert fault.value.sentences == ("it is not there.", "device 1 is wrong.")[comm.size == 1 :]


def test_wrong_weights_are_told_of_one_device(refused, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "twice", lambda view, /: [2.0] + [0.0] * len(view.members[1:]))
    fault = refused("for device 0 it gives the weights .* sum is 2, must", "strategy.name=twice")
    assert len(fault.sentences) == 1
