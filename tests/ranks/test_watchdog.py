"""A watchdog ends the job for a rank that is gone or late, and says whom it misses."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mpidl.ranks import watchdog
from mpidl.ranks.watchdog import FIELDS, PHASES, Watchdog


class Job:
    """Two ranks in one table, of which the first is watched from here."""

    def __init__(self, elsewhere=()):
        self.codes = []
        self.table = np.zeros((2, len(FIELDS)))
        self.own = Watchdog(self.table, 0, [4, 5], elsewhere, 1.0, self.codes.append)
        self.other = Watchdog(self.table, 1, [4, 5], elsewhere, 1.0, self.codes.append)

    def end(self, within=5.0):
        """Let the first watch; the codes with which it ended the job."""
        self.own.start()
        deadline = time.monotonic() + within
        while not self.codes and time.monotonic() < deadline:
            time.sleep(0.01)
        self.own.stop()
        return self.codes

    def say(self, row, **fields):
        """Put words into a rank's mouth."""
        for key, value in fields.items():
            self.table[row, FIELDS.index(key)] = value


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watchdog, "PERIOD", 0.02)
    monkeypatch.setattr(watchdog, "GRACE", 0.05)
    monkeypatch.setattr(os, "_exit", lambda code: None)


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_who_ends_without_a_word_is_named(capfd, gone):
    job = Job()
    job.say(1, process=gone)
    assert job.end() == [1]
    assert capfd.readouterr().err == "mpidl: rank 5 ended without a message; the job ends.\n"


class Deaf:
    """An output that nobody reads any more."""

    def write(self, text):
        """Refuse a text."""
        raise BrokenPipeError


def test_the_job_ends_where_nobody_hears_the_message(monkeypatch, gone):
    job = Job()
    job.say(1, process=gone)
    monkeypatch.setattr(sys, "stderr", Deaf())
    assert job.end() == [1]


def test_who_ended_with_a_word_is_not_spoken_for(capfd, gone):
    job = Job()
    job.say(1, process=gone, code=7 + 1)
    assert job.end() == [7]
    assert capfd.readouterr().err == ""


def test_who_came_to_a_good_end_is_not_missed(gone):
    job = Job()
    job.say(1, process=gone, code=0 + 1)
    assert job.end(within=0.5) == []


def test_a_process_of_another_container_is_not_looked_for(gone):
    job = Job()
    job.say(1, process=gone, namespace=1)
    assert job.end(within=0.5) == []


def test_who_is_late_is_named_with_what_it_does(capfd):
    job = Job()
    job.own.patience = 0.2
    with job.own.working("training"):
        pass
    job.say(1, phase=PHASES.index("training"), since=time.monotonic() - 60, beat=np.inf)
    assert job.end() == [1]
    assert capfd.readouterr().err == (
        f"mpidl: rank 5 (process {os.getpid()}) is late, 60 s in training: "
        "rank 4 waited 0 s; the job ends.\n"
    )


def test_a_process_that_stopped_is_late_wherever_it_was(capfd):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        process.send_signal(19)
        job = Job()
        job.own.patience = 0.2
        job.say(1, process=process.pid, beat=time.monotonic() - 33)
        assert job.end() == [1]
    finally:
        process.kill()
        process.wait()
    err = capfd.readouterr().err
    assert f"rank 5 (process {process.pid}, stopped by a signal) is late, nothing heard" in err


def test_who_waits_elsewhere_is_told_as_that(capfd):
    job = Job()
    job.own.patience = 0.1
    with job.own.working("training"):
        pass
    job.say(1, beat=np.inf)
    assert job.end() == [1]
    assert "is late, as it waits too, perhaps in another call: rank 4" in capfd.readouterr().err


def test_who_works_is_never_impatient():
    job = Job()
    job.own.patience = 0.1
    with job.own.working("evaluation"):
        assert job.end(within=0.5) == []


def test_where_nobody_here_is_late_other_nodes_are_named(capfd):
    job = Job(elsewhere=["nid002", "nid003"])
    job.own.patience = 0.1
    job.say(1, beat=np.inf)
    assert job.end() == [1]
    assert "no rank of this node is late, so one of nid002, nid003 is" in capfd.readouterr().err
