"""Devices side by side against the same devices one after another."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mpidl.components import models
from mpidl.components.models import cnn, mlp, mobilenet, transformer, vit
from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices import batch, stack
from mpidl.devices.device import Device, Samples

IMAGE = models.Shape((3, 16, 16), 5, None)
TEXT = models.Shape((9,), 14, 14)


class Two(nn.Sequential):
    """Batch norm between two linear layers."""

    def __init__(self):
        super().__init__(
            nn.Flatten(),
            nn.Linear(768, 6, bias=False),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Linear(6, 5),
        )


MODELS = {
    "mlp": lambda: mlp.mlp(IMAGE, hidden=[7]),
    "cnn": lambda: cnn.cnn(IMAGE),
    "batch norm": Two,
    "mobilenet": lambda: mobilenet.mobilenet_v2(IMAGE),
    "transformer": lambda: transformer.transformer(TEXT, layers=2, heads=2, width=8),
    "vit": lambda: vit.vit(IMAGE, patch=8, layers=1, heads=2, width=8, hidden=8),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def samples(kind, count, seed, dtype=torch.float32):
    draw = np.random.default_rng(seed)
    labels = torch.from_numpy(draw.integers(5, size=count))
    if kind == "transformer":
        text = torch.from_numpy(draw.integers(14, size=(count, 9)).astype(np.uint8))
        return Samples(text, labels, sequence=True, padding=3)
    images = draw.normal(size=(count, 3, 16, 16)).astype(np.float32)
    return Samples(torch.from_numpy(images).to(dtype), labels)


def hosted(kind, training, counts, dtype=torch.float64, apart=False, schedule=None):
    """Devices 2, 3, ... with so many samples each, on the rows of a matrix with longer rows."""
    torch.manual_seed(0)
    model = MODELS[kind]().to(dtype)
    devices = {
        number: Device(
            number, copy.deepcopy(model), samples(kind, count, number, dtype), training, schedule
        )
        for number, count in enumerate(counts, start=2)
    }
    size = devices[2].flat.size
    matrix = torch.zeros(len(devices), size + 5, dtype=dtype)
    for device, row in zip(devices.values(), matrix, strict=True):
        device.flat.adopt(torch.zeros(size, dtype=dtype) if apart else row[:size])
    return devices


def everyone(round_, numbers):
    return numbers


def both(kind, settings, counts, rounds=2, active=everyone, **places):
    """Losses and vectors after training one by one, and side by side."""
    training = TrainingSettings(**{"batch_size": 4, "lr": 0.01, **settings})
    alone, together = (hosted(kind, training, counts, **places) for _ in range(2))
    stacked = batch.Batch(together, training)
    losses = []
    for round_ in range(rounds):
        numbers = active(round_, list(alone))
        losses.append(([alone[n].train(round_) for n in numbers], stacked.train(round_, numbers)))
        assert list(losses[-1][1]) == numbers
    return alone, together, stacked, losses


def agree(alone, together, losses, rtol=1e-5, atol=1e-6):
    for one, other in losses:
        np.testing.assert_allclose(list(other.values()), one, rtol=rtol)
    for one, other in zip(alone.values(), together.values(), strict=True):
        np.testing.assert_allclose(other.flat.vector, one.flat.vector, rtol=rtol, atol=atol)


SETTINGS = {"momentum": 0.9, "weight_decay": 0.01}
COUNTS = (7, 8, 11)


@pytest.mark.parametrize("kind", sorted({*MODELS} - {"mobilenet"}))
def test_training_side_by_side_is_training_one_by_one(kind):
    alone, together, stacked, losses = both(kind, SETTINGS, COUNTS)
    agree(alone, together, losses)
    start = hosted(kind, TrainingSettings(), COUNTS)
    assert all((start[n].flat.vector - together[n].flat.vector).norm() > 1e-2 for n in start)
    test, evaluation = samples(kind, 7, 99, torch.float64), EvaluationSettings(batch_size=3)
    found = stacked.evaluate(test, 5, evaluation)
    for number, device in alone.items():
        want = device.evaluate(test, 5, evaluation)
        assert found[number].loss == pytest.approx(want.loss, rel=1e-5)
        assert found[number].accuracy == pytest.approx(want.accuracy, abs=1e-9)
        np.testing.assert_allclose(found[number].by_class, want.by_class)


def test_gradients_are_clipped_one_by_one():
    settings = {"momentum": 0.5, "proximal": 0.1, "lr": 0.1}
    alone, together, _, losses = both("mlp", {**settings, "clip": 2.5}, COUNTS)
    agree(alone, together, losses)
    free, *_ = both("mlp", settings, COUNTS)
    assert any((free[n].flat.vector - alone[n].flat.vector).norm() > 1e-2 for n in alone)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_learning_rates_that_change_are_those_one_by_one(optimizer):
    """Devices with other numbers of steps are at other factors in the same step."""
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "batch_size": 2}

    def falling(time):
        return 1 / (1 + 3 * time)

    alone, together, _, losses = both("mlp", settings, (3, 8, 11), schedule=falling)
    agree(alone, together, losses)
    steady, *_ = both("mlp", settings, (3, 8, 11), rounds=1)
    assert all((steady[n].flat.vector - alone[n].flat.vector).norm() > 1e-2 for n in alone)


def test_one_step_of_many_norms_is_the_same():
    """Its norms of four samples multiply rounding by 1e4 in each further step."""
    settings = {**SETTINGS, "steps": 1}
    alone, together, _, losses = both("mobilenet", settings, COUNTS, 1, dtype=torch.float32)
    agree(alone, together, losses, rtol=1e-4, atol=1e-3)


def test_half_precision_learns_too():
    settings = {"precision": "bfloat16", "epochs": 2}
    alone, together, _, losses = both("mlp", settings, COUNTS, dtype=torch.float32)
    agree(alone, together, losses, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["mlp", "batch norm", "transformer", "vit"])
def test_in_float32_they_differ_by_rounding(kind):
    alone, together, _, losses = both(kind, SETTINGS, COUNTS, dtype=torch.float32)
    agree(alone, together, losses, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1, "optimizer_state": "reset"},
        {"momentum": 0.9, "optimizer_state": "reset"},
        {"proximal": 1.0, "epochs": 2},
        {"steps": 5},
        {"order": "fixed"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["mlp", "batch norm"])
@pytest.mark.parametrize("counts", [(8, 8), (3, 7, 23)], ids=str)
def test_every_setting_says_the_same(kind, settings, counts):
    alone, together, _, losses = both(kind, settings, counts, rounds=3)
    agree(alone, together, losses)


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"optimizer": "adam"}], ids=str)
def test_devices_that_sit_out_stay_as_they_are(settings):
    def active(round_, numbers):
        return numbers[round_ % 2 :]

    alone, together, _, losses = both("mlp", settings, (5, 9, 4), 4, active=active)
    agree(alone, together, losses)


def test_vectors_that_lie_apart_are_trained_too():
    alone, together, stacked, losses = both("batch norm", {}, (7, 11), apart=True)
    agree(alone, together, losses)
    test = samples("batch norm", 7, 99, torch.float64)
    found = stacked.evaluate(test, 5, EvaluationSettings())[2]
    assert found.loss == pytest.approx(
        alone[2].evaluate(test, 5, EvaluationSettings()).loss, rel=1e-4
    )


@pytest.mark.parametrize(
    ("free", "pieces"),
    # A sample takes ten bytes, and half of what is free is taken by two ranks.
    [(1 << 40, [10, 30, 30, 5]), (40 * 21, [10, 21, 21, 21, 2]), (1, [10] + 65 * [1])],
)
def test_where_memory_is_measured_it_bounds_what_is_evaluated_at_once(monkeypatch, free, pieces):
    training, test = TrainingSettings(batch_size=4), samples("mlp", 75, 99)
    stacked = batch.Batch(hosted("mlp", training, [3, 3, 3], torch.float32), training, sharing=2)
    evaluation = EvaluationSettings(batch_size=30)
    want, seen = stacked.evaluate(test, 5, evaluation), []

    def grown(_, do):
        do()
        return 10 * seen[-1]

    class Seen(type(stacked._stack)):
        def apply(self, function, weights, rest, batch, own=True):
            seen.append(len(batch[0]))
            return super().apply(function, weights, rest, batch, own)

    monkeypatch.setattr(batch.accelerators, "memory_growth", grown)
    monkeypatch.setattr(batch.accelerators, "free", lambda _: free)
    stacked._stack = Seen(stacked._stack.model)
    for first in (True, False):
        found = stacked.evaluate(test, 5, evaluation)
        bound, rest = pieces[1], 75 % pieces[1]
        assert seen == (pieces if first else [bound] * (75 // bound) + [rest] * (rest > 0))
        assert all(found[n].loss == pytest.approx(want[n].loss, rel=1e-5) for n in want)
        seen.clear()


def test_new_memory_is_found():
    alone, together, stacked, _ = both("mlp", {}, (5, 9))
    matrix = torch.stack([device.flat.vector for device in together.values()])
    for device, row in zip(together.values(), matrix, strict=True):
        device.flat.bind(row)
    losses = [([alone[n].train(2) for n in alone], stacked.train(2, [2, 3]))]
    agree(alone, together, losses)


class Asking(nn.Linear):
    """Goes one way or the other by what it sees."""

    def forward(self, inputs):  # noqa: D102
        return super().forward(inputs) if inputs.sum() > 0 else inputs


def frozen():
    model = nn.Linear(4, 5)
    model.bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    "kind", [*sorted({*MODELS} - {"mobilenet"}), pytest.param("mobilenet", marks=pytest.mark.slow)]
)
def test_no_model_of_the_house_stands_in_the_way(kind):
    with torch.device("meta"):
        model = MODELS[kind]()
    few = samples(kind, 2, 0)
    few = Samples(few.inputs.to("meta"), few.labels.to("meta"), few.sequence, few.padding)
    assert stack.obstacle(model, few) is None


class Attentive(nn.Linear):
    """Notes which kinds of CUDA's attention torch would take."""

    def forward(self, inputs):  # noqa: D102
        cuda = torch.backends.cuda
        self.kinds = cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()
        return super().forward(inputs)


def test_attention_side_by_side_is_none_that_keeps_nothing_for_its_backward():
    """They look whether a query needs a gradient, and under vmap none seems to."""
    with torch.device("meta"):
        model = Attentive(4, 5)
        few = Samples(torch.empty(2, 4), torch.empty(2, dtype=torch.int64))
    assert stack.obstacle(model, few) is None
    assert model.kinds == (False, False)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout()), "random"),
        (lambda: Asking(4, 5), "control flow"),
        (frozen, "not trained"),
    ],
)
def test_what_stands_in_the_way_is_told(make, told):
    with torch.device("meta"):
        model = make()
        few = Samples(torch.empty(2, 4), torch.empty(2, dtype=torch.int64))
    assert told in stack.obstacle(model, few)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_others_go_on_side_by_side_with_what_a_round_left(optimizer):
    training = TrainingSettings(optimizer=optimizer, momentum=0.9, batch_size=4)
    first, second = (
        batch.Batch(hosted("batch norm", training, [10, 6, 10]), training) for _ in "ab"
    )
    first.train(0, [2, 4])
    for number in (2, 3, 4):
        left = {name: tensor.clone() for name, tensor in first.memory(number).items()}
        second.remember(number, left)
    assert first.train(1, [2, 3, 4]) == second.train(1, [2, 3, 4])
    for number in (2, 3, 4):
        for name, tensor in first.memory(number).items():
            assert torch.equal(tensor, second.memory(number)[name]), name
