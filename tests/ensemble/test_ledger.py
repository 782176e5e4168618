"""What becomes of runs: done, tried again, lost, given up; the counts always add up."""

import pytest

from mpidl.ensemble import ledger as room
from mpidl.ensemble import study
from mpidl.ensemble.folder import Folder
from mpidl.ensemble.ledger import Ledger
from mpidl.ensemble.worker import Outcome
from tests.ensemble import small_results

GOOD = Outcome(0, 0.0, 4.0, "here", 0)
BAD = Outcome(1, 0.0, 4.0, "here", 0)


@pytest.fixture
def runs(four):
    return study.read(four).runs


@pytest.fixture
def account(tmp_path, runs):
    """As ``account(**estimates)``: a ledger with all four runs waiting, and what it shows."""
    folder = Folder(tmp_path / "results")
    with folder.alone():

        def make(retries=1, brief=False, **estimates):
            shown = []
            made = Ledger(folder, estimates, retries, shown.append, brief)
            made.begin(runs)
            return made, shown

        make.folder = folder
        yield make


def complete(folder, run, completed=1, rounds=1):
    small_results.write(folder.results(run.name), completed, rounds)


def counts(made):
    state = made.state
    return state.waiting, state.running, state.done, len(state.failed)


def test_what_is_done_is_not_left(account, runs):
    complete(account.folder, runs[0])
    complete(account.folder, runs[1], completed=0)
    made, _ = account()
    assert counts(made) == (3, 0, 1, 0)
    assert made.begin(runs) == list(runs[1:])


def test_a_run_is_done_only_if_its_results_say_so(account, runs):
    made, shown = account()
    made.hand_over()
    assert counts(made) == (3, 1, 0, 0)
    assert not made.judge(runs[0], GOOD, stopping=False)
    assert "exit code 0" in shown[-1]
    assert counts(made) == (4, 0, 0, 0)
    made.hand_over()
    complete(account.folder, runs[0])
    assert made.judge(runs[0], GOOD, stopping=False)
    assert counts(made) == (3, 0, 1, 0)


def test_a_brief_ledger_shows_what_went_wrong_alone(account, runs):
    made, shown = account(brief=True)
    made.hand_over()
    complete(account.folder, runs[0])
    assert made.judge(runs[0], GOOD, stopping=False)
    assert shown == []
    assert "done" in (account.folder.path / "log.txt").read_text()
    made.hand_over()
    assert not made.judge(runs[1], BAD, stopping=False)
    assert ["fault" in line for line in shown] == [True]


def test_a_run_is_done_however_its_launcher_ended(account, runs):
    made, shown = account()
    made.hand_over()
    complete(account.folder, runs[0])
    assert made.judge(runs[0], Outcome(139, 0.0, 4.0, "here", 0), stopping=True)
    assert "exit code 139 after its end" in shown[-1]
    assert counts(made) == (3, 0, 1, 0)


@pytest.mark.parametrize("retries", [0, 2])
def test_failures_are_tried_again_so_many_times(account, runs, retries):
    made, shown = account(retries)
    (account.folder.logs / f"{runs[0].name}.txt").write_text("the reason\n")
    for _ in range(retries):
        made.hand_over()
        assert not made.judge(runs[0], BAD, stopping=False)
    made.hand_over()
    assert made.judge(runs[0], BAD, stopping=False)
    assert shown[-1] == "    the reason"
    assert made.state.failed == [runs[0].name]
    assert counts(made) == (3, 0, 0, 1)
    assert [one.attempt for one in account.folder.attempts()] == list(range(1, retries + 2))


def test_a_users_fault_is_not_tried_again(account, runs):
    made, _ = account(5)
    made.hand_over()
    assert made.judge(runs[0], Outcome(2, 0.0, 1.0, "here", 0), stopping=False)
    assert counts(made) == (3, 0, 0, 1)


@pytest.mark.parametrize(("code", "stopping"), [(75, False), (137, True), (1, True)])
def test_a_run_that_was_stopped_has_not_failed(account, runs, code, stopping):
    made, shown = account(0)
    for _ in range(3):
        made.hand_over()
        assert not made.judge(runs[0], Outcome(code, 0.0, 1.0, "here", 0), stopping)
    assert "  stopped    " in shown[-1]
    assert counts(made) == (4, 0, 0, 0)


@pytest.mark.parametrize("code", [-10, 10, 138, 15, 143, 0])
def test_a_run_that_was_stopped_before_it_listened_has_not_failed(account, runs, code):
    made, shown = account(0)
    made.hand_over()
    assert not made.judge(runs[0], Outcome(code, 0.0, 1.0, "here", 0, asked=True), stopping=False)
    assert "  stopped    " in shown[-1]
    assert account.folder.attempts()[-1].code == 75
    made.hand_over()
    assert made.judge(runs[0], Outcome(code, 0.0, 1.0, "here", 0), stopping=False)
    assert counts(made) == (3, 0, 0, 1)


def test_a_run_that_is_lost_often_but_gets_further_is_not_given_up(account, runs):
    made, _ = account(0)
    for done in range(2 * room.LOST):
        complete(account.folder, runs[0], completed=0, rounds=done + 1)
        made.hand_over()
        assert not made.lose(runs[0], "gone")


def test_a_run_that_is_lost_again_and_again_is_given_up(account, runs):
    made, _ = account(0)
    for _ in range(room.LOST - 1):
        made.hand_over()
        assert not made.lose(runs[0], "gone")
    made.hand_over()
    assert made.lose(runs[0], "gone")
    assert counts(made) == (3, 0, 0, 1)


def test_a_run_that_ended_before_it_was_lost_is_done(account, runs):
    made, _ = account()
    made.hand_over()
    complete(account.folder, runs[0])
    assert made.lose(runs[0], "gone")
    assert counts(made) == (3, 0, 1, 0)


def test_expectations_follow_what_runs_took(account, runs):
    first, second, *_ = runs
    made, shown = account(**{first.name: 2.0, second.name: 10.0})
    assert made.expected(second) == pytest.approx(room.MARGIN * 10)
    assert made.expected(runs[2]) is None
    complete(account.folder, first)
    made.hand_over()
    made.judge(first, GOOD, stopping=False)
    assert "expected 2.0" in shown[-1]
    assert made.expected(second) == pytest.approx(room.MARGIN * 20)
    assert made.expected(runs[2]) == pytest.approx(room.MARGIN * 4)
    again, _ = account(**{second.name: 10.0})
    assert again.expected(second) == pytest.approx(room.MARGIN * 20)
