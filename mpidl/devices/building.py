"""Building of a run's models and devices, from its plan and data."""

from functools import partial
from typing import Any

import numpy.typing as npt
import torch

from mpidl.components import lr_schedules, torch_optimizers
from mpidl.components.models import MODELS, Shape
from mpidl.components.tasks import TASKS
from mpidl.components.torch_optimizers import TorchOptimizer
from mpidl.config import seeds
from mpidl.config.faults import Fault
from mpidl.config.runfile import ModelSettings, TaskSettings, TrainingSettings
from mpidl.devices import batching
from mpidl.devices.data import RunData
from mpidl.devices.device import Device, Samples, seed_torch
from mpidl.devices.flat import Flat
from mpidl.devices.objectives import ANSWERS, Called, Objective
from mpidl.devices.stack import obstacle
from mpidl.plan import Plan
from mpidl.storage import run_series
from mpidl.storage.run_series import RunSeries

Array = npt.NDArray[Any]

FEW = 2
"""Samples that models and tasks are tried with."""


def make_model(plan: Plan, run_data: RunData, device: int) -> torch.nn.Module:
    """The initial model of a device: the same for all, or its own, as the run file says."""
    return initial_model(plan.file.model, plan.file.training, run_data.traits.shape, device)


def initial_model(
    section: ModelSettings, training: TrainingSettings, shape: Shape, device: int
) -> torch.nn.Module:
    """The initial model of a device of a run, for samples of a shape."""
    own = ("init of one device", device) if training.init == "per_device" else ("init",)
    with torch.random.fork_rng([]):
        seed_torch(seeds.integer(training.seed, *own), torch.device("cpu"))
        model: torch.nn.Module = MODELS.build(section, shape)
    return model


def sketch(plan: Plan, run_data: RunData) -> torch.nn.Module:
    """A model without memory for its numbers, unless its builder needs them."""
    try:
        with torch.device("meta"):
            return make_model(plan, run_data, 0)
    except Fault:
        raise
    except Exception:  # a user's builder may raise anything here
        return make_model(plan, run_data, 0)


def sizes(plan: Plan, run_data: RunData) -> tuple[int, int]:
    """P and T: the numbers of floating values and of learned values of a model of this run.

    Raises:
        Fault: If the model does not fit the data.
    """
    flat = Flat(sketch(plan, run_data))
    return flat.size, flat.learned


def objective(plan: Plan, run_data: RunData) -> Objective:
    """What the models of a run are trained for; a task that is called is called once, on a few.

    Raises:
        Fault: If the task gives no loss, or values that are no numbers or have no valid names.
    """
    called = aim_of(run_data.traits.task, plan.file.task)
    if not isinstance(called, Called):
        return called
    with torch.random.fork_rng([]):
        if not _sketched(called, plan, run_data):
            _examine(called, make_model(plan, run_data, 0), run_data, "cpu")
    return called


def aim_of(name: str, section: TaskSettings) -> Objective:
    """What a task trains models for; one that is called does not know its values yet."""
    if TASKS.properties(name).answers:
        return ANSWERS
    return Called(name, partial(TASKS.call, name, **TASKS.parameters(section)))


def _sketched(called: Called, plan: Plan, run_data: RunData) -> bool:
    """Whether a task could be called without numbers."""
    try:
        _examine(called, sketch(plan, run_data), run_data, "meta")
    except Fault:
        raise
    except Exception:  # a task may need numbers, or raise anything
        return False
    return True


def _examine(called: Called, model: torch.nn.Module, run_data: RunData, where: str) -> None:
    inputs, labels = next(pair for pair in run_data.tests.values() if len(pair[0]))
    few = samples(run_data, inputs[:FEW], labels[:FEW], torch.device(where))
    called.examine(model.eval(), *few.batch(slice(FEW)))


def series(run_data: RunData, aim: Objective) -> RunSeries:
    """The series that a run can have, by its data and what its models are trained for."""
    classes = len(run_data.traits.classes) if aim.masks else 0
    return run_series.of(classes, aim.values)


def side_by_side(
    plan: Plan, run_data: RunData, hosted: int, hardware: torch.device, aim: Objective
) -> bool:
    """Whether a rank trains the devices that it hosts at once instead of one after another.

    Args:
        plan: The plan of the run.
        run_data: Its data.
        hosted: Number of the devices.
        hardware: Where they are trained.
        aim: What they are trained for.

    Raises:
        Fault: If the run file wants it and the model does not allow it.
    """
    setting, kind = plan.file.training.batched, hardware.type
    if torch_optimizers.named(plan.file.training):
        return False
    if setting == "no" or (setting == "auto" and kind == "cpu"):
        return False
    model = sketch(plan, run_data)
    if setting == "auto" and not batching.pays(model, hosted, kind):
        return False
    inputs, labels = run_data.tests["iid"]
    few = samples(run_data, inputs[:FEW], labels[:FEW], torch.device("meta"))
    reason = obstacle(model, few, aim)
    if reason is not None and setting == "yes":
        task = f" with task {run_data.traits.task!r}" * (not aim.masks)
        raise Fault(
            f"training.batched = 'yes': model {plan.file.model.name!r}{task} cannot be trained for "
            f"many devices at once ({reason}); 'auto' and 'no' train them one after another."
        )
    return reason is None and hosted > 1


def make_devices(
    plan: Plan, run_data: RunData, rank: int, hardware: torch.device, aim: Objective
) -> dict[int, Device]:
    """The devices of a rank with their models, shards and what they are trained for."""
    numbers = plan.hosted(rank)
    return {number: _device(plan, run_data, number, hardware, aim) for number in numbers}


def _device(
    plan: Plan, run_data: RunData, number: int, hardware: torch.device, aim: Objective
) -> Device:
    training, section = plan.file.training, plan.file.lr_schedule
    model = make_model(plan, run_data, number).to(hardware)
    shard = samples(run_data, *run_data.shards[number], hardware)
    device = Device(number, model, shard, training, lr_schedules.factor(section), aim)
    if torch_optimizers.named(training):
        steps = training.rounds * device.steps
        device.optimizer = TorchOptimizer(training, device.weights, section, steps)
    return device


def samples(run_data: RunData, inputs: Array, labels: Array, to: torch.device) -> Samples:
    """Samples of a run's data, on some hardware."""
    return Samples(
        torch.from_numpy(inputs).to(to),
        torch.from_numpy(labels).to(to),
        sequence=run_data.traits.sequence,
        padding=run_data.traits.padding,
    )
