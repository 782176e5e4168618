"""Tasks: regression and some of one's own, whose values are series of the results file."""

import h5py
import numpy as np
import pytest
import torch

from mpidl.components.datasets import DATASETS, Dataset
from mpidl.components.models import MODELS
from mpidl.components.tasks import TASKS
from mpidl.config import own_traceback
from mpidl.config.faults import Fault, OwnError
from mpidl.run import execution

pytestmark = pytest.mark.dealt

SMALL = ("model.hidden=[8]", "training.rounds=2", "ood.name=none")


def waves(folder, seed, /, outputs: int = 0):
    """Curved sums of four numbers, as many as asked for; 0 is one, without a dimension."""
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (240, 4)).astype(np.float32)
    y = np.tanh(x @ draw.normal(size=(4, max(1, outputs)))).astype(np.float32)
    y = y if outputs else y[:, 0]
    told = {"classes": (), "task": "regression", "span": (-1, 1)}
    return Dataset("waves", x[:180], y[:180], x[180:], y[180:], **told)


def smooth(model, batch, /, smoothing: float = 0.1):
    """Cross-entropy of smoothed labels."""
    from torch.nn import functional

    scores = model(batch.inputs)
    loss = functional.cross_entropy(scores, batch.targets, label_smoothing=smoothing)
    right = (scores.argmax(1) == batch.targets).float().mean()
    return loss, {"accuracy": right, "norm": sum(w.norm() for w in model.parameters())}


@pytest.fixture(autouse=True)
def mine(monkeypatch):
    monkeypatch.setitem(DATASETS, "waves", waves)
    monkeypatch.setitem(TASKS, "smooth", smooth)


@pytest.mark.parametrize("outputs", [0, 3])
@pytest.mark.parametrize("batched", ["no", "yes"])
def test_regression_has_loss_and_mae_and_no_accuracy(program, outputs, batched):
    found = program(
        "data.name=waves", f"data.outputs={outputs}", *SMALL, f"training.batched={batched}"
    )
    series = {key.removeprefix("series/") for key in found if key.startswith("series/")}
    assert {"iid_loss_mixed", "iid_mae_mixed", "ood_mae_trained"} <= series
    assert not any("accuracy" in key for key in series)
    assert "placement/labels" not in found
    loss, mae = found["series/iid_loss_mixed"], found["series/iid_mae_mixed"]
    assert (loss >= mae**2 - 1e-6).all()
    assert loss[-1].mean() < loss[0].mean()
    assert np.isnan(found["series/ood_loss_mixed"]).all()


def test_devices_of_unequal_shares_learn_the_same_at_once(program):
    settings = "data.name=waves", *SMALL, "data.train_samples=97", "topology.devices=7"
    one = program(*settings, "training.batched=no", name="one")
    all_ = program(*settings, "training.batched=yes", name="all")
    for key in ("train_loss", "iid_loss_mixed", "iid_mae_mixed"):
        np.testing.assert_allclose(all_[f"series/{key}"], one[f"series/{key}"], rtol=1e-4)


@pytest.mark.parametrize("batched", ["no", "yes"])
def test_a_task_of_ones_own_has_its_values_as_series(comm, program, shared_path, batched):
    settings = "task.name=smooth", "model.hidden=[8]", "training.rounds=2"
    found = program(*settings, f"training.batched={batched}")
    assert (found["series/ood_norm_mixed"] > 1).all()
    accuracy = found["series/iid_accuracy_mixed"]
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    assert "series/iid_class_accuracy_mixed" not in found
    with h5py.File(shared_path / "run.h5", "r") as file:
        assert "iid_norm_mixed" in file.attrs["own_series"].split(",")
        assert file["series/iid_norm_mixed"].attrs["long_name"].startswith("norm on the in-dist")


def test_a_task_that_gives_what_ours_gives_has_its_bits(program, monkeypatch):
    monkeypatch.setitem(
        TASKS, "called", lambda model, batch, /: TASKS["classification"](model, batch)
    )
    first = program("training.rounds=2", name="ours")
    called = program("training.rounds=2", "task.name=called", name="called")
    key = "series/train_loss"
    np.testing.assert_array_equal(called[key], first[key])
    for key in ("iid_loss_mixed", "ood_accuracy_trained"):
        np.testing.assert_allclose(called[f"series/{key}"], first[f"series/{key}"], rtol=1e-6)


def loss(model, batch):
    return model(batch.inputs).square().mean()


WRONG = {
    "text": (lambda model, batch, /: "loss", "gives 'loss'; must give the loss, a tensor of one"),
    "alone": (lambda model, /: 3.0, "gives 3.0; must give the loss"),
    "many": (lambda model, batch, /: model(batch.inputs), r"torch.float32 and the shape \(2, 10\)"),
    "whole": (lambda model, batch, /: loss(model, batch).long(), "tensor of torch.int64"),
    "still": (lambda model, batch, /: loss(model, batch).detach(), "does not follow from what"),
    "three": (lambda model, batch, /: (loss(model, batch), 1, 2), "must give the loss"),
    "list": (lambda model, batch, /: (loss(model, batch), [1]), "beside the loss; must be a dict"),
    "vector": (
        lambda model, batch, /: (loss(model, batch), {"a": model(batch.inputs)}),
        "its value 'a' is a tensor of torch.float32 and the shape",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_task_without_a_loss_is_refused(refused, monkeypatch, case):
    task, sentence = WRONG[case]
    monkeypatch.setitem(TASKS, "mine", task)
    fault = refused(f"^task.name = 'mine': .*{sentence}", "task.name=mine")
    assert len(fault.sentences) == 1


SHAPES = r"inputs of the shape \(2, 1, 8, 8\) and targets of the shape \(2,\)"


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (7, r", and the model gives a tensor of torch.float32 and the shape \(2, 7\) for it"),
        (0, ""),
    ],
)
def test_an_error_of_a_task_is_told_with_the_shapes_of_its_batch(
    refused, monkeypatch, forget, classes, told
):
    def mine(model, batch, /):
        return (model(batch.inputs) - torch.ones(10)).mean()

    def net(shape, /):
        # Without classes the model itself cannot be given a sample.
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 if classes else 63, 7))

    own_traceback.note(mine)
    monkeypatch.setitem(TASKS, "mine", mine)
    monkeypatch.setitem(MODELS, "net", net)
    fault = refused(
        f"Error: [^\n]*\nThe batch has {SHAPES}{told}.$", "task.name=mine", "model.name=net"
    )
    assert isinstance(fault, OwnError)


@pytest.mark.parametrize("name", ["loss", "Mean", "hops"])
def test_a_value_needs_a_name_of_its_own(refused, monkeypatch, name):
    monkeypatch.setitem(TASKS, "mine", lambda model, batch, /: (loss(model, batch), {name: 1.0}))
    refused(f"'{name}' as the name of a value of the task: ", "task.name=mine")


REFUSED = {
    "placement": (("placement.name=shards", "ood.name=none"), "placement.name = 'shards': needs"),
    "trigger": ((), "ood.name = 'trigger': needs classes, and data.name = 'waves' has numbers"),
    "images": (("ood.name=rotation",), "'rotation' needs images; this data set has samples of 4"),
    "task": (
        ("ood.name=none", "task.name=classification"),
        "task.name = 'classification': needs classes as targets, .* own task, 'regression'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_classes_is_refused_without(refused, case):
    settings, sentence = REFUSED[case]
    refused(sentence, "data.name=waves", *settings)


def test_where_a_task_cannot_be_batched_yes_is_refused(comm, refused, monkeypatch):
    def counts(model, batch, /):
        value = loss(model, batch)
        return value * float(value.detach()), {}

    monkeypatch.setitem(TASKS, "mine", counts)
    told = "'yes': model 'mlp' with task 'mine' cannot be trained for many devices at once"
    refused(told, "task.name=mine", "training.batched=yes", f"topology.devices={2 * comm.size}")


def test_a_run_with_values_of_its_own_goes_on(comm, planned, shared_path):
    path = shared_path / "run.h5"
    settings = "data.name=waves", "ood.name=noise", "model.hidden=[8]", "checkpoint.final=true"
    assert execution.run(comm, planned(*settings, "training.rounds=2"), path) == 0
    longer = planned(*settings, "training.rounds=4")
    assert execution.run(comm, longer, path, resume="") == 0
    assert execution.run(comm, longer, shared_path / "at_once.h5") == 0
    with h5py.File(path, "r") as one, h5py.File(shared_path / "at_once.h5", "r") as other:
        for key in ("iid_mae_mixed", "ood_mae_trained", "ood_loss_mixed", "train_loss"):
            np.testing.assert_array_equal(one[f"series/{key}"][()], other[f"series/{key}"][()])
            assert np.isfinite(one[f"series/{key}"][()]).all()


def test_a_checkpoint_of_other_values_is_refused(comm, planned, shared_path, monkeypatch):
    path = shared_path / "run.h5"

    def given(name):
        return lambda model, batch, /: (loss(model, batch), {name: 1.0})

    monkeypatch.setitem(TASKS, "mine", given("first"))
    settings = "task.name=mine", "checkpoint.final=true"
    assert execution.run(comm, planned(*settings, "training.rounds=1"), path) == 0
    monkeypatch.setitem(TASKS, "mine", given("second"))
    with pytest.raises(Fault, match="was made with another set of series"):
        execution.run(comm, planned(*settings, "training.rounds=2"), path, resume="")
