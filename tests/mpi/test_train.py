"""A program trains in its own process, and goes on as before."""

import json
import random
import signal
import threading

from mpi4py import MPI

import networkx as nx
import numpy as np
import pytest
import torch

import mpidl
from mpidl.config.faults import Fault
from mpidl.devices import device
from mpidl.preview import facts
from mpidl.run import command
from mpidl.storage import checkpoint
from mpidl.storage.checkpoint import finder, heads, sealed
from tests.mpi.conftest import contents
from tests.mpi.test_library import handles, state

pytestmark = pytest.mark.dealt

SETTINGS = {
    "topology": {"name": "ring", "devices": 5},
    "data": {"name": "digits", "train_samples": 60, "test_samples": 30},
    "model": {"name": "mlp", "hidden": [4]},
    "training": {"rounds": 2, "steps": 1, "accelerator": "cpu"},
}
CALLS = 30


@pytest.fixture
def train(comm, shared_path):
    """As ``train(**settings)``: collective; a small run in this process, unless they say else."""

    def start(*file, **settings):
        more = {"communicator": comm, "out": shared_path, "overwrite": True, "quiet": True}
        return mpidl.train(*file, **{**SETTINGS, **more, **settings})

    return start


def test_many_trainings_leave_a_process_as_one_does(comm, train):
    torch.set_num_threads(2)
    torch.manual_seed(5)
    np.random.seed(3)  # noqa: NPY002
    random.seed(4)
    train(out=None)
    before, taken = state(), handles()
    for _ in range(CALLS // comm.size):
        assert train(out=None).outcome == "completed"
    with pytest.raises(Fault, match=r"training.lr = -1"):
        train(training={"lr": -1})
    assert state() == before
    assert handles() == taken


def test_a_training_is_the_run_of_the_command(comm, program, train, shared_path):
    sets = [f"{s}.{k}={v}" for s, table in SETTINGS.items() for k, v in table.items()]
    want = program(*sets, name="command")
    run = train(name="mine")
    assert run.path == shared_path / "mine.h5"
    found = contents(run.path)
    for key in ("series/train_loss", "series/iid_accuracy_mixed", "graph/W"):
        assert np.array_equal(found[key], want[key])
    assert run.data.sizes["device"] == 5
    assert run.data.attrs["rounds_done"] == 2


class Kept:
    """A logger that keeps its rounds."""

    def __init__(self, run, /):
        self.rounds, self.path = [], run.path
        made.append(self)

    def log(self, round_, values):
        """Keep a round."""
        self.rounds.append(round_)

    def close(self, completed):
        """End."""


made = []


def test_models_are_those_after_the_last_round(comm, train, shared_path):
    made.clear()
    run = train(name="kept", checkpoint={"final": True}, record={"log": [Kept]})
    assert [(kept.path, kept.rounds) for kept in made] == [(run.path, [1, 2])] * (comm.rank == 0)
    assert run.data.attrs["code"]
    path = finder.newest_first(finder.folder(run.path))[0]
    head = heads.read(path)
    assert head.round == 2
    own = sorted(run.models)
    assert sorted(n for numbers in comm.allgather(own) for n in numbers) == list(range(5))
    for number, stored in zip(own, sealed.load(path, head, own, "vector"), strict=True):
        numbers = torch.cat([w.detach().flatten() for w in run.models[number].parameters()])
        assert np.array_equal(numbers.numpy(), stored["vector"])


def test_a_thread_may_train(comm, train):
    found = []
    thread = threading.Thread(target=lambda: found.append(train().outcome))
    before = state()
    thread.start()
    thread.join()
    assert found == ["completed"]
    assert state() == before


def test_bad_settings_are_told_at_once_and_on_all_ranks(comm, train):
    with pytest.raises(Fault) as found:
        train(model=3, strategie="degree", dataset="digits", name="a/b")
    assert found.value.sentences == (
        "model = 3: must be a name, a function, or a dictionary, as in a run file.",
        "Unknown argument strategie; did you mean 'strategy'?",
        "dataset and data are the same: must be given once.",
    )
    with pytest.raises(Fault, match=r"name = 'a/b': must be a file name"):
        train(name="a/b")
    with pytest.raises(Fault, match=r"Cannot read the run file nowhere.toml: No such file"):
        train("nowhere.toml")
    with pytest.raises(Fault, match=r"topology.name = 'rng': unknown topology"):
        train(topology="rng")


def test_a_function_or_class_takes_the_place_of_a_name(comm, train):
    def narrow(shape, /, width: int = 3):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, width), _last(width))

    run = train(model={"name": narrow, "width": 5})
    assert all(model[1].out_features == 5 for model in run.models.values())
    assert run.data.attrs["model.name"].endswith(".narrow")
    with pytest.raises(Fault, match=r"model is a model already: must be a function or class"):
        train(model=torch.nn.Linear(2, 3))
    with pytest.raises(Fault, match=r"Unknown setting model.wide; did you mean 'width'\?"):
        train(model={"name": narrow, "wide": 5})


def test_a_graph_or_a_matrix_takes_the_place_of_a_name(comm, train):
    graph = nx.cycle_graph(6)
    nx.relabel_nodes(graph, {0: "hub"}, copy=False)
    run = train(topology=graph, strategy="unweighted")
    assert run.data.attrs["topology.name"] == "graph"
    assert "hub" in run.data["name"]
    matrix = np.diag([0.5, 0.5, 0.25, 0.5, 0.75]) + np.roll(
        np.diag([0.5, 0.5, 0.75, 0.5, 0.25]), 1, 1
    )
    run = train(topology=None, strategy=matrix)
    assert np.array_equal(run.data["W"].values, matrix)
    with pytest.raises(Fault, match=r"topology must be left out where strategy is a matrix"):
        train(strategy=matrix)
    with pytest.raises(Fault, match=r"The graph that is given falls apart into 2 components"):
        train(topology=nx.Graph([(0, 1), (2, 3), (3, 4)]))
    with pytest.raises(Fault, match=r"topology.devices = 7: the graph that is given has 6"):
        train(topology={"name": graph, "devices": 7})


def test_arrays_take_the_place_of_a_data_set(comm, train):
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(40, 3)), draw.integers(2, size=40)
    more = {"data": None, "ood": "none", "model": "logistic"}
    run = train(dataset=(x, y, x[:10], y[:10]), **more)
    other = train(dataset={"x": x, "y": y, "x_test": x[:10], "y_test": y[:10]}, **more)
    assert run.data.attrs["data.name"] == "dataset"
    assert np.array_equal(run.data["train_loss"], other.data["train_loss"])
    with pytest.raises(Fault, match=r"data.name = 'dataset': must give a Dataset, .* not int"):
        train(dataset=3, **more)
    with pytest.raises(Fault, match=r"y: has the shape \(39,\); the 40 samples of x need"):
        train(dataset=(x, y[1:], x, y), **more)


def _last(width):
    return torch.nn.Linear(width, 10)


def test_a_check_gives_what_the_commands_print(comm, train, shared_path, capsys):
    found = mpidl.check(communicator=comm, **SETTINGS)
    assert (found.devices, found.ranks, found.training_samples) == (5, comm.size, 60)
    sets = [f"--set={s}.{k}={v}" for s, table in SETTINGS.items() for k, v in table.items()]
    capsys.readouterr()
    assert command.main(["--check", "--json", "--out", str(shared_path), *sets]) == 0
    printed = capsys.readouterr().out
    if comm.rank == 0:
        assert json.loads(json.dumps(facts.plain(found))) == json.loads(printed)
    many = mpidl.check(topology=nx.path_graph(5), compare=True, communicator=comm)
    assert many.strategies["metropolis_hastings"].spectral_gap > 0
    assert many.links == 8
    with pytest.raises(Fault, match=r"data.train_samples = 100000"):
        mpidl.check(data={"train_samples": 100000}, communicator=comm)


def test_ranks_must_say_the_same(comm, train):
    if comm.size == 1:
        train(training={**SETTINGS["training"], "seed": comm.rank})
        return
    with pytest.raises(Fault, match=r"^training.seed: must be the same on every rank; it is 0 "):
        train(training={**SETTINGS["training"], "seed": comm.rank})


@pytest.fixture
def signalled(comm, monkeypatch):
    """As ``signalled(number)``: rank 0 gets the signal while it trains its first round."""

    def start(number):
        real = device.Device.train

        def trained(self, round_):
            if comm.rank == 0 and round_ == 0 and self.number == 0:
                signal.raise_signal(number)
            return real(self, round_)

        monkeypatch.setattr(device.Device, "train", trained)

    return start


def test_ctrl_c_ends_after_the_round_and_leaves_no_checkpoint(comm, train, signalled, shared_path):
    signalled(signal.SIGINT)
    before = state()
    with pytest.raises(KeyboardInterrupt):
        train(name="stopped", training={**SETTINGS["training"], "rounds": 50})
    assert mpidl.open(shared_path / "stopped.h5").attrs["rounds_done"] == 1
    assert not checkpoint.folder(shared_path / "stopped.h5").exists()
    assert state() == before


def test_a_request_to_stop_reaches_the_program_after_the_round(comm, train, signalled):
    signalled(signal.SIGTERM)
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        run = train(training={**SETTINGS["training"], "rounds": 50})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * (comm.rank == 0)
    assert (run.outcome, run.data.attrs["rounds_done"]) == ("stopped", 1)


def test_with_one_rank_an_error_is_the_callers(comm, train, monkeypatch, tmp_path):
    mine = {"communicator": MPI.COMM_SELF, "out": tmp_path}
    real = device.Device.train

    def trained(self, round_):
        if round_ == 1:
            raise ZeroDivisionError("mine")
        return real(self, round_)

    train(**mine)
    before, taken = state(), handles()
    monkeypatch.setattr(device.Device, "train", trained)
    with pytest.raises(ZeroDivisionError, match="mine"):
        train(**mine)
    monkeypatch.setattr(device.Device, "train", real)
    assert train(**mine).outcome == "completed"
    assert state() == before
    assert handles() == taken
