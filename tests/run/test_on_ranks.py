"""A program of one rank, such as a notebook, lets mpiexec start ranks for a run."""

import os
import signal
import threading

from mpi4py import MPI

import numpy as np
import pytest
import torch

import mpidl
from mpidl.config.faults import Breakdown, Fault
from mpidl.config.outcome import Outcome
from mpidl.ranks import host
from mpidl.run import launching

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts ranks of its own")

SETTINGS = {
    "topology": {"name": "ring", "devices": 3},
    "data": {"name": "digits", "train_samples": 60, "test_samples": 40},
    "model": "logistic",
    "training": {"rounds": 2, "steps": 1, "accelerator": "cpu"},
}


@pytest.mark.slow
def test_ranks_train_what_one_process_trains(capfd):
    several = mpidl.train(ranks=2, **SETTINGS)
    assert "round 2/2" in capfd.readouterr().out
    one = mpidl.train(quiet=True, **SETTINGS)
    assert not capfd.readouterr().out
    assert several.data.attrs["ranks"] == 2
    assert np.array_equal(several.data["train_loss"], one.data["train_loss"])
    for number, model in one.models.items():
        theirs = several.models[number].state_dict()
        assert all(torch.equal(w, theirs[name]) for name, w in model.state_dict().items())
    # The checkpoint from which the models came is not what was asked for.
    assert os.listdir(several.path.parent) == ["default.h5"]


@pytest.mark.slow
def test_ctrl_c_ends_the_ranks(tmp_path):
    started = threading.Event()

    def show(line):
        if line.startswith("round ") and not started.is_set():
            started.set()
            os.kill(os.getpid(), signal.SIGINT)

    sets = ["topology.name=ring", "training.rounds=100000", "data.train_samples=60"]
    words = [*[f"--set={one}" for one in sets], "--out", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        launching.launch(2, words, show)
    assert mpidl.open(tmp_path / "default.h5").attrs["rounds_done"] > 0


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ({"ranks": 0}, r"ranks = 0: must be a whole number of at least 1"),
        ({"ranks": True}, r"ranks = True: must be a whole number of at least 1"),
        ({"ranks": 2, "model": lambda: None}, r"ranks = 2: needs names .* for model\."),
        ({"ranks": 2, "communicator": MPI.COMM_SELF}, r"ranks and communicator must not be given"),
        ({"ranks": 2, "topology": "rng"}, r"topology.name = 'rng': unknown topology"),
    ],
)
def test_what_ranks_cannot_do_is_refused_before_they_start(monkeypatch, arguments, want):
    monkeypatch.setattr(launching, "launch", None)
    with pytest.raises(Fault, match=want):
        mpidl.train(**{**SETTINGS, **arguments})


def test_a_launched_program_starts_no_ranks(monkeypatch):
    monkeypatch.setattr(host, "launched", lambda: 4)
    with pytest.raises(Fault, match="must be left out, as mpiexec has started this program"):
        mpidl.train(ranks=2, **SETTINGS)


STAND_IN = """#!/bin/sh
echo "round 1/1"
echo "$MPIDL_TOLD" >&2
exit $MPIDL_CODE
"""


@pytest.mark.parametrize(
    ("code", "told", "error", "want"),
    [
        (2, "mpidl: A setting is wrong.", Fault, r"^A setting is wrong\.$"),
        (1, "[rank 1] Traceback", Breakdown, r"exit code 1:\n\[rank 1\] Traceback$"),
        (130, "", KeyboardInterrupt, None),
    ],
)
def test_the_end_of_the_ranks_is_raised(monkeypatch, tmp_path, code, told, error, want):
    stand_in = tmp_path / "mpiexec"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    monkeypatch.setattr(host, "mpiexec", lambda: str(stand_in))
    monkeypatch.setenv("MPIDL_TOLD", told)
    monkeypatch.setenv("MPIDL_CODE", str(code))
    lines = []
    with pytest.raises(error, match=want):
        launching.launch(2, [], lines.append)
    assert lines == ["round 1/1"]
    monkeypatch.setenv("MPIDL_CODE", "3")
    assert launching.launch(2, [], lines.append) is Outcome.DIVERGED
    monkeypatch.setattr(host, "mpiexec", lambda: None)
    with pytest.raises(Fault, match="there is no mpiexec on the path"):
        launching.launch(2, [], lines.append)
