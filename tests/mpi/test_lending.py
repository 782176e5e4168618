"""A caller's process is lent to mpidl, and comes back as it was."""

import sys
import time

from mpi4py import MPI

import pytest

from mpidl.config.faults import Breakdown, Fault
from mpidl.ranks import lending, mpi_library, watchdog, world
from tests.mpi.test_library import handles, threads


def fail(comm, error):
    """With something open, as while parts of a run are built."""
    opened = comm.Dup()
    with world.returned(opened.Free):
        raise error


def state():
    return watchdog.on_duty, sys.excepthook, threads()


def test_a_fault_of_all_ranks_is_the_callers_and_nothing_stays(comm):
    with lending.Lent(comm), pytest.raises(Fault):
        raise Fault("the first call loads what all need.")
    before, taken = state(), handles()
    for _ in range(20):
        with lending.Lent(comm) as lent:
            with pytest.raises(Fault, match="all the same"), lent.call() as own:
                fail(own, Fault("all the same."))
            with lent.call() as own:
                assert own.allreduce(1) == comm.size
        with pytest.raises(Fault, match="at the end"), lending.Lent(comm):
            raise Fault("at the end.")
    assert state() == before
    assert handles() == taken


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, Breakdown, SystemExit])
def test_with_one_rank_every_error_is_the_callers(comm, error):
    before, taken = state(), handles()
    for _ in range(3):
        with pytest.raises(error), lending.Lent(MPI.COMM_SELF) as lent, lent.call() as own:
            fail(own, error("mine"))
    assert state() == before
    assert handles() == taken


def test_a_long_and_a_short_loan_do_not_meet(comm):
    with lending.Lent(comm) as long:
        assert watchdog.on_duty is None
        with long.call() as own, long.call() as again:
            assert own == again == long.comm
            inside = watchdog.on_duty
        with lending.Lent(comm) as short, short.call() as other:
            assert other != long.comm
            assert watchdog.on_duty not in (None, inside)
        with long.call():
            assert watchdog.on_duty is inside
    assert watchdog.on_duty is None


@pytest.mark.parametrize("threads_call", [True, False])
def test_between_nodes_ranks_wait_and_leave_as_on_one(comm, monkeypatch, threads_call):
    """Every wait of theirs is long enough to be reported to rank 0, which misses nobody."""
    monkeypatch.setattr(world, "node", lambda comm: comm.Split(comm.rank % 2))
    monkeypatch.setattr(mpi_library, "threaded", lambda: threads_call)
    monkeypatch.setattr(watchdog, "GONE", 0.0)
    monkeypatch.setattr(watchdog, "PERIOD", 1e-3)
    with lending.Lent(comm):
        pass
    before, taken, heard = state(), handles(), False
    for late in range(2 * comm.size):
        with lending.Lent(comm) as lent:
            assert lent._reports.active == (comm.size > 1 and threads_call)
            for turn in range(3):
                if comm.rank == (late + turn) % comm.size:
                    time.sleep(0.01)
                with lent.call() as own:
                    own.Barrier()
            if comm.rank == late // 2:
                time.sleep(0.02)
        heard = heard or lent._reports._table[1::2].any()
    assert state() == before
    assert comm.rank > 0 or heard == lent._reports.active
    assert handles() == taken


def test_hooks_are_put_back_in_any_order(comm):
    before = sys.excepthook
    first, second = lending.Lent(comm), lending.Lent(comm)
    first.__enter__()
    second.__enter__()
    assert (sys.excepthook == before) == (comm.size == 1)
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    found = []
    assert second._hook is not None
    if comm.size > 1:
        first._hook = lambda *told: found.append(told)
        sys.excepthook(ValueError, ValueError("mine"), None)
        assert found[0][0] is ValueError
    sys.excepthook = before


def test_part_of_the_ranks_may_work_on_its_own(comm):
    half = comm.Split(comm.rank % 2)
    with lending.Lent(half) as lent, lent.call() as own:
        assert own.size == half.size
        assert own != half
    half.Free()


@pytest.mark.parametrize("wrong", [MPI.COMM_NULL, "world", MPI.COMM_WORLD.Get_group()])
def test_what_is_no_communicator_of_this_process_is_refused(wrong):
    with pytest.raises(Fault, match=r"communicator = .*must be an intracommunicator"):
        lending.Lent(wrong).__enter__()
