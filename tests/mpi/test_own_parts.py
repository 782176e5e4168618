"""Parts of one's own: what they do in a run, and what is refused before it writes anything."""

import shutil

import h5py
import numpy as np
import pytest

from mpidl.components import graphs
from mpidl.components.algorithms import ALGORITHMS, Algorithm
from mpidl.components.attacks import ATTACKS
from mpidl.components.datasets import DATASETS, Dataset
from mpidl.components.models import MODELS
from mpidl.components.strategies import STRATEGIES
from mpidl.config.faults import Fault
from mpidl.ranks import world
from mpidl.run import execution, opening

pytestmark = pytest.mark.dealt

ROUNDS = 5
ALONE = 3


def later(view, /):
    """Alone for some rounds, then equal weights."""
    count = len(view.members)
    return np.eye(count)[0] if view.round < ALONE else np.full(count, 1 / count)


@pytest.mark.parametrize("backend", ["shared", "mpi"])
def test_a_strategy_that_looks_at_the_round_mixes_when_it_says(comm, program, monkeypatch, backend):
    monkeypatch.setitem(STRATEGIES, "later", later)
    found = program(
        "strategy.name=later",
        "topology.name=complete",
        f"topology.devices={comm.size + 2}",
        f"training.rounds={ROUNDS}",
        f"exchange.backend={backend}",
    )
    distances = found["series/consensus_distance"].max(axis=1)
    # On the complete graph equal weights bring all together in a round.
    assert (distances[:ALONE] > 1e-3).all()
    assert (distances[ALONE:] < 1e-5).all()


def test_rows_that_last_are_known_from_round_to_round(comm, planned, monkeypatch):
    devices = range(comm.size + 2)
    settings = "topology.name=ring", f"topology.devices={len(devices)}"
    monkeypatch.setitem(STRATEGIES, "later", later)
    assert not planned("strategy.name=later", *settings).lasts(devices)
    assert not planned("strategy.name=random", *settings).steady
    assert planned("strategy.name=degree", *settings).steady

    def first_later(view, /):
        return later(view) if view.device == 0 else np.eye(len(view.members))[0]

    monkeypatch.setitem(STRATEGIES, "later", first_later)
    made = planned("strategy.name=later", *settings)
    assert [made.lasts([device]) for device in devices] == [device > 0 for device in devices]
    # In a sweep, and where senders share out, weights follow from those of others.
    swept = planned("strategy.name=later", "exchange.mixing=sequential", *settings)
    pushed = planned("strategy.name=later", "algorithm.name=push_sum", *settings)
    assert not any(swept.lasts([device]) for device in devices)
    heard = {0, *pushed.graph.successors(0)}
    assert [pushed.lasts([device]) for device in devices] == [d not in heard for d in devices]


def test_a_results_file_has_the_centrality_of_a_strategy_of_ones_own(planned, monkeypatch):
    monkeypatch.setitem(STRATEGIES, "mine", STRATEGIES["closeness"])
    made = planned("strategy.name=mine", "topology.name=star", "topology.devices=5")
    want = graphs.centrality(made.topology.measured, "closeness")
    np.testing.assert_array_equal(opening.graph_arrays(made)["centrality"], want)


def linear(outputs, more=()):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs), *more)


def needs_numbers(shape, /):
    from torch import nn

    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear(10)

        def forward(self, images):
            return self.inner(images) if float(images.sum()) >= 0 else images

    return Careful()


def nothing_to_learn(shape, /):
    return linear(10).requires_grad_(False)


def two_answers(shape, /):
    from torch import nn

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear(10)

        def forward(self, images):
            return self.inner(images), images

    return Two()


def unflattened(shape, /):
    from torch import nn

    return linear(10, [nn.Unflatten(1, (1, 10))])


MINE = {
    "few": (lambda shape, /: linear(9), "gives 9 outputs: must be 10, as the data have 10"),
    "wrong": (lambda shape, /: linear(10)[1], r"cannot be given samples of 1x8x8: mat1 and mat2"),
    "double": (lambda shape, /: linear(10).double(), "has numbers of torch.float64: must be torch"),
    "empty": (lambda shape, /: linear(10)[:1], "has no parameters that training could change"),
    "frozen": (nothing_to_learn, "has no parameters that training could change"),
    "two": (two_answers, "gives tuple: must give a tensor"),
    "shape": (unflattened, r"gives the shape \(2, 1, 10\) for 2 samples: must be \(2, 10\)"),
}


@pytest.mark.parametrize("case", MINE)
def test_a_model_that_cannot_learn_the_data_is_refused(refused, monkeypatch, case):
    model, sentence = MINE[case]
    monkeypatch.setitem(MODELS, "mine", model)
    fault = refused(f"^model.name = 'mine': .*{sentence}", "model.name=mine")
    assert len(fault.sentences) == 1


@pytest.mark.parametrize("model", [lambda shape, /: linear(12), needs_numbers])
def test_a_model_of_ones_own_trains(program, monkeypatch, model):
    monkeypatch.setitem(MODELS, "mine", model)
    found = program("model.name=mine")
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()


@pytest.mark.parametrize(
    ("strategy", "sentence"),
    [
        (lambda view, /: np.ones(len(view.members)), "their sum is"),
        (lambda view, /: [0.5] * 40, r"the shape \(40,\): must be"),
    ],
)
def test_rows_that_are_none_are_refused(comm, refused, monkeypatch, strategy, sentence):
    monkeypatch.setitem(STRATEGIES, "mine", strategy)
    told = f"^strategy.name = 'mine': in round 1 for device 0 it gives .*{sentence}"
    star = "topology.name=star", f"topology.devices={comm.size + 2}"
    refused(told, "strategy.name=mine", *star)


def one_more(view, /):
    """Weights that are none from the second round on."""
    return np.eye(len(view.members))[0] * (1 + (view.round > 0))


def replacing():
    def give(state):
        state.x = state.x * 2

    return Algorithm(give=give)


@pytest.mark.parametrize(
    ("registry", "section", "builder", "sentence"),
    [
        (ALGORITHMS, "algorithm", replacing, "in round 1 .* another vector in place of state.x"),
        (STRATEGIES, "strategy", one_more, "in round 2 for device . it gives .*: their sum is 2"),
        (ATTACKS, "attack", lambda vector, rng, /: None, "gives None: must be a tensor"),
    ],
)
def test_a_fault_in_a_round_leaves_nothing_open(
    comm, program, shared_path, monkeypatch, registry, section, builder, sentence
):
    monkeypatch.setitem(registry, "mine", builder)
    with pytest.raises(Fault, match=f"^{section}.name = 'mine': .*{sentence}"):
        program(f"{section}.name=mine", f"topology.devices={comm.size + 2}")
    world.free_left()
    comm.Barrier()
    path = shared_path / "run.h5"
    # What an attack gives is tried before there is a file.
    assert path.exists() == (section != "attack")
    if comm.rank == 0 and path.exists():
        with h5py.File(path, "r") as file:
            assert not file["completed"][()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++, which is not here")
def test_a_compiled_model_trains_and_mixes(comm, program, monkeypatch):
    """By torch's own compiler; mixing gives its parameters other memory in each round."""
    import torch
    from torch._dynamo.utils import counters

    monkeypatch.setitem(MODELS, "mine", lambda shape, /: linear(10))
    settings = ("model.name=mine", "training.batched=no", f"topology.devices={comm.size + 1}")
    want = program(*settings, name="want")
    monkeypatch.setitem(MODELS, "mine", lambda shape, /: torch.compile(linear(10)))
    graphs = counters["stats"]["unique_graphs"]
    found = program(*settings)
    assert counters["stats"]["unique_graphs"] > graphs
    for name in ("consensus_distance", "train_loss", "iid_loss_mixed"):
        np.testing.assert_allclose(found[f"series/{name}"], want[f"series/{name}"], atol=1e-4)


def test_data_that_no_model_can_learn_are_refused(refused, monkeypatch):
    def mine(folder, seed, /):
        images, labels = np.zeros((20, 1, 8, 8)), np.arange(20) % 11
        return Dataset("mine", images, labels, images, labels, tuple("0123456789"))

    monkeypatch.setitem(DATASETS, "mine", mine)
    told = "float64; images must be a NumPy array of float32"
    fault = refused(told, "data.name=mine")
    assert len(fault.sentences) == 2


def test_what_is_refused_changes_nothing(comm, planned, shared_path, monkeypatch):
    if comm.rank == 0:
        with h5py.File(shared_path / "run.h5", "w") as file:
            file.attrs["mine"] = 1
    monkeypatch.setitem(MODELS, "mine", lambda shape, /: linear(9))
    comm.Barrier()
    with pytest.raises(Fault, match="gives 9 outputs"):
        execution.run(comm, planned("model.name=mine"), shared_path / "run.h5", True, None)
    comm.Barrier()
    assert [path.name for path in shared_path.iterdir()] == ["run.h5"]
