"""Who writes a file: a claim that others respect, and that is void when its writer is gone."""

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import claims, host, stopping
from mpidl.ranks.claims import Claim, Hold


@pytest.fixture
def target(tmp_path):
    return tmp_path / "results" / "run.h5"


@pytest.fixture
def other(target):
    """As ``other(age, **fields)``: another process claimed it, and renewed that so long ago."""

    def claim(age=0.0, **fields):
        path = target.with_name(f".{target.name}.claim")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(replace(Claim(user="ada", job="7.pbs"), **fields))))
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    return claim


def take(target, patient=False, told=None):
    """Take a claim and give it up: whether that worked, and which files were there meanwhile."""
    with Hold(target) as hold:
        taken = hold.take(patient, (told if told is not None else []).append)
        return taken, sorted(path.name for path in target.parent.iterdir())


def test_a_claim_is_there_as_long_as_it_is_held(target):
    assert take(target) == (True, [".run.h5.claim"])
    assert list(target.parent.iterdir()) == []


def test_whoever_comes_second_is_told_who_writes_where_and_since_when(target, monkeypatch):
    monkeypatch.setenv("PBS_JOBID", "53.pbs01")
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    with Hold(target) as first:
        first.take(False, print)
        with pytest.raises(Fault) as error:
            take(target)
        (path,) = target.parent.iterdir()
        started = time.localtime(claims.read(path, Claim).started)
    (sentence,) = error.value.sentences
    assert f"{target} (process {os.getpid()} of ada, job 53.pbs01, on {host.name()}," in sentence
    assert f"since {time.strftime('%Y-%m-%d %H:%M:%S', started)}" in sentence
    assert take(target)[0]


@pytest.mark.parametrize(
    ("age", "fields"),
    [
        (3600.0, {}),
        (claims.STALE / 2, {"host": "elsewhere"}),
        (claims.STALE / 2, {"namespace": 1, "pid": 1}),
    ],
)
def test_a_writer_that_lives_or_may_live_is_respected(target, other, age, fields):
    path = other(age, **fields)
    with pytest.raises(Fault, match=r"7\.pbs"):
        take(target)
    assert path.exists()


@pytest.mark.parametrize(
    ("age", "fields"),
    [
        (0.0, {"born": 1}),
        (2 * claims.STALE, {"host": "elsewhere"}),
        (2 * claims.STALE, {"namespace": 1}),
    ],
)
def test_a_writer_that_is_gone_is_not(target, other, age, fields):
    """Another process may have its number by now."""
    other(age, **fields)
    assert take(target) == (True, [".run.h5.claim"])
    assert list(target.parent.iterdir()) == []


def test_only_the_claim_of_a_writer_that_is_gone_is_cleared(target, other):
    path = other()
    claims.Hold(target).clear()
    assert path.exists()
    path = other(born=1)
    claims.Hold(target).clear()
    claims.Hold(target).clear()
    assert not path.exists()


def test_a_writer_of_this_host_that_was_killed_is_gone_at_once(target, other):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other(pid=gone.pid, born=host.born(gone.pid))
    with pytest.raises(Fault):
        take(target)
    gone.kill()
    # It is still listed.
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
    assert take(target)[0]
    gone.communicate()


def test_half_a_claim_is_respected_until_it_must_be_void(target, other):
    path = other()
    path.write_text("{")
    with pytest.raises(Fault, match="since a moment"):
        take(target)
    os.utime(path, (0, 0))
    assert take(target)[0]


def test_with_patience_a_claim_that_nobody_renews_is_waited_for(target, other, monkeypatch):
    monkeypatch.setattr(claims, "STALE", 0.4)
    monkeypatch.setattr(claims, "LOOK", 0.01)
    other(host="elsewhere")
    told = []
    assert take(target, True, told)[0]
    assert len(told) == 1
    assert "on elsewhere, since" in told[0]


def test_with_patience_a_writer_that_goes_on_is_told_in_the_end(target, other, monkeypatch):
    for name, seconds in (("STALE", 0.1), ("BEAT", 0.1), ("LOOK", 0.01)):
        monkeypatch.setattr(claims, name, seconds)
    path = other()
    told = []
    assert take(target, True, told)[0] is False
    assert [line.partition(" (")[0] for line in told] == [
        f"another run writes {target}",
        f"another run still writes {target}",
    ]
    assert path.exists()


def test_patience_ends_where_somebody_asks_for_a_stop(target, other, monkeypatch):
    monkeypatch.setattr(stopping, "asked", [signal.SIGTERM])
    other()
    assert take(target, True)[0] is False


def test_a_claim_is_renewed_while_it_is_held(target, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.01)
    with Hold(target) as hold:
        hold.take(False, print)
        (path,) = target.parent.iterdir()
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_claim_that_another_took_over_is_left_to_him(target, other):
    with Hold(target) as hold:
        hold.take(False, print)
        path = other(host="elsewhere")
    assert path.exists()


def test_where_no_claim_can_be_made_there_is_none(target, monkeypatch):
    def refuse(*given, **more):
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "open", refuse)
    assert take(target) == (True, [])
    monkeypatch.undo()
    monkeypatch.setattr(claims, "open", refuse, raising=False)
    assert take(target) == (True, [])
