"""Optimizers of torch by their place: what is refused, kept and saved."""

import pytest
import torch

from mpidl import plan
from mpidl.components import packed
from mpidl.components.lr_schedules import LR_SCHEDULES
from mpidl.components.torch_optimizers import TorchOptimizer
from mpidl.config import runfile
from mpidl.config.faults import Fault

SCHEDULER = "torch.optim.lr_scheduler:"


@pytest.fixture(autouse=True)
def forgotten():
    """Take back the names that tests bring."""
    known = dict(LR_SCHEDULES)
    yield
    for name in {*LR_SCHEDULES} - {*known}:
        del LR_SCHEDULES[name]


def made(*settings):
    text = "name = 'one'\n[topology]\nname = 'ring'\ndevices = 4"
    overrides = [setting.replace("SCHEDULER:", SCHEDULER) for setting in settings]
    return plan.make(runfile.read(text, overrides, plan.KINDS), 1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("training.optimizer=torch.optim:LBFGS", "missing 1 required positional .* 'closure'"),
        ("training.optimizer=torch.optim:SGD training.momentum=0.9", "is a setting of mpidl's own"),
        ("training.optimizer_settings={alpha=0.9}", "an optimizer by module, .* not of 'sgd'"),
        (
            "training.optimizer=torch.optim:RMSprop training.optimizer_settings={alfa=0.9}",
            "Unknown setting training.optimizer_settings.alfa; did you mean 'alpha'",
        ),
        (
            "training.optimizer=torch.optim:SGD training.optimizer_settings={lr=0.9}",
            "must be set as training.lr",
        ),
        (
            "training.optimizer=torch.optim:RMSprop training.optimizer_settings={alpha=-1}",
            "torch says: Invalid alpha value: -1",
        ),
        ("lr_schedule.name=SCHEDULER:LinearLR", "needs an optimizer of torch, .* not 'sgd'"),
        (
            "training.optimizer=torch.optim:SGD lr_schedule.name=SCHEDULER:ReduceLROnPlateau",
            "takes a measured value at each step",
        ),
        (
            "training.optimizer=torch.optim:SGD lr_schedule.name=SCHEDULER:StepLR",
            "lr_schedule.step_size is missing.$",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises(Fault, match=sentence):
        made(*settings.split())


OWN = """
from collections import deque
from torch.optim import SGD

class Counting(SGD):
    count = 0
    def step(self):
        self.count += 1
        self.param_groups[0]["lr"] /= self.count
        super().step()

class Listing(SGD):
    def step(self):
        super().step()
        [weight] = self.param_groups[0]["params"]
        self.state[weight]["past"] = deque()
"""


@pytest.mark.parametrize(
    ("name", "why"), [("Counting", "with it other steps follow"), ("Listing", "of type deque")]
)
def test_a_state_that_cannot_be_saved_is_refused_by_name(tmp_path, monkeypatch, name, why):
    file = tmp_path / f"own_{name}.py"
    file.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Fault, match=f"own_{name}.py:{name}': its state cannot .* {why}.*'reset'"):
        made(f"training.optimizer=own_{name}.py:{name}")
    assert made(f"training.optimizer=own_{name}.py:{name}", "training.optimizer_state=reset")


@pytest.mark.usefixtures("forget")
def test_a_run_goes_on_with_what_it_loaded_if_the_file_changes(tmp_path, monkeypatch):
    file = tmp_path / "own_steps.py"
    file.write_text("from torch.optim import SGD\nclass Mine(SGD): ...")
    monkeypatch.chdir(tmp_path)
    training = made("training.optimizer=own_steps.py:Mine").file.training
    optimizer = TorchOptimizer(training, [torch.nn.Parameter(torch.ones(5))])
    first = optimizer.optimizer
    file.write_text("")
    optimizer.reset()
    assert optimizer.optimizer is not first
    assert type(optimizer.optimizer) is type(first)


@pytest.mark.parametrize(("name", "own"), [("SGD", "sgd"), ("Adam", "adam")])
def test_memory_is_told_as_for_the_same_optimizer_of_our_own(name, own):
    theirs, ours = made(f"training.optimizer=torch.optim:{name}"), made(f"training.optimizer={own}")
    assert theirs.numbers(1000, 0) == ours.numbers(1000, 0)


@pytest.mark.skipif(
    not hasattr(torch.optim.lr_scheduler.OneCycleLR, "_anneal_func"),
    reason="OneCycleLR of this torch has a function in its state, which is refused",
)
def test_an_optimizer_with_a_scheduler_goes_on_as_if_it_had_not_stopped():
    """The cycle turns the momentum, too, which a factor of the learning rate cannot."""
    settings = "max_lr=0.1", "total_steps=8"
    file = made(
        "training.optimizer=torch.optim:AdamW",
        f"lr_schedule.name={SCHEDULER}OneCycleLR",
        *(f"lr_schedule.{setting}" for setting in settings),
    ).file
    torch.manual_seed(3)
    gradients = torch.randn(8, 5)
    weights = [torch.nn.Parameter(torch.ones(5)) for _ in range(3)]
    plain = torch.optim.AdamW([weights[2]], lr=file.training.lr)
    cycle = torch.optim.lr_scheduler.OneCycleLR(plain, 0.1, 8)
    whole, parts = (TorchOptimizer(file.training, [w], file.lr_schedule, 8) for w in weights[:2])
    for step, gradient in enumerate(gradients):
        whole.step([weights[0]], [gradient])
        parts.step([weights[1]], [gradient])
        weights[2].grad = gradient.clone()
        plain.step()
        cycle.step()
        if step == 4:
            memory = parts.memory([weights[1]])
            parts = TorchOptimizer(file.training, [weights[1]], file.lr_schedule, 8)
            parts.remember([weights[1]], memory)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    with pytest.raises(Fault, match="ends after 8 steps; a device takes 9 local steps"):
        TorchOptimizer(file.training, [weights[1]], file.lr_schedule, 9)


def test_packed_state_is_read_as_it_was():
    state = {
        "a": [torch.arange(6).view(2, 3), torch.tensor(0.1, dtype=torch.float64), None],
        3: (True, 1e-300, "text", float("inf")),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.empty(0, 2),
    }
    found = packed.unpack(packed.pack(state))
    assert found.keys() == state.keys()
    assert found[3] == state[3]
    assert found["a"][2] is None
    pairs = [*zip(found["a"][:2], state["a"][:2], strict=True)]
    for key in ("half", "none"):
        pairs.append((found[key], state[key]))
    assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)
    with pytest.raises(packed.PackingError, match="set"):
        packed.pack({"a": {1, 2}})
