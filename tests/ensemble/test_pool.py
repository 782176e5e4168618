"""What Parsl is given and what its errors mean, without one that runs."""

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import pool
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site


def test_runs_of_whole_nodes_give_parsl_all_three_numbers():
    given = []
    shape = Shape(ranks=5, nodes=2, per_node=3, places=3, slots=1)
    pool._Workers(lambda task, **more: given.append((task, more)), shape).submit("a run")
    wanted = {"num_nodes": 2, "num_ranks": 6, "ranks_per_node": 3}
    assert given == [("a run", {"parsl_resource_specification": wanted})]


def test_a_run_without_nodes_ends_the_study_and_others_fail_alone():
    errors = pytest.importorskip("parsl.executors.errors")
    pool.check(RuntimeError("of one run"))
    with pytest.raises(Fault, match="Parsl gets no nodes: invalid partition: nowhere"):
        pool.check(errors.BadStateException(None, "invalid partition:\n nowhere"))


# Parsl leaves the socket that it asks open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_driver_is_reached_over_the_site_s_interface():
    pytest.importorskip("parsl")
    assert pool._address(Site()) == pool._address(Site(interface="lo")) == "127.0.0.1"
    with pytest.raises(Fault, match=r"interface = 'none0': .* has no network interface"):
        pool._address(Site(interface="none0"))
