"""Live logging: what loggers get, and that none of them ends a run."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from mpidl import plan
from mpidl.components import loggers
from mpidl.components.loggers import LOGGERS, Logged
from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.plan import codes
from mpidl.run import live

VALUES = {
    "train_loss": np.array([1.0, 3.0, np.nan]),
    "iid_accuracy_mixed": np.array([0.5, 0.7, 0.1]),
    "ood_accuracy_mixed": np.full(3, np.nan),
    "iid_class_accuracy_mixed": np.ones((3, 4)),
    "seconds_train": np.array([1.0, 2.0, 5.0]),
    "seconds_wait": np.array([4.0, 4.0, 0.0]),
    "bytes_sent": np.array([10.0, 20.0, 30.0]),
    "simulated_seconds": np.array([3.0, 9.0, 6.0]),
    "finite": np.ones(3),
}


def test_the_numbers_of_a_round():
    assert live.summary(VALUES, np.array([0, 0, 1]), attackers=[2]) == {
        "seconds_train": 5.0,
        "seconds_wait": 0.0,
        "train_loss/mean": 2.0,
        "train_loss/min": 1.0,
        "iid_accuracy_mixed/mean": pytest.approx(0.6),
        "iid_accuracy_mixed/min": 0.5,
        "bytes_sent": 60.0,
        "simulated_seconds": 9.0,
    }


class Kept:
    """A logger that keeps what it gets, and may fail in a round."""

    def __init__(self, run, fails=0):
        self.run, self.fails, self.rounds, self.closed = run, fails, {}, []

    def log(self, round_, values):
        """Keep values."""
        assert threading.current_thread() is not threading.main_thread()
        if round_ == self.fails:
            raise OSError("no such\nserver")
        self.rounds[round_] = values

    def close(self, completed):
        """Note the end."""
        self.closed.append(completed)


@pytest.fixture
def logged(monkeypatch, tmp_path):
    """As ``logged(**loggers)``: a live log with these, after three rounds, and its warnings."""

    def go(leads=True, **named):
        made = {}
        for name, build in named.items():
            monkeypatch.setitem(
                LOGGERS, name, lambda run, /, n=name, b=build: made.setdefault(n, b(run))
            )
        text = f"name = 'one'\n[topology]\nname = 'ring'\ndevices = 3\n[record]\nlog = {[*named]}"
        made_plan = plan.make(runfile.read(text, (), plan.KINDS), 1)
        told = []
        run = live.logged(made_plan, tmp_path / "one.h5", 4)
        names = made_plan.file.record.log if leads else []
        log = live.LiveLog(names, run, made_plan.hosts, made_plan.attackers, told.append)
        for round_ in range(4, 7):
            log.watch(round_, VALUES)
        log.completed = True
        log.close()
        log.close()
        return made, told

    return go


def test_loggers_get_every_round_and_the_end(logged):
    made, told = logged(one=Kept)
    assert told == []
    assert [*made["one"].rounds] == [5, 6, 7]
    assert made["one"].rounds[5]["bytes_sent"] == 60.0
    assert made["one"].closed == [True]
    assert made["one"].run.first == 4
    assert made["one"].run.settings["topology.devices"] == 3


def test_a_logger_that_fails_is_told_once_and_others_go_on(logged):
    def refused(run):
        raise RuntimeError("not logged in")

    made, told = logged(bad=lambda run: Kept(run, fails=6), none=refused, good=Kept)
    assert sorted(told) == [
        "record.log: bad failed and logs nothing more (OSError: no such server)",
        "record.log: none failed and logs nothing more (RuntimeError: not logged in)",
    ]
    assert ([*made["bad"].rounds], made["bad"].closed) == ([5], [])
    assert ([*made["good"].rounds], made["good"].closed) == ([5, 6, 7], [True])


MINE = """
import sys
import mpidl


@mpidl.logger
class kept:
    def __init__(self, run, /):
        sys.made.append(self)
        self.first, self.rounds = run.first, []

    def log(self, round_, values):
        self.rounds.append(round_)

    def close(self, completed):
        self.completed = completed


class Fails(kept):
    def log(self, round_, values):
        self.helped(values)

    def helped(self, values):
        return values["[/no]"]


class Exits(kept):
    def close(self, completed):
        sys.exit()


def nothing(run, /):
    return 3


def without(run): ...
"""


@pytest.fixture
def mine(tmp_path, monkeypatch, forget):
    """As ``mine(text, name)``: the plan of a run with a logger of a file that has the text."""
    monkeypatch.setattr(sys, "made", [], raising=False)

    def make(*names):
        (tmp_path / "mine.py").write_text(MINE)
        (tmp_path / "one.toml").write_text(
            f"[topology]\nname = 'ring'\ndevices = 3\n[record]\nlog = {[*names]}\n"
        )
        file = plan.read(tmp_path / "one.toml", [], 1)
        return plan.make(file, 1)

    return make


def heard(made_plan, tmp_path, first=0):
    """What is told of a plan's loggers in a round."""
    told, run = [], live.logged(made_plan, tmp_path / "one.h5", first)
    log = live.LiveLog(made_plan.file.record.log, run, made_plan.hosts, [], told.append)
    log.watch(first, VALUES)
    log.completed = True
    log.close()
    return told


def test_a_logger_of_ones_own_is_found_recorded_and_goes_on(mine, tmp_path):
    made_plan = mine("mine.py:kept")
    assert made_plan.file.record.log == ["kept"]
    [code] = codes(made_plan.file)
    assert (code.name, code.text) == ("mine.py", MINE)
    assert heard(made_plan, tmp_path, first=4) == []
    [kept] = sys.made
    assert (kept.first, kept.rounds, kept.completed) == (4, [5], True)


@pytest.mark.parametrize("name", ["Fails", "Exits"])
def test_a_fault_in_a_logger_of_ones_own_is_told_from_its_first_line(mine, tmp_path, name):
    [told] = heard(mine(f"mine.py:{name}"), tmp_path)
    said = told.splitlines()
    assert said[0] == f"record.log: mine.py:{name} failed and logs nothing more:"
    assert said[1:3] == [
        "mpidl: an error in code of one's own",
        "Traceback (most recent call last):",
    ]
    assert all("mine.py" in line for line in said if line.startswith("  File"))
    assert said[-1] in ("KeyError: '[/no]'", "SystemExit")


def test_what_is_no_logger_is_told(mine, tmp_path):
    [told] = heard(mine("mine.py:nothing"), tmp_path)
    assert told == (
        "record.log: 'mine.py:nothing' gives 3: must give an object with the methods "
        "log(round, values) and close(completed). It logs nothing."
    )


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["mine.py:kept", "kpt"], r"'kpt' is no logger; did you mean 'kept'\? One of your own is"),
        (["mine.py:without"], r"needs a setting, 'run', .* stands before a '/', as in without\("),
        (["mine.py:kept", "kept"], r"= \['kept', 'kept'\]: must name each logger once"),
        (["mine.py:keept"], r"mine.py has no 'keept'; did you mean 'kept'"),
    ],
)
def test_loggers_that_cannot_be_are_refused(mine, names, sentence):
    with pytest.raises(Fault, match=sentence):
        mine(*names)


def test_other_ranks_log_nothing(logged):
    assert logged(leads=False, one=Kept) == ({}, [])


def test_wandb_gets_project_settings_and_rounds(monkeypatch, tmp_path):
    calls = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values)),
        finish=lambda exit_code: calls.append(exit_code),
    )
    given = {}
    module = SimpleNamespace(init=lambda **settings: given.update(settings) or run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    logger = LOGGERS["wandb"](Logged(tmp_path / "one.h5", "one", {"training.lr": 0.1}, 0))
    logger.log(1, {"train_loss/mean": 2.0})
    logger.close(False)
    assert given["project"] == "mpidl"
    assert given["config"] == {"training.lr": 0.1}
    assert calls == [(1, {"train_loss/mean": 2.0}), 1]


@pytest.mark.slow
def test_tensorboard_shows_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = LOGGERS["tensorboard"](Logged(tmp_path / "one.h5", "one", {"training.lr": 0.1}, 0))
    for round_ in (1, 2):
        logger.log(round_, {"train_loss/mean": 2.0 / round_})
    logger.close(True)
    found = EventAccumulator(str(tmp_path / "one.tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("train_loss/mean")] == [(1, 2.0), (2, 1.0)]


def test_a_package_that_is_missing_is_told_with_its_command(monkeypatch):
    monkeypatch.setattr(loggers.util, "find_spec", lambda name: None)
    with pytest.raises(Fault, match=r"\['mlflow'\]: 'mlflow' needs .*: pip install mlflow$"):
        loggers.check_packages(["mlflow"])
    loggers.check_packages([])
