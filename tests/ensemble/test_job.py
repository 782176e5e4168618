"""What a batch script hands over to, without a batch system; with one, see the folder launch."""

import signal
import time
from pathlib import Path

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation, chain, folder, job, launchers, sites
from mpidl.ensemble.chain import StopRequest
from mpidl.ensemble.job import Work
from mpidl.ranks import stopping, walltime
from tests.ensemble import small_results

WAIT = "trap 'exit 75' USR1; while :; do sleep 0.05; done"


def test_work_is_warned_before_its_nodes_are_taken_away(capfd):
    begin = time.time()
    assert job.start(Work(["sh", "-c", WAIT], {}, Path()), begin + 1.5, []) == 75
    assert time.time() - begin > 1.4
    assert "the time is over" in capfd.readouterr().out


def test_work_that_a_signal_ends_has_a_shells_exit_code():
    assert job.start(Work(["sh", "-c", "kill -9 $$"], {}, Path()), None, []) == 137


def test_work_that_is_warned_before_it_listens_is_started_again(capfd):
    assert job.start(Work(["sleep", "20"], {}, Path()), None, [StopRequest(15, 0.0)]) == 75
    assert "SIGTERM; asked to stop" in capfd.readouterr().out


def test_a_job_hears_a_warning_before_and_after_it_has_loaded(monkeypatch):
    """Its script ignores them until then."""
    monkeypatch.setattr(stopping, "asked", [signal.SIGTERM])
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    kept = {number: signal.getsignal(number) for number in stopping.WARNINGS}
    try:
        asked = job.listen()
        signal.raise_signal(signal.SIGUSR1)
        assert [request.signal for request in asked] == [signal.SIGTERM, signal.SIGUSR1]
    finally:
        for number, handler in (kept | {signal.SIGUSR1: before}).items():
            signal.signal(number, handler)


def test_work_is_asked_again_as_a_launcher_that_starts_passes_nothing_on(monkeypatch):
    monkeypatch.setattr(launchers, "AGAIN", 0.01)
    deaf_once = "trap 'trap \"exit 75\" USR1' USR1; for i in $(seq 900); do sleep 0.01; done"
    assert job.start(Work(["sh", "-c", deaf_once], {}, Path()), None, [StopRequest(10, 0.0)]) == 75


@pytest.mark.parametrize("code", [-10, 10, 11, 138, -15, 15, 143])
def test_a_run_that_did_not_listen_yet_is_told_by_its_exit_code(code):
    """Hydra joins the 10 of ranks that a request ended with the 9 of those that it killed."""
    assert launchers.killed_by_request(code)
    assert not any(map(launchers.killed_by_request, (0, 1, 2, 3, 9, 75, 130, 137)))


def test_a_run_whose_launcher_loses_its_exit_code_is_known_by_its_results(tmp_path):
    """MPICH 4.0's mpiexec may end with 0 after a signal, whatever the ranks say."""
    work = ["sh", "-c", "trap 'exit 0' USR1; while :; do sleep 0.01; done"]
    run = tmp_path / "run.h5"
    for completed, code in enumerate((75, 0)):
        small_results.write(run, completed)
        assert job.start(Work(work, {}, run), None, [StopRequest(10, 0.0)]) == code
    assert job.start(Work(work, {}, tmp_path), None, [StopRequest(10, 0.0)]) == 0


JOB = {
    "Account_Name": "project",
    "Job_Name": "mpidl",
    "queue": "medium",
    "Resource_List": {
        "filesystems": "home:flare",
        "ncpus": 249600,
        "place": "scatter",
        "select": "1200",
        "walltime": "18:00:00",
    },
}


def test_the_next_job_goes_through_the_queue_that_routes():
    words = " ".join(chain.options(sites.read("aurora"), JOB, "12.pbs"))
    wanted = "-A project -q prod -N mpidl -l select=1200 -l place=scatter -l walltime=18:00:00"
    assert words == f"{wanted} -l filesystems=home:flare"


def test_the_next_job_gets_what_this_one_was_submitted_with():
    more = {
        "Rerunable": "False",
        "Mail_Points": "abe",
        "Mail_Users": "me@here",
        "umask": 22,
        "Output_Path": "login:/home/me/logs/",
        "Error_Path": "login:/home/me/mpidl.e12",
        "Submit_arguments": "-l select=2:ncpus=208,mig_config=1g -v MPIDL_JOB=run a.toml x.pbs",
        "Resource_List": {"select": "2:ncpus=208", "ncpus": 416, "mig_config": "1g", "award": "x"},
    }
    words = " ".join(chain.options(sites.read("aurora"), JOB | more, "12.pbs"))
    assert words == (
        "-A project -q prod -N mpidl -l select=2:ncpus=208 -l mig_config=1g -r n -m abe "
        "-M me@here -o login:/home/me/logs/ -W umask=22"
    )


def test_a_job_that_pbs_runs_again_has_no_second_one_after_it(monkeypatch, tmp_path, capsys):
    waits = {"MPIDL_CHAIN": 99}
    jobs = {
        "1.pbs": JOB | {"depend": "beforeany:7.pbs@here:8.pbs@here"},
        "7.pbs": {"Variable_List": {"PBS_O_LANG": "C"}},
        "8.pbs": {"Variable_List": waits},
    }
    given = []
    monkeypatch.setattr(allocation, "described", jobs.__getitem__)
    monkeypatch.setattr(allocation, "ask", lambda *words: given.append(words) or "9.pbs\n")
    monkeypatch.setenv("PBS_JOBID", "1.pbs")
    monkeypatch.delenv("MPIDL_CHAIN", raising=False)
    monkeypatch.setenv("MPIDL_JOB", 'run a.toml --set name="a,b"')
    site, results = sites.read("aurora"), tmp_path / "a.h5"
    chain.again(site, "x.pbs", results)
    assert not given
    assert "the next job is 8.pbs" in capsys.readouterr().out
    waits["MPIDL_CHAIN"] = 98
    chain.again(site, "x.pbs", results)
    (words,) = given
    assert words[-5:-3] == ("-W", "depend=afterany:1.pbs")
    assert f"MPIDL_JOB=@{tmp_path}/a.h5.job" in words[-2].split(",")
    assert (tmp_path / "a.h5.job").read_text() == 'run a.toml --set name="a,b"\n'


def test_commas_are_quoted_for_qsub():
    assert chain.quoted("MPIDL_VENV", "a b") == "a b"
    assert chain.quoted("MPIDL_VENV", "a,b") == '"a,b"'
    with pytest.raises(Fault, match="damages the quotes in MPIDL_VENV = a'b"):
        chain.quoted("MPIDL_VENV", "a'b")


WORDS = ["run", "my file.toml", "--set", 'name="a,b"']


def test_words_come_from_the_command_the_variable_or_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("MPIDL_JOB", raising=False)
    assert chain.words_to_start([]) == []
    monkeypatch.setenv("MPIDL_JOB", f"@{tmp_path / 'job'}")
    with pytest.raises(Fault, match="the file cannot be read"):
        chain.words_to_start([])
    (tmp_path / "job").write_text("run 'my file.toml'\n--set 'name=\"a,b\"'\n")
    assert chain.words_to_start([]) == WORDS
    assert chain.words_to_start(["run"]) == ["run"]
    monkeypatch.setenv("MPIDL_JOB", "run a.toml --set name=\\a b\\")
    with pytest.raises(Fault, match=r"No escaped character; qsub -v damages quotes: .*@FILE"):
        chain.words_to_start([])


@pytest.mark.parametrize(
    ("asked", "stop", "wanted"),
    [
        ([], None, True),
        ([(10, 50.0)], None, True),
        ([(15, 150.0)], 100.0, True),
        ([(15, 99.0)], 100.0, False),
        ([(10, 50.0), (15, 60.0)], 100.0, False),
        ([(15, 150.0)], None, False),
        ([(1, 99.0)], 100.0, False),
    ],
)
def test_a_job_that_is_ended_before_its_time_has_none_after_it(asked, stop, wanted):
    requests = [StopRequest(*one) for one in asked]
    if wanted:
        chain.check_wanted(requests, stop)
        return
    with pytest.raises(Fault, match=r"No job follows: SIG(TERM|HUP) came"):
        chain.check_wanted(requests, stop)


RING = '[topology]\nname = "{}"\n[data]\nname = "digits"\n[training]\naccelerator = "cpu"\n'


@pytest.mark.parametrize(
    ("topology", "more", "ranks"),
    [
        ("ring", "", 24),
        ("barabasi_albert", "--set topology.m=2", 24),
        ("ring", "--set topology.devices=5", 5),
        ("ring", "--set topology.devices=5 --set placement.hosts=[0,1,1,0,1]", 2),
        ("ring", "-n 7", 7),
    ],
)
def test_a_run_takes_the_places_of_its_nodes_or_a_rank_for_each_device(
    tmp_path, topology, more, ranks
):
    file = tmp_path / "run.toml"
    file.write_text(RING.format(topology))
    words = [*more.split(), str(file)] if "-n" in more else [str(file), *more.split()]
    work = job.parse_work("aurora", sites.read("aurora"), ["a", "b"], ["run", *words], None)
    assert work.command[:3] == ["mpiexec", "-n", str(ranks)]


def test_an_ensemble_gets_further_by_rounds_that_are_done(tmp_path):
    for name, rounds, completed in (("a", 5, 1), ("b", 3, 0), ("b.unfinished-1", 9, 0)):
        small_results.write(tmp_path / f"{name}.h5", completed, rounds)
    (tmp_path / "c.h5").write_text("half a file")
    assert folder.rounds(tmp_path) == 5 + 1 + 3
    assert folder.rounds(tmp_path / "b.h5") == 3
    assert folder.rounds(tmp_path / "none") == 0


def test_hosts_of_a_job_of_pbs(tmp_path, monkeypatch):
    site = sites.read("aurora")
    monkeypatch.delenv("PBS_JOBID", raising=False)
    with pytest.raises(Fault, match="PBS_JOBID is not set"):
        allocation.hosts(site)
    monkeypatch.setenv("PBS_JOBID", "1.pbs")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    (tmp_path / "nodes").write_text("a.alcf\na.alcf\nb.alcf\n")
    assert allocation.hosts(site) == ["a.alcf", "b.alcf"]


@pytest.mark.parametrize(("clock", "want"), [("00:01:30", 90), ("100:00:00", 360_000)])
def test_clocks(clock, want):
    assert walltime.of_clock(clock) == want
    assert allocation.clock(want) == clock


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """As ``at_work(code, rounds)(*words)``: a job of PBS whose work ends so, after these rounds.

    It gives the job's exit code, the commands of its work, and how many jobs follow.
    """
    (tmp_path / "run.toml").write_text(RING.format("ring"))
    (tmp_path / "nodes").write_text("here\n")
    for key, value in {"PBS_JOBID": "1.pbs", "PBS_NODEFILE": str(tmp_path / "nodes")}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("MPIDL_MARGIN", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(allocation, "ends", lambda site: time.time() + 3600)
    kept = {number: signal.getsignal(number) for number in stopping.WARNINGS}

    def begin(code, done):
        counted, commands, following = iter((0, done)), [], []
        monkeypatch.setattr(job, "rounds", lambda results: next(counted))
        monkeypatch.setattr(job, "start", lambda work, *_: commands.append(work.command) or code)
        monkeypatch.setattr(chain, "again", lambda *told: following.append(told))

        def main(*words):
            ended = job.main(["--site", "aurora", "--script", "x.pbs", *words])
            return ended, [" ".join(command) for command in commands], len(following)

        return main

    yield begin
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("code", "done", "wanted"), [(0, 5, (0, 0)), (75, 5, (0, 1)), (75, 0, (75, 0)), (1, 5, (1, 0))]
)
def test_a_job_follows_where_the_time_was_over_and_there_was_progress(
    at_work, capsys, code, done, wanted
):
    ended, (command,), following = at_work(code, done)("run", "-n", "2", "run.toml")
    assert (ended, following) == wanted
    assert command.startswith("mpiexec -n 2")
    assert command.endswith("-m mpidl.run run.toml --resume")
    told = capsys.readouterr()
    assert "mpidl: job        1.pbs, 1 nodes, 00:5" in told.out
    assert ("made no progress" in told.err) == (wanted == (75, 0))


def test_an_ensemble_is_told_how_long_it_has(at_work):
    _, (command,), _ = at_work(0, 0)("ensemble", "smoke/study.toml")
    assert "-m mpidl.ensemble smoke/study.toml --site aurora --walltime 00:5" in command


def test_a_job_of_no_words_is_refused(at_work, capsys, monkeypatch):
    monkeypatch.delenv("MPIDL_JOB", raising=False)
    assert at_work(0, 0)() == (2, [], 0)
    assert "mpidl: Nothing to start: say 'run" in capsys.readouterr().err


OWN = """
import mpidl

@mpidl.graph
def broken(devices, seed, /):
    raise ZeroDivisionError("no such graph")
"""


@pytest.mark.usefixtures("forget")
def test_an_error_in_own_code_ends_a_job_with_its_traceback_alone(at_work, tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    own = ("--use", "own.py", "--set", "topology.name=broken")
    assert at_work(0, 0)("run", "-n", "2", "run.toml", *own) == (1, [], 0)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "mpidl: an error in code of one's own"
    assert told[2].endswith('own.py", line 6, in broken')
    assert told[-1] == "ZeroDivisionError: no such graph"
