"""The folder of a study: one driver at a time, claims that end with their holders, what is kept."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import folder as room
from mpidl.ensemble import keeper, worker
from mpidl.ensemble.folder import Attempt, Claim, Folder
from mpidl.ranks import claims

MINE = Claim(slot=0, driver="driver")


@pytest.fixture
def folder(tmp_path):
    found = Folder(tmp_path / "study")
    with found.alone():
        yield found


def test_a_second_process_is_refused(folder):
    code = f"""
from pathlib import Path
from mpidl.ensemble.folder import Folder
with Folder(Path({str(folder.path)!r})).alone():
    pass
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = ended.stderr.splitlines()[-1]
    assert f"Another driver works in {folder.path} (process {os.getpid()} on" in told


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="Cannot write to"), Folder(tmp_path / "file/study").alone():
        pass


def test_a_claim_lasts_as_long_as_it_is_held(folder):
    with folder.claim("run", MINE):
        assert folder.going_on() == {"run": MINE}
    assert folder.going_on() == {}


def test_claims_of_those_who_are_gone_are_void(folder):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with folder.claim("run", replace(MINE, pid=gone.pid)):
        assert folder.going_on() == {}


def test_a_process_that_ended_but_is_still_listed_is_gone(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    with folder.claim("run", replace(MINE, pid=ended.pid)):
        assert folder.going_on() == {}
    ended.wait()


def test_claims_of_other_hosts_are_void_when_nobody_renews_them(folder):
    with folder.claim("run", replace(MINE, host="elsewhere")) as renew:
        assert set(folder.going_on()) == {"run"}
        old = time.time() - claims.STALE - 1
        os.utime(folder.claims / "run", (old, old))
        assert folder.going_on() == {}
        renew()
        assert set(folder.going_on()) == {"run"}


def test_a_claim_of_this_host_is_as_old_as_it_likes(folder):
    with folder.claim("run", MINE):
        os.utime(folder.claims / "run", (0, 0))
        assert set(folder.going_on()) == {"run"}


def test_what_is_no_claim_is_passed_over(folder):
    (folder.claims / "run").write_text("{")
    assert folder.going_on() == {}


def test_attempts_survive_half_a_line(folder):
    attempt = Attempt("run", 1, "now", 2.5, 0, "here", 0, 2.0)
    folder.keep(attempt)
    with open(folder.path / "attempts.jsonl", "a") as file:
        file.write('{"name": "ru')
    assert folder.attempts() == [attempt]
    assert room.finished([attempt, replace(attempt, name="other", code=1)]) == {"run": attempt}


def test_the_last_words_are_the_last_lines(folder):
    assert folder.last_words("run", 2) == []
    (folder.logs / "run.txt").write_text("x" * 10_000 + "\n\none\n\ntwo\n")
    assert folder.last_words("run", 2) == ["one", "two"]


def test_only_the_workers_of_the_driver_are_asked_to_stop(folder):
    assert not folder.asked_to_stop("driver")
    folder.stop("driver")
    assert folder.asked_to_stop("driver")
    assert not folder.asked_to_stop("another")


def test_the_earliest_end_counts():
    now = time.time()
    assert worker.remaining(None, {}) == float("inf")
    assert worker.remaining(now + 50, {}) == pytest.approx(50, abs=5)
    told = {"MPIDL_ENDS": str(int(now + 30)), "SLURM_JOB_END_TIME": str(int(now + 90))}
    assert worker.remaining(now + 50, told) == pytest.approx(30, abs=5)
    assert worker.remaining(None, {"SLURM_JOB_END_TIME": ""}) == float("inf")


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_keeper_ends_those_who_do_not_listen():
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        env={**os.environ, keeper.MARK: "some-mark"},
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    assert keeper.marked("some-mark") == [process.pid]
    assert keeper.marked("some") == []
    keeper.end("some-mark", patience=0.3)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
