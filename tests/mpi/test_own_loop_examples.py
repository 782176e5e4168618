"""Examples of gossip in an own loop: few lines more than a plain script, the bits of a run."""

import difflib
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mpidl import plan
from mpidl.components.datasets import DATASETS, Dataset
from mpidl.config import runfile, seeds
from mpidl.run import execution

pytestmark = [pytest.mark.dealt, pytest.mark.ranks(2, 3, 4)]

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = (
    "data.name=of_the_script",
    "placement.name=given",
    "ood.name=none",
    "topology.name=ring",
    "strategy.name=metropolis_hastings",
    "model.hidden=[64]",
    "training.rounds=3",
    "training.epochs=1",
    "training.order=fixed",
    "training.batch_size=32",
    "training.lr=0.05",
    "training.momentum=0.9",
    "training.accelerator=cpu",
)
ALIKE = ("iid_accuracy_mixed", "consensus_distance")


def test_six_lines_make_it_decentralized():
    plain, gossip = (EXAMPLES.joinpath(n).read_text() for n in ("mnist.py", "mnist_gossip.py"))
    lines = plain.splitlines()
    assert len(lines) <= 60
    changed = [
        line for line in difflib.ndiff(lines, gossip.splitlines()) if line.startswith(("+ ", "- "))
    ]
    assert 0 < len(changed) <= 6


@pytest.fixture
def of_the_script(comm):
    """The data set of the script, every sample with the rank that the script gives it to."""

    def of_the_script(folder, seed, /) -> Dataset:
        load = runpy.run_path(str(EXAMPLES / "mnist.py"))["load"]
        arrays = [part.numpy() for part in load(None)]
        owners = np.arange(len(arrays[0])) % comm.size
        return Dataset("of_the_script", *arrays, tuple("0123456789"), owners=owners)

    DATASETS.add(of_the_script)
    yield
    del DATASETS["of_the_script"]


def test_it_gives_the_bits_of_a_run(
    comm, shared_path, monkeypatch, read, one_thread, of_the_script, capsys
):
    monkeypatch.chdir(shared_path)
    words = ["--epochs", "3", "--in-order", "--seed", str(seeds.integer(0, "init"))]
    monkeypatch.setattr(sys, "argv", ["mnist_gossip.py", *words])
    runpy.run_path(str(EXAMPLES / "mnist_gossip.py"), run_name="__main__")
    text = runfile.DEFAULT.read_text(encoding="utf-8")
    made = plan.make(runfile.read(text, SETTINGS, plan.KINDS), comm.size)
    assert execution.run(comm, made, shared_path / "run.h5") == 0
    comm.Barrier()
    script, run = (read(shared_path / f"{name}.h5") for name in ("mnist", "run"))
    for key in ALIKE:
        assert script[f"series/{key}"][:3].tobytes() == run[f"series/{key}"].tobytes(), key
    assert script["series/iid_accuracy_mixed"][2].min() > 0.5


def test_agents_of_numpy_find_the_mean_of_their_targets(comm, capsys):
    targets = [np.random.default_rng(rank).normal(size=2) for rank in range(comm.size)]
    runpy.run_path(str(EXAMPLES / "numpy_agent.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert f"agent {comm.rank} wants" in told
    assert f"is at {np.mean(targets, axis=0)}" in told
