"""What a driver starts when, with workers that end runs as they are told, in place of Parsl's."""

import itertools
import math
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from mpidl.ensemble import driver, nodes, pool, shapes, sites, study, timing, worker
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.driver import Driver
from mpidl.ensemble.folder import Folder
from mpidl.ensemble.timing import Orders
from mpidl.ensemble.worker import Outcome, Task
from mpidl.ranks import stopping
from tests.ensemble import small_results


class Workers:
    """Each run ends at once: as the next outcome says, or as it should."""

    def __init__(self, folder):
        self.folder, self.tasks, self.times, self.outcomes = folder, [], [], []

    def submit(self, task):
        """Take a run, which has ended then."""
        self.tasks.append(task)
        self.times.append(time.time())
        code, left, *lost = self.outcomes.pop(0) if self.outcomes else (0, math.inf)
        if code == 0:
            small_results.write(self.folder.results(task.name))
        future = Future()
        outcome = Outcome(code, time.time(), 5.0, "here", 0, code == 10, left, *lost)
        future.set_result(outcome)
        return future


@pytest.fixture
def work(two, tmp_path, monkeypatch):
    """As ``work(outcomes, request, orders, site)``: the exit code, the workers and the log."""
    monkeypatch.delenv("PBS_JOBID", raising=False)
    monkeypatch.delenv("MPIDL_MARGIN", raising=False)
    for room in (driver, timing):
        monkeypatch.setattr(room, "LOOK", 0.01)
    monkeypatch.setattr(timing, "SILENCE", 0.0)

    def begin(outcomes, request, orders, site=None):
        folder = Folder(tmp_path / "out")
        workers = Workers(folder)
        workers.outcomes += outcomes
        monkeypatch.setattr(pool, "pool", contextmanager(lambda *_: iter([workers])))
        with folder.alone():
            made = Driver(
                *(study.read(two), site or sites.read("aurora"), folder, request, orders, {}),
                *(lambda line: None, lambda state, left: None),
            )
            code = made.work()
        return code, workers, (folder.path / "log.txt").read_text()

    return begin


BLOCK = NodeRequest(1, 1, 120.0)


def test_what_stopped_for_want_of_time_waits_for_other_nodes(work):
    """Also where the request ended ranks that did not listen yet; and it is no failed attempt."""
    stops = [(75, 0.2), (10, 0.2), (None, 0.2), (75, 0.2)]
    code, workers, log = work(stops, BLOCK, Orders(retries=0))
    assert code == 0
    assert "failed for good" not in log
    first = workers.tasks[0].name
    times = [t for t, task in zip(workers.times, workers.tasks, strict=True) if task.name == first]
    assert all(late - early >= 0.2 for early, late in itertools.pairwise(times))


def test_a_run_of_which_nothing_is_known_may_take_as_long_as_any(work):
    _, workers, _ = work([], BLOCK, Orders())
    # The reserve is a quarter of so short a time; of what is left half is asked for.
    assert workers.tasks[0].estimate == (120 - 30) / 2
    assert {task.reserve for task in workers.tasks} == {30}


def test_an_allocation_is_left_when_all_have_stopped(work):
    begin = time.time()
    code, workers, log = work([(75, 1e4)] * 2, NodeRequest(1, 1, 0.0), Orders(ends=begin + 1e4))
    assert code == 75
    assert len(workers.tasks) == 2
    assert {task.reserve for task in workers.tasks} == {0}
    assert "waiting 2  running 0  done 0  failed 0" in log


def test_where_nodes_stay_what_is_stopped_begins_again(work):
    code, workers, _ = work([(75, math.inf)], NodeRequest(1, 1, 0.0), Orders())
    assert (code, len(workers.tasks)) == (0, 3)


@pytest.mark.parametrize(
    ("seconds", "estimate", "begins"), [(100, 0.0, True), (29, 0.0, False), (60, 31.0, False)]
)
def test_nothing_begins_in_the_reserve(tmp_path, monkeypatch, seconds, estimate, begins):
    folder, site = Folder(tmp_path / "out"), sites.read("local")
    monkeypatch.setenv("MPIDL_ENDS", str(int(time.time()) + seconds))
    monkeypatch.setenv("PATH", "")
    with folder.alone():
        shape = shapes.shape(site, 1)
        task = Task("run", str(folder.path), "me", site, shape, estimate, None, 30.0)
        outcome = worker.perform(task)
    assert outcome.code == (worker.NOT_FOUND if begins else None)
    assert begins or seconds - 2 < outcome.left <= seconds


def test_after_a_signal_no_run_is_started(work, monkeypatch):
    submit = Workers.submit

    def warned(self, task):
        signal.raise_signal(signal.SIGTERM)
        return submit(self, task)

    monkeypatch.setattr(Workers, "submit", warned)
    code, workers, log = work([(75, 0.2)] * 2, BLOCK, Orders())
    # Without it both would be started again.
    assert (code, len(workers.tasks)) == (75, 2)
    assert "waiting 2  running 0  done 0  failed 0; exit code 75" in log


def test_after_a_signal_that_came_while_the_command_loaded_none_is(work, monkeypatch):
    monkeypatch.setattr(stopping, "asked", [signal.SIGUSR1])
    code, workers, _ = work([], BLOCK, Orders())
    assert (code, len(workers.tasks)) == (75, 0)


def test_a_worker_asks_a_run_to_stop_and_renews_its_claim(monkeypatch):
    monkeypatch.setattr(worker, "PERIOD", 0.02)
    script = "trap 'exit 75' USR1; for i in $(seq 900); do sleep .01; done"
    run = subprocess.Popen(["sh", "-c", script])
    renewed = []
    folder = SimpleNamespace(asked_to_stop=lambda driver: len(renewed) > 1)
    task = SimpleNamespace(driver="d")
    watch = nodes.NodeWatch(())
    args = (lambda: renewed.append(1), folder, task, math.inf, watch, sys.stderr)
    assert worker._watch(run, *args)
    assert run.returncode == 75


def test_a_worker_ends_a_run_whose_node_is_lost(monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "PERIOD", 0.02)
    monkeypatch.setenv("MPIDL_MARGIN", "0.1")
    run = subprocess.Popen(["sh", "-c", "trap '' USR1; for i in $(seq 900); do sleep .01; done"])
    folder, task = SimpleNamespace(asked_to_stop=lambda driver: False), SimpleNamespace(driver="d")
    watch = nodes.NodeWatch(("x1", "x2"))
    watch.lost, watch._since = {"x2"}, time.monotonic()
    with open(tmp_path / "log", "w") as log:
        assert worker._watch(run, lambda: None, folder, task, math.inf, watch, log)
    assert run.returncode == -signal.SIGKILL
    assert (tmp_path / "log").read_text().splitlines() == [
        "mpidl: PBS says that x2 is down; asked to stop after this round",
        "mpidl: x2 still down, and the run goes on; it is killed",
    ]


TWO = NodeRequest(2, 1, 0.0, ("x1", "x2"))


def test_where_a_node_is_lost_the_others_go_on(work):
    """A run that is not started on it has not lost anything."""
    lost = [(-9, math.inf, {"x2"})] + [(None, math.inf, {"x2"})] * 6
    code, workers, log = work(lost, TWO, Orders(retries=0, ends=time.time() + 1e4))
    assert (code, len(workers.tasks)) == (0, 9)
    assert log.count("PBS says that x2 is down; 1 node left") == 1
    assert log.count("  lost  ") == 1


def test_runs_that_take_more_nodes_than_are_left_wait(work):
    site = sites.read("aurora")
    node = site.node.model_copy(update={"cpus": ["1"], "accelerators": []})
    site = site.model_copy(update={"node": node})
    lost, orders = [(-9, math.inf, {"x2"})], Orders(ends=time.time() + 1e4)
    code, workers, log = work(lost, TWO, orders, site)
    assert (code, len(workers.tasks)) == (75, 1)
    assert "2 runs of 2 nodes wait for another job" in log
