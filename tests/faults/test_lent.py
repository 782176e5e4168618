"""A program in which mpidl works ends on all ranks when one of them fails, and says why."""

import subprocess
import sys

from mpi4py import MPI

import pytest

from tests.faults.jobs import ENDING, MPIEXEC

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

FAILING = """
import sys, time
from mpidl.config.faults import Fault
from mpidl.ranks import lending, watchdog, world

world.PATIENCE, watchdog.GONE, where = 1.0, 0.5, sys.argv[1]
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
try:
    fail("exit")
    with lent.call() as comm:
        comm.Barrier()
except ZeroDivisionError as error:
    lent.__exit__(type(error), error, None)
"""


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("inside", "[rank 1] Traceback"),
        ("inside a fault", "mpidl: A lonely fault."),
        ("between", "[rank 1] Traceback"),
        ("exit", "[rank 1] Traceback"),
        ("end", "mpidl: rank 1 ended while others wait; the job ends."),
    ],
)
def test_an_error_of_one_rank_ends_the_job(where, said):
    words = [MPIEXEC, "-n", "3", sys.executable, "-c", FAILING, where]
    ended = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDING
    )
    assert ended.returncode not in (0, 75)
    assert ended.stderr.count(said) == 1
    if "fault" not in where and where != "end":
        assert ended.stderr.count("ZeroDivisionError: injected") == 1
