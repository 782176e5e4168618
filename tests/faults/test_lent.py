"""A program in which mpidl works ends on all ranks when one of them fails, and says why."""

import os
import re
import subprocess
import sys

from mpi4py import MPI

import pytest

from mpidl.ranks import host
from tests.faults.jobs import ENDING, MPIEXEC

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

FAILING = """
import sys, time
from mpidl.config.faults import Fault
from mpidl.ranks import lending, watchdog, world

watchdog.GONE, watchdog.PERIOD = 0.5, 0.1
world.PATIENCE, where = 1.0, sys.argv[1]
lent = lending.Lent()
lent.__enter__()

def fail(place):
    if lent.comm.rank == 1 and where.startswith(place):
        raise Fault("A lonely fault.") if "fault" in where else ZeroDivisionError("injected")

with lent.call() as comm:
    fail("inside")
    comm.Barrier()
fail("between")
if where == "end" and lent.comm.rank == 1:
    sys.exit()
if where == "leave" and lent.comm.rank == 1:
    lent.__exit__(None, None, None)
try:
    fail("exit")
    with lent.call() as comm:
        comm.Barrier()
except ZeroDivisionError as error:
    lent.__exit__(type(error), error, None)
"""

MISSED = "while rank(s 0, 2 wait| [02] waits) for it: all ranks must make the same calls; the job"
"""On a busy machine one of the others may be late, too."""


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("inside", r"\[rank 1\] Traceback"),
        ("inside a fault", "mpidl: A lonely fault."),
        ("between", r"\[rank 1\] Traceback"),
        ("exit", r"\[rank 1\] Traceback"),
        ("end", f"mpidl: rank 1 ended its program {MISSED}"),
        ("leave", f"mpidl: rank 1 left its loop {MISSED}"),
    ],
)
def test_an_error_of_one_rank_ends_the_job(where, said):
    words = [MPIEXEC, "-n", "3", sys.executable, "-c", FAILING, where]
    ended = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDING
    )
    assert ended.returncode not in (0, 75)
    assert len(re.findall(said, ended.stderr)) == 1
    if "fault" not in where and where not in ("end", "leave"):
        assert ended.stderr.count("ZeroDivisionError: injected") == 1


UNEQUAL = """
import os, sys
from mpi4py import MPI
from mpidl.ranks import lending, watchdog, world

# Two nodes of two ranks, also where MPI knows of one.
world.node = lambda comm: comm.Split(comm.rank % 2)
watchdog.GONE, watchdog.PERIOD = 0.5, 0.1
how, early = sys.argv[1], int(sys.argv[2])
lent = lending.Lent(advice="be equal")
lent.__enter__()
for step in range(2 - (lent.comm.rank == early)):
    with lent.call() as comm:
        comm.Barrier()
if comm.rank == early:
    if how == "raises":
        raise ZeroDivisionError("injected")
    if how == "is killed":
        os.kill(os.getpid(), 9)
    if how == "exits":
        sys.exit(3)
    if how == "ends MPI":
        MPI.Finalize()
if how == "leaves":
    lent.__exit__(None, None, None)
"""
GOSSIP = """
import numpy as np
import mpidl
from mpidl.ranks import watchdog

watchdog.GONE, watchdog.PERIOD = 0.5, 0.1
with mpidl.Gossip(np.zeros(3)) as gossip:
    for step in range(2 - gossip.rank):
        gossip.mix()
"""
ENDS = "ended its program"
TWO_NODES = {"MPIR_CVAR_NUM_CLIQUES": "2"}
"""Lets MPICH take the ranks of this machine for those of two, which reach each other by network."""


def unequal(script, *words, ranks=4):
    """The exit code, and the errors of mpidl, of ranks of which one makes fewer calls."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-c", script, *map(str, words)]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDING,
        env=host.unlaunched(os.environ) | (TWO_NODES if ranks > 2 else {}),
    )
    return ended.returncode, [line for line in ended.stderr.splitlines() if "mpidl: " in line]


@pytest.mark.slow
@pytest.mark.parametrize("early", [0, 1, 3])
@pytest.mark.parametrize(
    ("how", "said"),
    [("ends", ENDS), ("leaves", "left its loop"), ("exits", ENDS), ("ends MPI", ENDS)],
)
def test_a_rank_that_leaves_early_is_named_on_any_node(how, said, early):
    code, told = unequal(UNEQUAL, how, early)
    assert code != 0
    assert len(told) == 1
    assert told[0].startswith(f"mpidl: rank {early} {said} while rank")
    assert told[0].endswith(" for it: be equal; the job ends.")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ends", "leaves", "ends MPI"])
def test_ranks_of_several_nodes_that_end_together_say_nothing(how):
    assert unequal(UNEQUAL, how, -1) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "is killed"])
def test_a_rank_of_another_node_that_fails_ends_the_job(how):
    code, told = unequal(UNEQUAL, how, 3)
    assert code not in (0, 75)
    assert told == []


@pytest.mark.slow
def test_a_loop_of_fewer_rounds_is_told_with_the_remedy():
    code, told = unequal(GOSSIP, ranks=2)
    assert code != 0
    assert told == [
        "mpidl: rank 1 left its loop while rank 0 waits for it: all ranks must call mix() equally "
        "often; the job ends."
    ]
