"""Studies worked off for real: Parsl, mpiexec, results files; killed, stopped, started again."""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import pytest

from mpidl.ensemble import keeper
from mpidl.ensemble.folder import Folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MPIEXEC = Path(sys.executable).with_name("mpiexec")


def wait_for(what, seconds=180):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def events(folder):
    log = folder.path / "log.txt"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[2:4] for line in lines if not line.startswith("    ")]


def table(folder):
    return (folder.path / "table.csv").read_text()


def kill(process, folder):
    """Kill a driver; its keeper then ends all that it started."""
    wait_for(folder.going_on)
    mark = next(iter(folder.going_on().values())).driver
    process.kill()
    process.wait()
    wait_for(lambda: not keeper.marked(mark))


@pytest.mark.slow
def test_a_study_goes_on_after_its_driver_was_killed(four, tmp_path, begin, command):
    whole, cut = Folder(tmp_path / "whole/four"), Folder(tmp_path / "cut/four")
    undisturbed = begin(four, "--site", "local", "--out", "whole")
    process = begin(four, "--site", "local", "--out", "cut")
    wait_for(lambda: [e for e, _ in events(cut)].count("done") >= 1)
    wait_for(lambda: cut.going_on())
    code, _, err = command(four, "--site", "local", "--out", "cut")
    assert code == 2
    assert "Another driver works in" in err
    assert f"process {process.pid} on" in err
    kill(process, cut)
    assert not cut.going_on()
    made = {path: path.stat().st_mtime_ns for path in cut.path.glob("*.h5")}
    done = {a.name for a in cut.attempts() if a.code == 0}
    assert 1 <= len(done) < 4
    # The keeper of the one has ended nothing of the other.
    out, err = undisturbed.communicate(timeout=120)
    assert (undisturbed.returncode, err) == (0, "")
    assert "waiting 0  running 0  done 4  failed 0; table in" in out
    assert table(whole).count("\n") == 5

    code, out, _ = command(four, "--site", "local", "--out", "cut")
    assert code == 0
    assert f"4 runs, {len(done)} done before" in out
    assert table(cut) == table(whole)
    assert set(Counter(a.name for a in cut.attempts() if a.code == 0).values()) == {1}
    for name in done:
        assert cut.results(name).stat().st_mtime_ns == made[cut.results(name)]

    before = cut.attempts()
    code, out, _ = command(four, "--site", "local", "--out", "cut")
    assert code == 0
    assert cut.attempts() == before


@pytest.fixture
def unreliable(tmp_path):
    """A folder with an mpiexec that fails one run once, and another one always."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mpiexec").write_text(
        f"""#!/bin/bash
case "$*" in
  *degree-0-*) echo "no such luck"; exit 4 ;;
  *unweighted-0-*) [ -e "{tmp_path}/tried" ] || {{ touch "{tmp_path}/tried"; exit 5; }} ;;
esac
exec "{MPIEXEC}" "$@"
"""
    )
    (folder / "mpiexec").chmod(0o755)
    return folder


def test_a_failed_run_is_tried_again_and_then_told_while_others_go_on(
    two, tmp_path, unreliable, environment, command
):
    path = f"{unreliable}{os.pathsep}{environment['PATH']}"
    code, out, err = command(two, "--site", "local", "--retries", 2, PATH=path)
    folder = Folder(tmp_path / "results/four")
    assert (code, err) == (1, "")
    codes = {}
    for attempt in folder.attempts():
        codes.setdefault(attempt.name.rpartition("-")[0], []).append(attempt.code)
    assert codes == {"unweighted-0": [5, 0], "degree-0": [4, 4, 4]}
    assert "done 1  failed 1" in out
    assert "    no such luck" in out
    assert "    no such luck" in (folder.path / "log.txt").read_text()
    assert table(folder).count("\n") == 2


ASKED_EARLY = """
import os, signal, sys

class Asking:
    def find_spec(self, name, *_):
        if name == "mpidl.ensemble.driver":
            os.kill(os.getpid(), signal.SIGUSR1)

if sys.orig_argv[1:3] == ["-m", "mpidl.ensemble"]:
    sys.meta_path.insert(0, Asking())
"""
"""As Python starts the command: it is asked to stop while it loads."""


@pytest.mark.slow
def test_a_request_that_comes_while_the_command_loads_is_heard(two, tmp_path, begin):
    (tmp_path / "early").mkdir()
    (tmp_path / "early/sitecustomize.py").write_text(ASKED_EARLY)
    path = os.pathsep.join([str(tmp_path / "early"), *os.environ.get("PYTHONPATH", "").split()])
    process = begin(two, "--site", "local", PYTHONPATH=path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (75, "")
    assert "waiting 2  running 0  done 0  failed 0" in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_stops_runs_after_their_round(four, tmp_path, begin, number):
    folder = Folder(tmp_path / "results/four")
    process = begin(four, "--site", "local", "--set", "training.rounds=100000")
    wait_for(lambda: folder.path.exists() and len(folder.going_on()) == 2)
    # Long enough for both to be in their rounds.
    wait_for(lambda: len(list(folder.path.glob("*.h5"))) == 2)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode == (75 if number == signal.SIGTERM else 130)
    assert [event for event, _ in events(folder)].count("stopped") == 2
    assert "waiting 4  running 0  done 0  failed 0" in out
    assert not folder.going_on()


@pytest.mark.slow
def test_runs_of_whole_nodes_go_through_the_allocation_that_is_there(two, tmp_path, command):
    (tmp_path / "nodes").write_text("localhost\n127.0.0.1\nlocalhost\n127.0.0.1\n")
    site = tmp_path / "site.toml"
    site.write_text('scheduler = "pbs"\noptions = ["-launcher", "fork"]\n[node]\ncpus = 1\n')
    code, out, err = command(
        two, "--site", site, PBS_JOBID="1.here", PBS_NODEFILE=str(tmp_path / "nodes")
    )
    folder = Folder(tmp_path / "results/four")
    assert (code, err) == (0, "")
    assert "done 2  failed 0" in out
    starts = [(folder.logs / f"{a.name}.txt").read_text() for a in folder.attempts()]
    assert all("-n 2 -ppn 1 -hosts" in text for text in starts)


FIGURES = """
[node]
cpus = "auto"
ranks_per_place = 64

[[figures]]
data = "digits"
model = "mlp"
train = 1000
evaluate = 1000
source = "made up"
"""


@pytest.mark.slow
def test_runs_longer_than_the_walltime_go_on_from_checkpoints(four, tmp_path, command):
    (tmp_path / "slow.toml").write_text(FIGURES)
    more = ("--site", "slow.toml", "--set", "training.rounds=100000", "--walltime", "00:00:16")
    done = []
    for _ in range(2):
        code, out, err = command(four, *more)
        assert (code, err) == (75, "")
        assert out.count("more than the walltime of") == 4
        assert "the time is over: runs end after their round" in out
        assert "waiting 4  running 0  done 0  failed 0" in out
        counted = {}
        for path in (tmp_path / "results/four").glob("*.h5"):
            with h5py.File(path, "r") as file:
                counted[path.name] = int(file["rounds_done"][()]), file.attrs.get("resumed", "")
        done.append(counted)
    first, second = done
    went_on = [name for name in first if second[name][1]]
    assert went_on
    for name in went_on:
        assert second[name][1] == str(first[name][0])
        assert second[name][0] > first[name][0]
