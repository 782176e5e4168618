"""How long a run may take, and when it stops for that."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent import futures

import pytest

from mpidl.config import outcome
from mpidl.config.faults import Fault
from mpidl.config.outcome import Outcome
from mpidl.ranks import stopping, walltime
from mpidl.ranks.walltime import MOMENTS


@pytest.fixture(autouse=True)
def signals(monkeypatch):
    for name in MOMENTS:
        monkeypatch.delenv(name, raising=False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_word_there_is_no_end():
    assert walltime.left(None) == math.inf
    assert walltime.left(60.0) == 60.0


@pytest.mark.parametrize("name", MOMENTS)
def test_the_first_end_counts(monkeypatch, name):
    monkeypatch.setenv(name, str(int(time.time()) + 100))
    assert walltime.left(None) == pytest.approx(100, abs=2)
    assert walltime.left(30.0) == 30.0
    assert walltime.left(300.0) == pytest.approx(100, abs=2)


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9"])
def test_what_is_no_moment_is_none(monkeypatch, text):
    monkeypatch.setenv(MOMENTS[0], text)
    assert walltime.left(None) == math.inf


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1:30:00", 5400),
        ("0:00:10", 10),
        ("90m", 5400),
        ("1.5h", 5400),
        ("5400s", 5400),
        ("2H", 7200),
    ],
)
def test_walltimes_are_read(text, want):
    assert walltime.seconds(text) == want


@pytest.mark.parametrize("text", ["3600", "1", "", "h", "-1h", "nans", "1d", "00:10", "1-00:00:00"])
def test_a_walltime_without_a_unit_is_refused(text):
    with pytest.raises(Fault, match="must be HH:MM:SS, or a number with its unit, such as 90m"):
        walltime.seconds(text)


@pytest.fixture
def qstat(tmp_path, monkeypatch):
    """As ``qstat(script)``: what answers in place of PBS to who is in its job 7."""

    def answer(script):
        place = tmp_path / "qstat"
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PBS_JOBID", "7.pbs")
    return answer


def test_pbs_is_asked_where_nobody_else_says(qstat, monkeypatch, tmp_path):
    start = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() - 50))
    job = {"stime": start, "Resource_List": {"walltime": "00:10:00"}}
    told = json.dumps({"Jobs": {"7.pbs": job}})
    qstat(f"echo \"$@\" >> {tmp_path}/asked; echo '{told}'")
    assert walltime.left(None, ask=True) == pytest.approx(550, abs=20)
    assert (tmp_path / "asked").read_text() == "-f -F json 7.pbs\n"
    assert walltime.left(None) == math.inf
    assert walltime.left(60.0, ask=True) == 60.0
    monkeypatch.setenv(MOMENTS[0], str(int(time.time()) + 9000))
    assert walltime.left(None, ask=True) > 8000
    assert (tmp_path / "asked").read_text().count("\n") == 1


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo {}", "echo nothing", "exec sleep 30"]
    + [f"echo '{text}'" for text in ('{"Jobs": {}}', '{"Jobs": {"7.pbs": {"stime": "x"}}}', "[]")],
)
def test_where_pbs_does_not_say_there_is_no_end(qstat, monkeypatch, capfd, script):
    monkeypatch.setattr(walltime, "PATIENCE", 0.1 if "sleep" in script else 30.0)
    qstat(script)
    assert walltime.left(None, ask=True) == math.inf
    assert capfd.readouterr() == ("", "")


def test_a_run_stops_when_its_next_round_might_not_fit(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    stops = stopping.Ends(100.0)
    done = 0
    for seconds in (10.0, 30.0, 10.0, 10.0, 10.0, 10.0):
        clock[0] += seconds
        done += 1
        if stops.near(saving=2.0):
            break
    # After 60 s of 100 are left 40; the longest round, a quarter more, saving and closing: 46.5.
    assert done == 4


def test_a_clock_that_is_set_stops_nothing(monkeypatch):
    stops = stopping.Ends(3600.0)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not stops.near(saving=0.0)


@pytest.fixture
def listening():
    """Signals that ask for a stop are taken down."""
    # What a shell starts in the background ignores Ctrl-C, and so would these.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stopping.listening(signal.SIGINT, *stopping.WARNINGS):
        yield stopping.Ends(math.inf)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", stopping.WARNINGS)
def test_a_warning_asks_however_often_it_comes(listening, number, monkeypatch):
    monkeypatch.setattr(stopping, "print_into_files_only", lambda: None)
    assert listening.near(0.0) is None
    signal.raise_signal(number)
    signal.raise_signal(number)
    assert listening.near(0.0) is Outcome.STOPPED


def test_a_second_ctrl_c_ends_at_once(listening):
    signal.raise_signal(signal.SIGINT)
    assert listening.near(0.0) is Outcome.INTERRUPTED
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_who_asks_is_heard_though_a_batch_script_ignored_it(number):
    before = signal.signal(number, signal.SIG_IGN)
    with stopping.listening(number):
        signal.raise_signal(number)
        assert stopping.wish() is Outcome.STOPPED
    assert signal.signal(number, before) == signal.SIG_IGN


def test_what_was_ignored_is_ignored_and_all_is_put_back(monkeypatch):
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, *stopping.WARNINGS)}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.listening(*kept):
            signal.raise_signal(signal.SIGHUP)
            assert stopping.wish() is None
            signal.raise_signal(signal.SIGTERM)
            assert stopping.wish() is Outcome.STOPPED
        assert stopping.wish() is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {number: signal.getsignal(number) for number in kept} == kept


HANGS_UP = """
import os, signal
from mpidl.ranks import stopping
stopping.listen(signal.SIGHUP)
os.kill(os.getpid(), signal.SIGHUP)
os.write(1, b"lost")
os.write(2, b"kept")
"""


def test_a_closed_terminal_is_written_to_no_more_and_files_are(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        words = [sys.executable, "-c", HANGS_UP]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=log, check=True)
    assert (done.stdout, (tmp_path / "log").read_bytes()) == (b"", b"kept")


def test_a_thread_hears_nothing_and_changes_nothing():
    before = signal.getsignal(signal.SIGTERM)
    with futures.ThreadPoolExecutor() as pool:
        assert pool.submit(stopping.listen, signal.SIGTERM).result() == {}
    assert signal.getsignal(signal.SIGTERM) == before


def test_of_all_that_ranks_are_asked_for_ctrl_c_counts_most():
    assert outcome.joint([0, 75, 0]) is Outcome.STOPPED
    assert outcome.joint([75, 130, 0]) is Outcome.INTERRUPTED
    assert outcome.joint([0, 0]) is None
