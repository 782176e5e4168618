"""The same bits as torch.optim."""

import subprocess
import sys

import pytest
import torch

from mpidl.components.torch_optimizers import TorchOptimizer
from mpidl.config.runfile import TrainingSettings
from mpidl.devices.optimizers import Optimizer, clipped, clipped_rows

KINDS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SETTINGS = [
    {},
    {"weight_decay": 0.01},
    {"momentum": 0.9},
    {"momentum": 0.5, "weight_decay": 0.1},
    {"optimizer": "adam"},
    {"optimizer": "adam", "weight_decay": 0.1, "betas": (0.5, 0.99)},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "adamw", "betas": (0.0, 0.0)},
]


def reference(training, weights):
    own = {"momentum": training.momentum} if training.optimizer == "sgd" else {}
    own |= {} if training.optimizer == "sgd" else {"betas": training.betas}
    return KINDS[training.optimizer](
        weights, lr=training.lr, weight_decay=training.weight_decay, foreach=False, **own
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("reset", [False, True])
def test_steps_are_those_of_torch(settings, reset):
    training = TrainingSettings(lr=0.03, **settings)
    torch.manual_seed(0)
    shapes = [(7, 5), (31,), ()]
    found = [torch.randn(shape) for shape in shapes]
    want = [torch.nn.Parameter(weight.clone()) for weight in found]
    ours, theirs = Optimizer(training), reference(training, want)
    for step in range(6):
        if reset and step == 3:
            ours.reset()
            theirs = reference(training, want)
        gradients = [torch.randn(shape) for shape in shapes]
        ours.step(found, gradients)
        for weight, gradient in zip(want, gradients, strict=True):
            weight.grad = gradient.clone()
        theirs.step()
    for one, other in zip(found, want, strict=True):
        assert torch.equal(one, other.detach())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_learning_rate_that_changes_is_that_of_a_scheduler_of_torch(settings):
    training = TrainingSettings(lr=0.03, **settings)
    torch.manual_seed(0)
    weight = torch.randn(9)
    want = torch.nn.Parameter(weight.clone())
    ours, theirs = Optimizer(training), reference(training, [want])
    factors = [1.0, 0.3, 0.0, 0.7]
    for factor in factors:
        gradient = torch.randn(9)
        want.grad = gradient.clone()
        theirs.param_groups[0]["lr"] = training.lr * factor
        theirs.step()
        ours.step([weight], [gradient], factor)
    assert torch.equal(weight, want.detach())


@pytest.mark.parametrize("most", [0.5, 1e3])
def test_clipping_is_that_of_torch(most):
    torch.manual_seed(1)
    gradients = [torch.randn(7, 5), torch.randn(31), torch.randn(())]
    weights = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(weights, most, foreach=False)
    for weight, own in zip(weights, clipped(gradients, most), strict=True):
        assert torch.equal(weight.grad, own)
    row = torch.cat([gradient.flatten() for gradient in gradients])
    rows = clipped_rows(torch.stack([row, 1e-3 * row]), most)
    assert float(rows[0].norm()) == pytest.approx(min(most, float(row.norm())), rel=1e-5)
    assert torch.equal(rows[1], 1e-3 * row)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("state", ["kept", "reset"])
def test_an_optimizer_of_torch_by_its_place_takes_the_same_steps(settings, state):
    own = TrainingSettings(lr=0.03, optimizer_state=state, **settings)
    arguments = {"weight_decay": own.weight_decay, "betas": list(own.betas)}
    if own.optimizer == "sgd":
        arguments = {"weight_decay": own.weight_decay, "momentum": own.momentum}
    named = TrainingSettings(
        lr=0.03,
        optimizer_state=state,
        optimizer=f"torch.optim:{KINDS[own.optimizer].__name__}",
        optimizer_settings=arguments,
    )
    torch.manual_seed(0)
    found = [torch.nn.Parameter(torch.randn(shape)) for shape in [(7, 5), (31,)]]
    want = [weight.detach().clone() for weight in found]
    theirs, ours = TorchOptimizer(named, found), Optimizer(own)
    for step in range(6):
        if state == "reset" and step == 3:
            theirs.reset()
            ours.reset()
        gradients = [torch.randn_like(weight) for weight in want]
        theirs.step(found, gradients, factor := 1 / (1 + step))
        ours.step(want, gradients, factor)
        if state == "kept":
            theirs.remember(found, theirs.memory(found))
    assert all(map(torch.equal, found, want))


def test_gradients_are_left_as_they_are():
    gradients = [torch.ones(3)]
    optimizer = Optimizer(TrainingSettings(momentum=0.9, weight_decay=0.1))
    weights = [torch.ones(3)]
    for _ in range(2):
        optimizer.step(weights, gradients)
    assert gradients[0].tolist() == [1.0] * 3


STEP = """
import sys
import torch
from mpidl.run import build
from mpidl.devices.device import Device, Samples
from mpidl.config.runfile import TrainingSettings

shard = Samples(torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))
device = Device(0, torch.nn.Linear(3, 2), shard, TrainingSettings(optimizer="adam"))
device.flat.adopt(torch.zeros(device.flat.size))
device.train(0)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.mark.slow
def test_training_loads_no_compiler():
    """Each rank would pay for it."""
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
