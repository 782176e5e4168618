"""What a driver starts when, with workers that end runs as they are told, in place of Parsl's."""

import itertools
import math
import signal
import subprocess
import time
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from mpidl.ensemble import driver, pool, shapes, sites, study, timing, worker
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
        code, left = self.outcomes.pop(0) if self.outcomes else (0, math.inf)
        if code == 0:
            small_results.write(self.folder.results(task.name))
        future = Future()
        future.set_result(Outcome(code, time.time(), 5.0, "here", 0, code == 10, left))
        return future


@pytest.fixture
def work(two, tmp_path, monkeypatch):
    """As ``work(outcomes, request, orders)``: the exit code, the workers and the log."""
    monkeypatch.delenv("PBS_JOBID", raising=False)
    monkeypatch.delenv("MPIDL_MARGIN", raising=False)
    for room in (driver, timing):
        monkeypatch.setattr(room, "LOOK", 0.01)
    monkeypatch.setattr(timing, "SILENCE", 0.0)

    def begin(outcomes, request, orders):
        folder = Folder(tmp_path / "out")
        workers = Workers(folder)
        workers.outcomes += outcomes
        monkeypatch.setattr(pool, "pool", contextmanager(lambda *_: iter([workers])))
        with folder.alone():
            made = Driver(
                *(study.read(two), sites.read("aurora"), folder, request, orders, {}),
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
    assert worker._watch(run, lambda: renewed.append(1), folder, task, math.inf)
    assert run.returncode == 75
